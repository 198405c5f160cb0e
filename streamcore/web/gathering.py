"""Answers for tables whose partitions several workers have.

The partitions of a question that are not here go to the workers that have them: one request to each, which
names the partitions (``partitions=0,2``), so it is answered by exactly these and never forwarded again. A
worker that does not have one of them refuses (503). Then the group is asked who has it, and the question goes
out once more; after that the client is asked to try again in a second.

A request names the worker that it is for, and an answer the one that it is from: another program may listen
at the address of a worker that has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.concurrency import run_in_threadpool

from streamcore.errors import NotOwnerError, fact_text, with_facts
from streamcore.processing.runtime.key_partitions import KeyPartition
from streamcore.processing.runtime.table_query import TableQuery
from streamcore.processing.runtime.task import TaskId
from streamcore.web.errors import HttpError
from streamcore.web.merging import merged_position, merged_rows, only_answer
from streamcore.web.owners import Owner, Owners
from streamcore.web.peers import PeerError, Peers
from streamcore.web.questions import (
    NO_VALUE,
    Json,
    Words,
    freshness_of,
    limit_of,
    no_value,
    parsed_key,
)

WORKER_HEADER: Final = "streamcore-worker"
"""In a request the name of the worker that it is for, in an answer that of the worker that it is from."""

RETRY_AFTER_S: Final = 1
_ANSWER_S: Final = 5.0
"""How long a worker may take to answer, besides the wait for a position."""
_LIST_S: Final = 2.0
_TRIES: Final = 2
NOT_HERE: Final = "not here"

AnswerHere = Callable[[TableQuery, str | None, Words], Awaitable[Json]]
"""Answers a question from the partitions of a query object: a key, or ``None`` for rows."""


class Gathering:
    """Asks the workers that have the partitions of a question. For one event loop."""

    def __init__(self, name: str, owners: Owners, peers: Peers, answer_here: AnswerHere) -> None:
        """``name`` is this worker's among those of the application."""
        self._name = name
        self._owners = owners
        self._peers = peers
        self._answer_here = answer_here

    async def rows(self, view: TableQuery, words: Words) -> Json:
        """Answer for a range of keys or windows of all partitions.

        Raises:
            HttpError: 503, if a partition has no owner now.
        """
        partitions = range(await run_in_threadpool(view.partition_count))
        replies = await self._ask(view, partitions, None, words)
        return merged_rows(view, [reply for reply in replies if reply is not None], limit_of(words))

    async def key(self, view: TableQuery, text: str, words: Words) -> Json:
        """Answer for one key, from the partition that it leads to; if that has no value for it and another
        may have one, from all others.

        Raises:
            HttpError: 404, if the key has no value; 503, if a partition has no owner now.
        """
        place, count = await run_in_threadpool(_place_of, view, text)
        first = [] if place is None else [place.partition]
        replies = await self._ask(view, first, text, words)
        if not any(map(_has_answer, replies)) and not (place is not None and place.is_certain):
            rest = [number for number in range(count) if number not in first]
            replies += await self._ask(view, rest, text, words)
        found = [reply for reply in replies if reply is not None]
        if view.is_windowed and "at" not in words:
            return merged_rows(view, found, limit_of(words))
        answer = only_answer(view, text, found)
        if answer is None:
            raise no_value(view, text)
        return answer

    async def positions(self, tables: Sequence[Json]) -> list[Json]:
        """Return the descriptions of tables with the positions of all workers that answer at once."""
        others = [
            owner
            for owner in await run_in_threadpool(self._owners.all)
            if owner.worker != self._name and owner.address is not None
        ]
        target = f"/tables?{urlencode({'local': '1'})}"
        replies = await asyncio.gather(
            *(self._request(owner, target, _LIST_S) for owner in others), return_exceptions=True
        )
        found: dict[str, list[Any]] = {table["table"]: [table["position"]] for table in tables}
        for reply in replies:
            if isinstance(reply, NotOwnerError | HttpError):
                continue
            if isinstance(reply, BaseException):
                raise reply
            for table in reply["tables"]:
                found.get(table["table"], []).append(table["position"])
        return [{**table, "position": merged_position(found[table["table"]])} for table in tables]

    async def _ask(
        self, view: TableQuery, partitions: Collection[int], key: str | None, words: Words
    ) -> list[Json | None]:
        """Return the answers of the owners of partitions; ``None`` where the key has no value."""
        refused_by: set[Owner] = set()
        refusal = NotOwnerError()
        for _ in range(_TRIES):
            here = set(await run_in_threadpool(view.partitions))
            try:
                found = await self._owners_of(view, set(partitions) - here, refused_by)
            except NotOwnerError as error:
                refusal = refusal if refused_by else error
                break
            own = [number for number in partitions if number in here]
            asked: list[Awaitable[Json | None]] = [self._here(view, own, key, words)] if own else []
            asked += [self._elsewhere(owner, view, some, key, words) for owner, some in found.items()]
            replies = await asyncio.gather(*asked, return_exceptions=True)
            if not (failures := [reply for reply in replies if isinstance(reply, BaseException)]):
                return [reply for reply in replies if not isinstance(reply, BaseException)]
            for failure in failures:
                if not isinstance(failure, NotOwnerError):
                    raise failure
                refusal = failure
            owners = [*([None] if own else []), *found]
            refused_by = {
                owner
                for owner, reply in zip(owners, replies, strict=True)
                if owner is not None and isinstance(reply, NotOwnerError)
            }
        raise HttpError(503, str(refusal), reason=NOT_HERE, retry_after_s=RETRY_AFTER_S) from refusal

    async def _owners_of(
        self, view: TableQuery, partitions: Collection[int], refused_by: Collection[Owner]
    ) -> dict[Owner, list[int]]:
        """Return the workers that have partitions.

        Raises:
            NotOwnerError: none has one of them, or one that has just refused it.
        """
        if not partitions:
            return {}
        assert view.sub_topology is not None  # Every worker has all partitions of a global table.
        tasks = {TaskId(view.sub_topology, number): number for number in sorted(partitions)}
        owners = await run_in_threadpool(lambda: self._owners.of(tasks, refused=bool(refused_by)))
        if any(owner.worker == self._name for owner in owners.values()):  # It was this worker before.
            owners = await run_in_threadpool(lambda: self._owners.of(tasks, refused=True))
        grouped: dict[Owner, list[int]] = {}
        for task, number in tasks.items():
            owner = owners.get(task)
            if owner is None or owner.worker == self._name or owner in refused_by:
                raise NotOwnerError(
                    "a worker opens this part of the table just now, or none has it; try again: "
                    + fact_text(table=view.name, partition=number)
                )
            grouped.setdefault(owner, []).append(number)
        return grouped

    async def _here(
        self, view: TableQuery, partitions: Sequence[int], key: str | None, words: Words
    ) -> Json | None:
        try:
            return await self._answer_here(view.only(partitions), key, words)
        except HttpError as error:
            if error.reason == NO_VALUE:
                return None
            raise

    async def _elsewhere(
        self, owner: Owner, view: TableQuery, partitions: Sequence[int], key: str | None, words: Words
    ) -> Json | None:
        asked = {
            **words,
            **({} if key is None else {"key": key}),
            "partitions": ",".join(map(str, partitions)),
        }
        freshness = freshness_of(words)
        wait_s = 0.0 if freshness is None else freshness.timeout_ms / 1000
        target = f"/tables/{_quoted(view.name)}?{urlencode(asked, errors='surrogateescape')}"
        try:
            return await self._request(owner, target, wait_s + _ANSWER_S)
        except HttpError as error:
            if error.reason == NO_VALUE:
                return None
            raise

    async def _request(self, owner: Owner, target: str, timeout_s: float) -> Json:
        """Ask a worker.

        Raises:
            HttpError: the question is wrong, or its answer is an error.
            NotOwnerError: the worker does not answer, or not for these partitions.
        """
        if owner.address is None:
            raise NotOwnerError(
                with_facts(
                    "the worker that has this part of the table has no HTTP server; start it with --http",
                    worker=owner.worker,
                )
            )
        facts = {"worker": owner.worker, "http": owner.address}
        try:
            reply = await self._peers.get(owner.address, target, {WORKER_HEADER: owner.worker}, timeout_s)
        except PeerError as error:
            raise NotOwnerError(
                with_facts(
                    "the worker that has this part of the table does not answer; try again",
                    **facts,
                    reason=error,
                )
            ) from error
        content: Mapping[str, Any] = {}
        if reply.headers.get(WORKER_HEADER) == owner.worker:
            content = msgspec.json.decode(reply.body, type=dict[str, Any])
        if reply.status == 503 or not content:
            raise NotOwnerError(
                with_facts(
                    "the worker that had this part of the table does not have it; try again",
                    **facts,
                    reason=content.get("error", "another program answers there"),
                )
            )
        if reply.status != 200:
            raise HttpError(reply.status, str(content.get("error")), reason=content.get("reason"))
        return dict(content)


def _has_answer(reply: Json | None) -> bool:
    return reply is not None and ("rows" not in reply or bool(reply["rows"]))


def _place_of(view: TableQuery, text: str) -> tuple[KeyPartition | None, int]:
    return view.partition_of(parsed_key(view, text)), view.partition_count()


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="surrogateescape")
