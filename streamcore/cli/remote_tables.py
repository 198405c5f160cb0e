"""Read the tables of a running worker over HTTP.

Of several workers, the one at the address asks the others. While a task moves between them, an answer says
when to ask again (503 with ``Retry-After``); the request is then repeated for as long as a worker that died
keeps its tasks.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from streamcore.errors import UsageError, with_facts

PAGE_ROWS: Final = 10_000
_TIMEOUT_S: Final = 60.0
_PATIENCE_S: Final = 20
"""How long to ask again: a worker that died keeps its tasks for 10 s, and the next one opens them."""
_PAUSE_S_MAX: Final = 5

Row = dict[str, Any]


class RemoteTables:
    """The tables of the worker at an address."""

    def __init__(self, address: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Set the address: ``HOST:PORT``, with or without ``http://``. Nothing is sent yet."""
        self._address = address.removeprefix("http://").rstrip("/")
        self._sleep = sleep

    def tables(self) -> list[Row]:
        """Return one row per table."""
        reply = self._ask("/tables", {})
        return [{"app": reply["application"], **table} for table in reply["tables"]]

    def get(self, name: str, key: str, at: str | None) -> list[Row]:
        """Return the value of a key; without ``at``, all windows of a key of a windowed table."""
        # The key is a parameter, because proxies rewrite paths that contain dots.
        words = {"key": key, **({} if at is None else {"at": at})}
        reply = self._ask(_path(name), words, missing={})
        if "rows" in reply:
            return [{**row, "position": reply["position"]} for row in reply["rows"]]
        reply.pop("table", None)
        return [reply] if reply else []

    def scan(
        self, name: str, start: str | None, end: str | None, limit: int | None, prefix: str | None = None
    ) -> Iterator[Row]:
        """Return the rows of the keys in ``[start, end)``, or with a prefix, in order.

        Of a windowed table ``start`` and ``end`` are times, between which its windows start.
        """
        left = limit
        seen: list[Row] = []
        while left is None or left > 0:
            # The next page begins at the last start of this one, without the rows already returned.
            wanted = PAGE_ROWS if left is None else min(PAGE_ROWS, left + len(seen))
            words = {"prefix": prefix, "from": start, "to": end, "limit": str(min(PAGE_ROWS, wanted))}
            reply = self._ask(_path(name), {k: v for k, v in words.items() if v is not None})
            rows = [row for row in reply["rows"] if row not in seen]
            for row in rows:
                yield {**row, "position": reply["position"]}
            if left is not None:
                left -= len(rows)
            if not reply["more"]:
                return
            if "next" in reply:
                start = reply["next"]
                continue
            if not rows:
                raise UsageError(
                    with_facts(
                        "more windows start at one time than one answer takes; ask for single keys, or "
                        "stop the worker and read the folder",
                        table=name,
                        limit=PAGE_ROWS,
                    )
                )
            last = rows[-1]["start_ms"]
            start = str(last)
            seen = [row for row in reply["rows"] if row["start_ms"] == last]

    def _ask(self, path: str, words: dict[str, str], missing: Row | None = None) -> Row:
        target = f"{path}?{urlencode(words, errors='surrogateescape')}" if words else path
        waited_s = 0
        while True:
            status, retry_after, body = self._get(target)
            pause_s = min(_PAUSE_S_MAX, int(retry_after)) if retry_after.isdecimal() else 0
            if status != 503 or not pause_s or waited_s >= _PATIENCE_S:
                break
            waited_s += pause_s
            self._sleep(pause_s)
        try:
            reply = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError:
            reply = {"error": with_facts("this is no worker of ours", http=self._address)}
        if status == 404 and missing is not None and reply.get("reason") == "no value":
            return missing
        if status != 200:
            raise UsageError(str(reply.get("error", body[:200])))
        return reply

    def _get(self, target: str) -> tuple[int, str, bytes]:
        """Return the status, ``Retry-After`` and the content of an answer."""
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.headers.get("Retry-After", ""), response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UsageError(
                with_facts(
                    "no worker answers here; start one with --http, or read the folder with --data",
                    http=self._address,
                    reason=error,
                )
            ) from error
        finally:
            connection.close()


def _path(name: str) -> str:
    return f"/tables/{quote(name, safe='', errors='surrogateescape')}"
