"""An application and the log of its folder or broker, for work on an application that does not run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from streamcore.log.connect import broker_place, connect
from streamcore.processing.topology.application import DeclaredApplication, ensure_application


class ApplicationLog:
    """An application with its log, which ``close`` or the end of a ``with`` closes."""

    def __init__(
        self,
        app: DeclaredApplication,
        data: Path | str,
        *,
        broker: str | None = None,
        security: Mapping[str, str] | None = None,
    ) -> None:
        """Open the log.

        Raises:
            DirectoryInUseError: another process uses the folder.
            RequestTimeoutError: the broker does not answer.
            UsageError: ``app`` is not an application.
        """
        ensure_application(app)
        self._app = app
        self._log = connect(data if broker is None else broker_place(broker), security=security)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
