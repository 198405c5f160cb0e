"""Read the tables of a running worker over HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from streamcore.errors import UsageError, with_facts

PAGE_ROWS = 10_000
_TIMEOUT_S = 60.0

Row = dict[str, Any]


class RemoteTables:
    """The tables of the worker at an address."""

    def __init__(self, address: str) -> None:
        """Set the address: ``HOST:PORT``, with or without ``http://``. Nothing is sent yet."""
        self._address = address.removeprefix("http://").rstrip("/")

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
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            body = response.read()
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
        try:
            reply = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError:
            reply = {"error": with_facts("this is no worker of ours", http=self._address)}
        if response.status == 404 and missing is not None and reply.get("reason") == "no value":
            return missing
        if response.status != 200:
            raise UsageError(str(reply.get("error", body[:200])))
        return reply


def _path(name: str) -> str:
    return f"/tables/{quote(name, safe='', errors='surrogateescape')}"
