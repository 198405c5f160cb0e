"""How failures become HTTP answers: a status and ``{"error": "..."}``."""

from __future__ import annotations

from streamcore.errors import (
    ClosedError,
    RequestTimeoutError,
    StreamCoreError,
    UsageError,
)


class HttpError(Exception):
    """An answer other than 200, with what to do about it."""

    def __init__(self, status: int, message: str, *, reason: str | None = None) -> None:
        """``reason`` is a word for programs, where the status says too little."""
        super().__init__(message)
        self.status = status
        self.reason = reason


def status_of(error: Exception) -> int:
    """Whose turn it is: 4xx the asker's, 503 later, 504 took too long, 500 ours."""
    match error:
        case HttpError():
            return error.status
        case ClosedError():
            return 503
        case RequestTimeoutError():
            return 504
        case UsageError():
            return 400
        case StreamCoreError():
            return 500
        case _:
            return 500
