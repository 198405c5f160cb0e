"""Errors as HTTP answers: a status and ``{"error": "..."}``."""

from __future__ import annotations

from streamcore.errors import (
    ClosedError,
    NotOwnerError,
    RequestTimeoutError,
    StreamCoreError,
    UsageError,
)


class HttpError(Exception):
    """An error with its HTTP status and a text that says what to do."""

    def __init__(
        self, status: int, message: str, *, reason: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """Set status and text.

        Args:
            reason: a word for programs, if the status is not specific enough.
            retry_after_s: when the same request may have an answer.
        """
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


def status_of(error: Exception) -> int:
    """Return the status of an error: 4xx for a wrong request, 503 not ready, 504 timed out, 500 others."""
    match error:
        case HttpError():
            return error.status
        case ClosedError() | NotOwnerError():
            return 503
        case RequestTimeoutError():
            return 504
        case UsageError():
            return 400
        case StreamCoreError():
            return 500
        case _:
            return 500
