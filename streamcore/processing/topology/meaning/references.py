"""The meaning of a foreign-key join of tables, one event at a time; ``references`` explains what it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streamcore.processing.topology.meaning.outputs import Event, Results
from streamcore.processing.topology.meaning.tables import keep, result_of
from streamcore.processing.topology.meaning.time import TaskMeaning, key_bytes
from streamcore.processing.topology.nodes import AnswerReferences, JoinAnswers, Refer
from streamcore.processing.topology.references import PAIRS, Note, Reference, ReferringRow, stamp_of
from streamcore.state.keys import key_codec

Call = Callable[..., Results[Any]]


def referring(task: TaskMeaning, node: Refer, event: Event, call: Call) -> list[Event]:
    """Return what a change of a row sends: the row itself, then the end of its old reference, if that
    was to another key, then its new one.
    """
    if event.key is None:
        return []
    keys = key_codec(node.foreign_key_type)
    references = task.stores[node.store.name]
    sent: list[Event] = []
    for foreign_key, foreign_bytes, data in call(foreign_key_of, node, event.value):
        for row_key in call(key_bytes, node.store, event.key):
            stamp = b"" if foreign_bytes is None else stamp_of(foreign_bytes, data)
            sent.append(replace(event, value=(0, Note(True, stamp, data))))
            old_bytes = references.get(row_key)
            if old_bytes is not None and old_bytes != foreign_bytes:
                gone = Reference(row_key, b"")
                sent.append(replace(event, key=keys.decode(old_bytes), value=(1, gone)))
            if foreign_bytes is not None:
                sent.append(replace(event, key=foreign_key, value=(1, Reference(row_key, stamp))))
            keep(references, row_key, foreign_bytes)
    return sent


def foreign_key_of(node: Refer, value: Any) -> tuple[Any, bytes | None, bytes | None]:
    """Return the foreign key of a value, its bytes, and the encoded value; ``None`` where there is none.

    Fails if one of them cannot be encoded.
    """
    if value is None:
        return None, None, None
    foreign_key = node.function(value)
    data = node.value_serde.encode(value)
    if foreign_key is None:
        return None, None, data
    return foreign_key, key_codec(node.foreign_key_type).encode(foreign_key), data


def answered(
    task: TaskMeaning, node: AnswerReferences, referred: list[Event], changed: list[Event], call: Call
) -> list[Event]:
    """Return the answers to references, then those to all references to the rows that changed."""
    references, table = task.stores[node.references.name], task.stores[node.store.name]
    decode = key_codec(node.row_key_type).decode
    answers: list[Event] = []
    for event in referred:
        if event.key is None:
            continue
        reference: Reference = event.value
        for foreign_key in call(key_bytes, node.store, event.key):
            keep(references, PAIRS.encode((foreign_key, reference.row_key)), reference.stamp or None)
            if reference.stamp:
                for value in call(result_of, node.store, table.get(foreign_key)):
                    for data in call(encoded, node, value):
                        note = Note(False, reference.stamp, data)
                        answers.append(replace(event, key=decode(reference.row_key), value=note))
    for event in changed:
        for foreign_key in call(key_bytes, node.store, event.key):
            for data in call(encoded, node, event.value):
                for place in sorted(references):
                    referred_key, row_key = PAIRS.decode(place)
                    if referred_key == foreign_key:
                        note = Note(False, references[place], data)
                        answers.append(replace(event, key=decode(row_key), value=note))
    return answers


def encoded(node: AnswerReferences, value: Any) -> bytes | None:
    """Return a value of the right table as answers carry it."""
    return None if value is None else node.value_serde.encode(value)


def joined_with_answer(task: TaskMeaning, node: JoinAnswers, event: Event, call: Call) -> list[Event]:
    """Return the row of the result that a record causes; a row that waits for its answer causes none."""
    if event.key is None:
        return []
    note: Note = event.value
    rows = task.stores[node.store.name]
    for key in call(key_bytes, node.store, event.key):
        if note.is_row:
            row = ReferringRow(note.stamp, note.data) if note.stamp and note.data is not None else None
            keep(rows, key, row)
            if row is None:
                return _results(node, event, note.data, None, call)
        else:
            row = rows.get(key)
            if row is not None and row.stamp == note.stamp:
                return _results(node, event, row.data, note.data, call)
    return []


def _results(
    node: JoinAnswers, event: Event, left: bytes | None, right: bytes | None, call: Call
) -> list[Event]:
    return [replace(event, value=value) for value in call(joined_row, node, left, right)]


def joined_row(node: JoinAnswers, left: bytes | None, right: bytes | None) -> Any:
    """Return the row of the result for the encoded values of both sides; ``None`` for no row."""
    if left is None or (right is None and not node.left):
        return None
    return node.function(
        node.left_serde.decode(left), None if right is None else node.right_serde.decode(right)
    )
