"""The machine and the command of a run: two lines above every table of results."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path


def machine_text(folder: Path | None = None) -> str:
    """Return processor, cores, memory, system, and the kind of file system of a folder.

    Without a folder it is the one for temporary files.
    """
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB, {platform.system()} "
        f"{platform.release()}, file system {_file_system(folder or Path(tempfile.gettempdir()))}"
    )


def command_text(target: str, script: str) -> str:
    """Return the command of this run, in Markdown; also the target of `make` if only that was run."""
    words = " ".join(["python", script, *sys.argv[1:]])
    return f"`make {target}` (`{words}`)" if len(sys.argv) == 1 else f"`{words}`"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _file_system(folder: Path) -> str:
    folder = folder.resolve()
    kinds = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        kinds[place] = kind
    return next(kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds)
