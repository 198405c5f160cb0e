"""Standard input from a command of the same pipe, which may still have the data folder open."""

from __future__ import annotations

import io
import subprocess

import pytest

from streamcore.cli import piped_input
from streamcore.cli.piped_input import open_after_input
from streamcore.errors import DirectoryInUseError


def ended_pid() -> int:
    """Return the pid of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


class Pipe:
    """Input, and a folder that another process has open, at first or always."""

    def __init__(self, content: bytes, holder: str, times: int) -> None:
        self.stream = io.BytesIO(content)
        self.read_bytes: list[int] = []
        self._holder = holder
        self._times = times

    def open_folder(self) -> str:
        self.read_bytes.append(self.stream.tell())
        if len(self.read_bytes) <= self._times:
            raise DirectoryInUseError(f"another process uses this data folder: {self._holder}")
        return "opened"


def test_a_free_folder_is_opened_when_the_first_line_has_come() -> None:
    pipe = Pipe(b"a\nb\nc", "", times=0)

    lines, opened = open_after_input(pipe.stream, pipe.open_folder)

    assert (opened, pipe.read_bytes) == ("opened", [2])
    assert list(lines) == [b"a\n", b"b\n", b"c"]


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\nb\n\xff\0\nend"])
@pytest.mark.parametrize("holder", ["", "pid=%d"])
def test_a_folder_of_a_command_of_the_pipe_is_opened_after_the_input_has_ended(
    content: bytes, holder: str
) -> None:
    pipe = Pipe(content, holder and holder % ended_pid(), times=1)

    lines, opened = open_after_input(pipe.stream, pipe.open_folder)

    assert (opened, pipe.read_bytes[-1]) == ("opened", len(content))
    assert b"".join(lines) == content


def test_a_folder_of_a_process_outside_of_the_pipe_is_refused_at_once() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        pipe = Pipe(b"a\nb\n", f"pid={other.pid}", times=9)

        with pytest.raises(DirectoryInUseError):
            open_after_input(pipe.stream, pipe.open_folder)
        other.kill()

    assert pipe.read_bytes == [2]


def test_a_folder_that_stays_open_after_the_input_has_ended_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(piped_input, "_END_OF_PROCESS_S", -1.0)
    pipe = Pipe(b"a\nb\n", "", times=9)

    with pytest.raises(DirectoryInUseError):
        open_after_input(pipe.stream, pipe.open_folder)

    assert pipe.read_bytes == [2, 4]
