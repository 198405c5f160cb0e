"""What a process costs, as the system sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class ProcessCosts:
    """Resident memory, open descriptors, threads."""

    memory_bytes: int
    descriptor_count: int
    thread_count: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """What it costs now."""
        folder = Path("/proc") / str(pid)
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
        )
        return cls(
            memory_bytes=int(status["VmRSS"].split()[0]) * 1024,
            descriptor_count=len(list((folder / "fd").iterdir())),
            thread_count=int(status["Threads"]),
        )
