"""The error for a stored value that does not decode."""

from __future__ import annotations

from streamcore.errors import SerdeError, with_facts


def undecodable(error: Exception, *, table: str, key: object, data: bytes, value_type: str) -> SerdeError:
    """Return the error for a stored value that its declared type does not read: with table, key and type."""
    facts = {"table": table, "key": repr(key)[:100]}
    if value_type:
        facts["type"] = value_type
    return SerdeError(
        with_facts(
            "a stored value is not of the table's type; was the type changed? Give the table another "
            f"name, or a type that reads the old values: {error}",
            **facts,
            data=data[:100],
        )
    )
