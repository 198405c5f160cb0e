"""The results of a query in a form that can be compared: the number of rows, and a digest of all of them.

The digest does not depend on the order of the rows: it is the sum of a hash of each row. A row that is
withdrawn is subtracted, so that a changelog has the digest of the rows that are left at its end. A row counts
as a JSON array of its columns; the names of columns do not count, their order does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

_HASH_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a result."""

    rows: int
    digest: str


class Rows:
    """Adds up the rows of a result, in any order."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    def add(self, row: Sequence[Any]) -> None:
        """Add a row."""
        self._count += 1
        self._sum += _hash(row)

    def withdraw(self, row: Sequence[Any]) -> None:
        """Take back a row that was added before."""
        self._count -= 1
        self._sum -= _hash(row)

    def answer(self) -> Answer:
        """Return what the rows amount to."""
        return Answer(self._count, f"{self._sum % _MODULUS:032x}")


def answer_of_rows(rows: Iterable[Sequence[Any]]) -> Answer:
    """Return the answer that consists of these rows."""
    total = Rows()
    for row in rows:
        total.add(row)
    return total.answer()


def answer_of_lines(lines: Iterable[bytes | str]) -> Answer:
    """Return the answer that JSON lines hold: arrays or objects that are rows, or changes of rows.

    A change is in Debezium's format: ``op`` is ``d`` if the row ``before`` is withdrawn; otherwise the row
    ``after`` is added. Or it has ``key`` and ``row``, and the row replaces the earlier one of the key; if the
    key is null, the row is added.
    """
    total = Rows()
    last: dict[str, Sequence[Any]] = {}
    for line in lines:
        value = json.loads(line)
        if isinstance(value, list):
            total.add(value)
        elif value.keys() == {"key", "row"}:
            if value["key"] is None:
                total.add(value["row"])
            else:
                last[json.dumps(value["key"])] = value["row"]
        elif "op" not in value:
            total.add(list(value.values()))
        elif value["op"] == "d":
            total.withdraw(list(value["before"].values()))
        else:
            total.add(list(value["after"].values()))
    for row in last.values():
        total.add(row)
    return total.answer()


def answer_of_last_rows(records: Iterable[tuple[bytes | None, bytes | None]]) -> Answer:
    """Return the answer of keys and JSON values in which a later row replaces the earlier one of its key."""
    return answer_of_rows(json.loads(value) for value in dict(records).values() if value is not None)


def answer_in_folder(folder: Path) -> Answer:
    """Return the answer that all files below a folder hold, except hidden ones."""

    def lines() -> Iterable[bytes]:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                with file.open("rb") as opened:
                    yield from opened

    return answer_of_lines(lines())


def _hash(row: Sequence[Any]) -> int:
    text = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(blake2b(text.encode(), digest_size=_HASH_BYTES).digest())
