"""The HTTP API of a running worker. Answers are JSON, except for metrics and topology.

::

    GET /tables                          the tables
    GET /tables/NAME                     rows: ?from= ?to= ?prefix= ?limit= (of windows: times)
    GET /tables/NAME?key=KEY             the value: ?at= for a window; a key's windows: ?since= ?until=
    GET /tables/NAME/KEY                 the same
        ?partitions=0,2                  only these partitions, which this worker must have
        ?local=1                         only what this worker has
    GET /health  /metrics  /topology     ?format=mermaid for the topology as a flowchart

Of several workers that share an application, each answers for all partitions: it asks those that have the
others (``gathering``), except with ``partitions`` or ``local``.

With ``at_least`` (a position as text) the answer waits until the table reflects it, at most ``timeout``.
NAME and KEY are read from the bytes of the request line, each percent-encoding decoded once. KEY is
everything behind the slash that follows NAME: it may be empty and may hold dots, slashes and line ends.
Bytes that are not UTF-8 become surrogates, which only keys of bytes accept
(``streamcore.state.text_forms``). Clients and proxies rewrite the paths ``.`` and ``..``; ``?key=`` is for
these keys.

Queries run in threads. They and the health check do not wait for one another, and none of them runs in the
worker's event loop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamcore.errors import NotOwnerError, RequestTimeoutError, StreamCoreError, with_facts
from streamcore.processing.runtime.running import Worker
from streamcore.processing.runtime.table_query import TableQuery
from streamcore.processing.topology.describe import mermaid_text, plain_text
from streamcore.web.errors import HttpError, status_of
from streamcore.web.gathering import NOT_HERE, RETRY_AFTER_S, WORKER_HEADER, Gathering
from streamcore.web.metrics import CONTENT_TYPE, WorkerMetrics
from streamcore.web.owners import owners_of_worker
from streamcore.web.peers import Peers
from streamcore.web.questions import (
    Freshness,
    Json,
    Words,
    ensure_known,
    freshness_of,
    key_answer,
    span_answer,
    table_facts,
)

_POLL_S = 0.005
_POLL_MAX_S = 0.1
_NUMBERS = re.compile(r"[0-9]{1,6}(,[0-9]{1,6})*")


def make_api(
    worker: Worker, restores: Mapping[str, tuple[int, int]], peers: Peers | None = None
) -> Starlette:
    """Return the ASGI application that answers for a worker, which may still be starting.

    Args:
        restores: each store's restored and total number of records.
        peers: the connections to other workers; the caller closes them.
    """
    api = _Api(worker, restores, Peers() if peers is None else peers)
    routes = [
        Route("/tables", api.tables),
        Route("/tables/{rest:rest}", api.tables),
        Route("/health", api.health),
        Route("/metrics", api.metrics),
        Route("/topology", api.topology),
    ]
    found = Starlette(routes=routes, exception_handlers={Exception: _failed, HTTPException: _refused})
    # An additional slash at the end of a path is part of the key.
    found.router.redirect_slashes = False
    return found


class _RestOfPath(Convertor[str]):
    """The rest of a path, with line ends, which Starlette's own ``path`` does not match."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Return the text."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text."""
        return value


register_url_convertor("rest", _RestOfPath())


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request about tables, from the request line ``/tables/NAME/KEY?words``."""

    table: str | None
    key: str | None
    words: Words
    """The parameters of the question itself."""
    partitions: frozenset[int] | None
    """The only partitions that the question is for."""
    is_local: bool
    """Whether the question is only for what this worker has."""


def _asked(request: Request) -> _Asked:
    """Parse the request line.

    Raises:
        HttpError: a parameter is given twice, or a key in the path and as a parameter.
    """
    path: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    parts = [_decoded(part) for part in path.split(b"/", 3)[2:]]
    words: dict[str, str] = {}
    pairs = parse_qsl(
        request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape"
    )
    for name, value in pairs:
        if name in words:
            raise HttpError(400, with_facts("a parameter is given twice", parameter=ascii(name)[:50]))
        words[name] = value
    key = parts[1] if len(parts) == 2 else None
    if "key" in words:
        if key is not None:
            raise HttpError(400, "the key is in the path: leave the parameter key out")
        key = words.pop("key")
    table = parts[0] if parts and parts != [""] else None
    partitions, local = words.pop("partitions", None), words.pop("local", None)
    if local not in (None, "1"):
        raise HttpError(400, with_facts("write local=1, or leave it out", local=ascii(local)[:50]))
    if partitions is not None and (table is None or not _NUMBERS.fullmatch(partitions)):
        raise HttpError(
            400,
            with_facts("partitions are the numbers of a table's, as 0,2", partitions=ascii(partitions)[:50]),
        )
    numbers = None if partitions is None else frozenset(map(int, partitions.split(",")))
    return _Asked(table, key, words, numbers, local is not None)


def _decoded(part: bytes) -> str:
    """Decode percent-encoding; bytes that are not UTF-8 become surrogates (PEP 383)."""
    return unquote_to_bytes(part).decode(errors="surrogateescape")


class _Api:
    """The handlers of the requests."""

    def __init__(self, worker: Worker, restores: Mapping[str, tuple[int, int]], peers: Peers) -> None:
        self._worker = worker
        self._restores = restores
        self._metrics = WorkerMetrics(worker, restores)
        self._peers = peers
        self._owners = owners_of_worker(worker)

    async def tables(self, request: Request) -> Response:
        """Answer with the tables, the rows of a table, or the value of a key."""
        try:
            response = _json(await self._answer(request))
        except Exception as error:
            if status_of(error) == 500 and not isinstance(error, HttpError | StreamCoreError):
                raise
            response = _refusal(error)
        if self._worker.shared_name is not None:
            response.headers[WORKER_HEADER] = self._worker.shared_name
        return response

    async def _answer(self, request: Request) -> object:
        wanted = request.headers.get(WORKER_HEADER)
        if wanted is not None and wanted != self._worker.shared_name:
            raise HttpError(503, with_facts("another worker answers here now", worker=ascii(wanted)[:100]))
        if not self._worker.is_open:
            raise HttpError(503, "the tables are not ready: the worker is starting or stopping")
        asked = _asked(request)
        if asked.table is None:
            return await self._list(asked)
        view = self._view(asked.table)
        if asked.partitions is not None or asked.is_local:
            return await self._part(view, asked)
        name = self._worker.shared_name
        if name is None or view.sub_topology is None:
            return await self._here(view, asked.key, asked.words)
        gathering = Gathering(name, self._owners, self._peers, self._here)
        if asked.key is None:
            return await gathering.rows(view, asked.words)
        return await gathering.key(view, asked.key, asked.words)

    async def _list(self, asked: _Asked) -> Json:
        tables = await run_in_threadpool(self._tables, asked.words)
        name = self._worker.shared_name
        if name is not None and not asked.is_local:
            tables = await Gathering(name, self._owners, self._peers, self._here).positions(tables)
        return {"application": self._worker.app.app_id, "tables": tables}

    async def _part(self, view: TableQuery, asked: _Asked) -> Json:
        """Answer from some partitions, which are then part of the answer with rows."""
        if asked.partitions is not None:
            partitions = sorted(asked.partitions)
            count = await run_in_threadpool(view.partition_count)
            if partitions[-1] >= count:
                raise HttpError(
                    400, with_facts("the table has no such partition", partition=partitions[-1], count=count)
                )
        else:
            partitions = await run_in_threadpool(view.partitions)
            if asked.key is not None:
                return await self._here(view, asked.key, asked.words)
        reply = await self._here(view.only(partitions), asked.key, asked.words)
        return {**reply, "partitions": partitions} if "rows" in reply else reply

    async def _here(self, view: TableQuery, key: str | None, words: Words) -> Json:
        """Answer from the partitions of a query, once they reflect the position that is asked for."""
        freshness = freshness_of(words)
        if freshness is not None:
            await self._wait_for(view, freshness)
        if key is None:
            return await run_in_threadpool(span_answer, view, words)
        return await run_in_threadpool(key_answer, view, key, words)

    async def health(self, request: Request) -> Response:
        """Answer 200 if the worker works, else 503 with the reason."""
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
        """Answer with the metrics, for Prometheus."""
        return Response(await run_in_threadpool(self._metrics.text), media_type=CONTENT_TYPE)

    async def topology(self, request: Request) -> Response:
        """Answer with the application as text or as a Mermaid flowchart."""
        style = request.query_params.get("format", "text")
        if style not in ("text", "mermaid"):
            return _error(400, with_facts("the format is text or mermaid", format=repr(style)[:50]))
        text = mermaid_text if style == "mermaid" else plain_text
        return PlainTextResponse(text(self._worker.app.declared().plan))

    # -- within

    async def _wait_for(self, view: TableQuery, wanted: Freshness) -> None:
        freshness = self._worker.freshness(view.store, wanted.position)
        deadline_s = time.monotonic() + wanted.timeout_ms / 1000
        pause_s = _POLL_S
        while not await run_in_threadpool(freshness.is_reached):
            failure = self._worker.failure()
            if failure is not None:
                raise HttpError(503, f"the worker has failed: {failure}")
            if time.monotonic() >= deadline_s:
                raise RequestTimeoutError(
                    with_facts(
                        "the table does not reflect the position yet",
                        table=view.name,
                        at_least=wanted.position.to_text(),
                        timeout_ms=wanted.timeout_ms,
                    )
                )
            await asyncio.sleep(pause_s)
            pause_s = min(_POLL_MAX_S, pause_s * 1.5)

    def _view(self, name: str) -> TableQuery:
        known = self._worker.table_names()
        if name not in known:
            tables = ",".join(known) or "none"
            raise HttpError(
                404, with_facts("there is no such table", table=ascii(name)[1:-1][:300], tables=tables)
            )
        return self._worker.table(name)

    def _tables(self, words: Words) -> list[Json]:
        ensure_known(words)
        worker = self._worker
        global_tables = worker.tasks.task_set.global_tables
        return [
            table_facts(worker.table(name), is_global=name in global_tables) for name in worker.table_names()
        ]


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", status, media_type="application/json")


def _error(status: int, message: str, *, reason: str | None = None) -> Response:
    message = message.encode(errors="backslashreplace").decode()
    return _json({"error": message, **({} if reason is None else {"reason": reason})}, status)


def _refusal(error: Exception) -> Response:
    """Answer with an error that was foreseen."""
    reason, retry_after_s = getattr(error, "reason", None), getattr(error, "retry_after_s", None)
    if isinstance(error, NotOwnerError):
        reason, retry_after_s = NOT_HERE, RETRY_AFTER_S
    response = _error(status_of(error), str(error), reason=reason)
    if retry_after_s is not None:
        response.headers["retry-after"] = str(retry_after_s)
    return response


async def _refused(request: Request, error: Exception) -> Response:
    """Answer a request that the router refuses: no such page, or not a GET."""
    assert isinstance(error, HTTPException)
    pages = "/tables, /tables/NAME, /tables/NAME/KEY, /health, /metrics, /topology"
    message = f"there is no such page, try {pages}" if error.status_code == 404 else error.detail
    return _error(error.status_code, with_facts(message, path=ascii(request.scope["path"])[1:-1][:300]))


async def _failed(request: Request, error: Exception) -> Response:
    """Answer 500 for an unexpected exception; the worker goes on."""
    return _error(500, f"{type(error).__name__}: {error}")
