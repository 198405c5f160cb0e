"""The operators of a foreign-key join of tables. What they mean is in ``topology/meaning/references``.

A change of a right row finds the references to it in the round by their origins, and those of earlier rounds
in one range of the store, which is read once for each key that changes in the round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamcore.processing.operators.batch import Batch, BatchSource, holds_none, merged
from streamcore.processing.operators.derived_tables import results_of
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, fitting, loaded
from streamcore.processing.operators.tables import StoreHistory
from streamcore.processing.topology.meaning.references import encoded, foreign_key_of, joined_row
from streamcore.processing.topology.nodes import AnswerReferences, JoinAnswers, Refer
from streamcore.processing.topology.references import Note, Reference, ReferringRow, stamp_of
from streamcore.state.keys import key_codec
from streamcore.state.pairs import Pair, PairStore
from streamcore.state.write_back import WriteBack


class ReferOperator:
    """Emits for each change of a row the row itself, and what becomes of its reference."""

    def __init__(self, guard: Guard, node: Refer, store: WriteBack[Any, Any]) -> None:
        self._guard = guard
        self._node = node
        self._store = store
        self._row_keys = key_codec(node.store.key_type)
        self._foreign_keys = key_codec(node.foreign_key_type)

    def process(self, batch: Batch) -> Batch | None:
        """Return what the changes send, in their order, for the two arms."""
        batch = self._with_foreign_keys(self._guard.with_keys(batch))
        batch, identities, stored = loaded(self._guard, self._store, batch.keys, batch)
        if not len(batch):
            return None
        current = {identity: stored.get(identity) for identity in identities}
        decode = self._foreign_keys.decode
        indexes: list[int] = []
        keys: list[Any] = []
        sent: list[tuple[int, Note | Reference]] = []
        row_keys = self._row_keys.encode_identities(identities)
        for index, (key, identity, row_key, found) in enumerate(
            zip(batch.keys, identities, row_keys, batch.values, strict=True)
        ):
            foreign_key, foreign_bytes, data = found
            stamp = b"" if foreign_bytes is None else stamp_of(foreign_bytes, data)
            indexes.append(index)
            keys.append(key)
            sent.append((0, Note(True, stamp, data)))
            old_bytes = current[identity]
            if old_bytes is not None and old_bytes != foreign_bytes:
                indexes.append(index)
                keys.append(decode(old_bytes))
                sent.append((1, Reference(row_key, b"")))
            if foreign_bytes is not None:
                indexes.append(index)
                keys.append(foreign_key)
                sent.append((1, Reference(row_key, stamp)))
            current[identity] = foreign_bytes
        self._store.put_many(current)
        return batch.take(indexes).with_keys(keys).with_values(sent)

    def _with_foreign_keys(self, batch: Batch) -> Batch:
        """Return the changes with what ``foreign_key_of`` returns for their values."""
        node, guard, values = self._node, self._guard, batch.values
        if not holds_none(values):
            foreign_keys = guard.attempt(node.function, values)
            data = None if foreign_keys is None else guard.attempt(node.value_serde.encode, values)
            if foreign_keys is not None and data is not None and not holds_none(foreign_keys):
                encoded = guard.attempt(self._foreign_keys.encode_many, [foreign_keys])
                if encoded is not None:
                    return batch.with_values(list(zip(foreign_keys, encoded[0], data, strict=True)))
        found, kept = guard.map(lambda value: foreign_key_of(node, value), values, batch)
        return (batch if kept is None else batch.take(kept)).with_values(found)


class AnswerReferencesOperator:
    """Answers references to rows of a table, and answers them again when a row changes."""

    def __init__(
        self,
        guard: Guard,
        node: AnswerReferences,
        references: PairStore[bytes],
        table: WriteBack[Any, Any],
        history: StoreHistory | None,
    ) -> None:
        """Create the operator; ``history`` is that of the table."""
        self._guard = guard
        self._node = node
        self._references = references
        self._table = table
        self._history = history
        self._row_keys = key_codec(node.row_key_type)
        self._foreign_keys = key_codec(node.store.key_type)

    def process_sides(
        self, referred: Batch | None, changed: Batch | None, source: BatchSource
    ) -> Batch | None:
        """Return the answers to the references of a round, and to those of the rows that changed in it."""
        places: list[Pair] = []
        answers: list[Batch] = []
        if referred is not None:
            referred = self._guard.with_keys(referred)
        if referred is not None and len(referred):
            referred, identities, table = self._known(referred)
            foreign_keys = self._foreign_keys.encode_identities(identities)
            places = [
                (key, reference.row_key) for key, reference in zip(foreign_keys, referred.values, strict=True)
            ]
            answers.append(self._to_references(referred, identities, table))
        if changed is not None and len(changed):
            answers.append(self._to_changes(changed, referred, places))
        if referred is not None and places:
            stamps: dict[Pair, Any] = {
                place: reference.stamp or None
                for place, reference in zip(places, referred.values, strict=True)
            }
            self._references.put_many(stamps)
        return merged(answers)

    def _known(self, batch: Batch) -> tuple[Batch, Sequence[Any], dict[Any, Any]]:
        return loaded(self._guard, self._table, batch.keys, batch)

    def _to_references(self, batch: Batch, identities: Sequence[Any], table: dict[Any, Any]) -> Batch:
        """Return the answers to references, with the rows as of each."""
        if self._history is None:
            states = [table.get(identity) for identity in identities]
        else:
            states = self._history.as_of(identities, batch.origins, table)
        flags = [bool(reference.stamp) for reference in batch.values]
        if not all(flags):
            batch = batch.where(flags)
            states = [state for state, flag in zip(states, flags, strict=True) if flag]
        batch, values = results_of(self._guard, self._node.store, states, batch)
        batch, data = self._encoded(batch, values)
        return self._answers(
            batch,
            [reference.row_key for reference in batch.values],
            [
                Note(False, reference.stamp, found)
                for reference, found in zip(batch.values, data, strict=True)
            ],
        )

    def _to_changes(self, changed: Batch, referred: Batch | None, places: Sequence[Pair]) -> Batch:
        """Return the answers to the references of the rows that changed, as of each change."""
        changed, identities, _ = self._known(changed)
        changed_keys = self._foreign_keys.encode_identities(identities)
        rows = self._references_to(changed_keys)
        changed, data, changed_keys = self._encoded_changes(changed, changed_keys)
        arriving = [
            (origin, key, reference)
            for origin, (key, _), reference in (
                zip(referred.origins, places, referred.values, strict=True) if referred is not None else ()
            )
            if key in rows
        ]
        arriving.reverse()
        indexes: list[int] = []
        row_keys: list[bytes] = []
        notes: list[Note] = []
        for index, (origin, key) in enumerate(zip(changed.origins, changed_keys, strict=True)):
            while arriving and arriving[-1][0] <= origin:
                _, referred_key, reference = arriving.pop()
                if reference.stamp:
                    rows[referred_key][reference.row_key] = reference.stamp
                else:
                    rows[referred_key].pop(reference.row_key, None)
            stamps = rows[key]
            for row_key in sorted(stamps):
                indexes.append(index)
                row_keys.append(row_key)
                notes.append(Note(False, stamps[row_key], data[index]))
        return self._answers(changed.take(indexes), row_keys, notes)

    def _references_to(self, keys: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        """Return the references to each of these rows, as they were before the round."""
        if self._references.is_empty:
            return {key: {} for key in keys}
        return {key: dict(self._references.of(key)) for key in dict.fromkeys(keys)}

    def _encoded_changes(
        self, batch: Batch, keys: Sequence[bytes]
    ) -> tuple[Batch, list[bytes | None], list[bytes]]:
        node = self._node
        data, kept = self._guard.map(lambda value: encoded(node, value), batch.values, batch)
        if kept is None:
            return batch, data, list(keys)
        return batch.take(kept), data, [keys[index] for index in kept]

    def _encoded(self, batch: Batch, values: Sequence[Any]) -> tuple[Batch, list[bytes | None]]:
        node = self._node
        # Many references are to few rows: each row is encoded once.
        rows = {id(value): value for value in values}
        encoded_rows = self._guard.attempt(lambda value: encoded(node, value), rows.values())
        if encoded_rows is not None:
            data_of = dict(zip(rows, encoded_rows, strict=True))
            return batch, [data_of[id(value)] for value in values]
        data, kept = self._guard.map(lambda value: encoded(node, value), values, batch)
        return (batch if kept is None else batch.take(kept)), data

    def _answers(self, batch: Batch, row_keys: Sequence[bytes], notes: list[Note]) -> Batch:
        return batch.with_keys(self._row_keys.decode_many(row_keys)).with_values(notes)


class JoinAnswersOperator:
    """Joins left rows with the answers to their references; other answers are left out."""

    def __init__(self, guard: Guard, node: JoinAnswers, store: WriteBack[Any, Any]) -> None:
        self._guard = guard
        self._store = store
        self._row: Callable[[tuple[bytes | None, bytes | None]], Any] = lambda pair: joined_row(node, *pair)

    def process(self, batch: Batch) -> Batch | None:
        """Return the changes of the result."""
        batch = self._guard.with_keys(batch)
        try:
            indexes, pairs = self._met(batch)
        except UNFIT:
            batch, _ = fitting(self._guard, self._store, batch.keys, batch)
            indexes, pairs = self._met(batch)
        if not indexes:
            return None
        changes = batch.take(indexes).with_values(pairs)
        values, kept = self._guard.map(self._row, pairs, changes)
        return (changes if kept is None else changes.take(kept)).with_values(values)

    def _met(self, batch: Batch) -> tuple[list[int], list[tuple[bytes | None, bytes | None]]]:
        """Keep the left rows of a batch; return the indexes of the records that change the result, and the
        encoded values of both sides.
        """
        identities = self._store.identify(batch.keys)
        # Only a row that an answer of the batch meets before a row of its key comes is looked up.
        firsts = dict(zip(reversed(identities), reversed(batch.values), strict=True))
        wanted = [identity for identity, note in firsts.items() if not note.is_row]
        stored = self._store.load(wanted)
        current: dict[Any, ReferringRow | None] = {identity: stored.get(identity) for identity in wanted}
        written: dict[Any, ReferringRow | None] = {}
        indexes: list[int] = []
        pairs: list[tuple[bytes | None, bytes | None]] = []
        for index, (identity, note) in enumerate(zip(identities, batch.values, strict=True)):
            if note.is_row:
                row = ReferringRow(note.stamp, note.data) if note.stamp and note.data is not None else None
                current[identity] = written[identity] = row
                if row is None:
                    indexes.append(index)
                    pairs.append((note.data, None))
            else:
                row = current[identity]
                if row is not None and row.stamp == note.stamp:
                    indexes.append(index)
                    pairs.append((row.data, note.data))
        if written:
            self._store.put_many(written)
        return indexes, pairs
