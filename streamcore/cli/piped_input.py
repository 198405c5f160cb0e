"""Standard input from a command that may have the same data folder open: ``consume … | produce …``.

One process has a folder open at a time. A command that reads a pipe therefore opens the folder after the
first line has arrived. If another command of the same pipe has the folder open then, the input is kept in a
temporary file until it ends, and the folder is opened afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import BinaryIO, TypeVar

from streamcore.errors import DirectoryInUseError

T = TypeVar("T")

_END_OF_PROCESS_S = 5.0
_PAUSE_S = 0.02


def open_after_input(stream: BinaryIO, open_folder: Callable[[], T]) -> tuple[Iterable[bytes], T]:
    """Return the lines of a pipe, and the result of ``open_folder``.

    Raises:
        DirectoryInUseError: a process outside of this pipe has the folder open, or one of the pipe still has
        it
            5 s after the input has ended.
    """
    first = stream.readline()
    begun = [first] if first else []
    try:
        return chain(begun, stream), open_folder()
    except DirectoryInUseError as error:
        if not _is_of_this_pipe(error):
            raise
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - read until the command ends
    shutil.copyfileobj(stream, spool)
    spool.seek(0)
    deadline_s = time.monotonic() + _END_OF_PROCESS_S
    while True:
        try:
            return chain(begun, spool), open_folder()
        except DirectoryInUseError:
            # The other command has closed its output, so it ends soon.
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_PAUSE_S)


def _is_of_this_pipe(error: DirectoryInUseError) -> bool:
    """Whether the process that has the folder open belongs to this process group, or has ended."""
    pid = str(error).rpartition("pid=")[2]
    if not pid.isdecimal():
        return True
    try:
        return os.getpgid(int(pid)) == os.getpgid(0) and int(pid) != os.getpid()
    except ProcessLookupError:
        return True
