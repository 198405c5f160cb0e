"""The HTTP surface of a running worker; JSON, but for metrics and topology.

::

    GET /tables                          the tables
    GET /tables/NAME                     rows: ?from= ?to= ?prefix= ?limit= (of windows: times)
    GET /tables/NAME/KEY                 the value: ?at= for a window; a key's windows: ?since= ?until=
    GET /health  /metrics  /topology     ?format=mermaid for the topology as a flowchart

``at_least`` (a position as text) lets an answer wait until the table reflects it, ``timeout`` says how long.
Queries run in threads, so neither they nor the health check wait for one another, and none of them runs
in the worker's own loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamcore.errors import RequestTimeoutError, fact_text
from streamcore.processing.runtime.running import Worker
from streamcore.processing.runtime.views import TableView
from streamcore.web.errors import HttpError, status_of
from streamcore.web.metrics import CONTENT_TYPE, WorkerMetrics
from streamcore.web.questions import (
    Freshness,
    Words,
    ensure_known,
    freshness_of,
    key_answer,
    span_answer,
    table_facts,
)

_POLL_S = 0.005
_POLL_MAX_S = 0.1

Handler = Callable[[Request], Awaitable[Response]]


def make_api(worker: Worker, restores: Mapping[str, tuple[int, int]]) -> Starlette:
    """The application that answers for a worker, which may still be starting.

    ``restores`` tells how far each store's restore is, and of how much.
    """
    api = _Api(worker, restores)
    routes = [
        Route("/tables", api.tables),
        Route("/tables/{name}", api.table),
        Route("/tables/{name}/{key:path}", api.key),
        Route("/health", api.health),
        Route("/metrics", api.metrics),
        Route("/topology", api.topology),
    ]
    return Starlette(routes=routes, exception_handlers={Exception: _failed, HTTPException: _refused})


class _Api:
    """The handlers."""

    def __init__(self, worker: Worker, restores: Mapping[str, tuple[int, int]]) -> None:
        self._worker = worker
        self._restores = restores
        self._metrics = WorkerMetrics(worker, restores)

    async def tables(self, request: Request) -> Response:
        """What tables there are."""
        return await self._answer(request, self._tables)

    async def table(self, request: Request) -> Response:
        """The rows of a table."""
        return await self._answer(request, self._rows)

    async def key(self, request: Request) -> Response:
        """The value of a key."""
        return await self._answer(request, self._value)

    async def health(self, request: Request) -> Response:
        """Whether the worker works: 200, or 503 with the reason."""
        failure = self._worker.failure()
        if failure is not None:
            return _json({"status": "failing", "reason": f"{type(failure).__name__}: {failure}"}, 503)
        if not self._worker.is_open:
            restoring = {
                store: {"done": done, "of": of} for store, (done, of) in dict(self._restores).items()
            }
            return _json(
                {"status": "starting", "reason": "state is being restored", "restore": restoring}, 503
            )
        return _json({"status": "ok", "application": self._worker.app.app_id})

    async def metrics(self, request: Request) -> Response:
        """The numbers, for Prometheus."""
        return Response(await run_in_threadpool(self._metrics.text), media_type=CONTENT_TYPE)

    async def topology(self, request: Request) -> Response:
        """The application, as text or as a Mermaid flowchart."""
        style = request.query_params.get("format", "text")
        if style not in ("text", "mermaid"):
            return _error(400, f"the format is text or mermaid: {fact_text(format=repr(style)[:50])}")
        return PlainTextResponse(self._worker.app.describe(mermaid=style == "mermaid"))

    # -- within

    async def _answer(self, request: Request, ask: Callable[[Request, Words], object]) -> Response:
        """Ask in a thread, once the table is as fresh as wanted."""
        try:
            if not self._worker.is_open:
                raise HttpError(503, "the tables are not ready: the worker is starting or stopping")
            words = _words(request)
            freshness = freshness_of(words)
            if freshness is not None and "name" in request.path_params:
                await self._wait_for(self._view(request), freshness)
            return _json(await run_in_threadpool(ask, request, words))
        except Exception as error:
            if status_of(error) == 500 and not isinstance(error, HttpError):
                raise
            return _error(status_of(error), str(error), reason=getattr(error, "reason", None))

    async def _wait_for(self, view: TableView, wanted: Freshness) -> None:
        freshness = self._worker.freshness(view.store, wanted.position)
        deadline_s = time.monotonic() + wanted.timeout_ms / 1000
        pause_s = _POLL_S
        while not await run_in_threadpool(freshness.is_reached):
            failure = self._worker.failure()
            if failure is not None:
                raise HttpError(503, f"the worker has failed: {failure}")
            if time.monotonic() >= deadline_s:
                raise RequestTimeoutError(
                    "the table does not reflect the position yet: "
                    + fact_text(
                        table=view.name, at_least=wanted.position.to_text(), timeout_ms=wanted.timeout_ms
                    )
                )
            await asyncio.sleep(pause_s)
            pause_s = min(_POLL_MAX_S, pause_s * 1.5)

    def _view(self, request: Request) -> TableView:
        name: str = request.path_params["name"]
        known = self._worker.table_names()
        if name not in known:
            raise HttpError(404, f"there is no such table: {fact_text(table=name, tables=','.join(known))}")
        return self._worker.table(name)

    def _tables(self, request: Request, words: Words) -> object:
        ensure_known(words)
        worker = self._worker
        global_tables = worker.tasks.assembly.global_tables
        facts = [
            table_facts(worker.table(name), is_global=name in global_tables) for name in worker.table_names()
        ]
        return {"application": worker.app.app_id, "tables": facts}

    def _rows(self, request: Request, words: Words) -> object:
        return span_answer(self._view(request), words)

    def _value(self, request: Request, words: Words) -> object:
        return key_answer(self._view(request), request.path_params["key"], words)


def _words(request: Request) -> Words:
    words = request.query_params
    if len(words.multi_items()) != len(words):
        raise HttpError(400, "a parameter is given twice")
    return dict(words)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", status, media_type="application/json")


def _error(status: int, message: str, *, reason: str | None = None) -> Response:
    return _json({"error": message, **({} if reason is None else {"reason": reason})}, status)


async def _refused(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such page, or not a GET."""
    assert isinstance(error, HTTPException)
    pages = "/tables, /tables/NAME, /tables/NAME/KEY, /health, /metrics, /topology"
    message = f"there is no such page, try {pages}" if error.status_code == 404 else error.detail
    return _error(error.status_code, f"{message}: {fact_text(path=request.url.path)}")


async def _failed(request: Request, error: Exception) -> Response:
    """What we did not expect: the worker goes on, the asker learns that it is not his fault."""
    return _error(500, f"{type(error).__name__}: {error}")
