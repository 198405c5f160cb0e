"""Sends dead letters again to the topics that their records came from, each once.

A dead letter becomes the record again: key, value, time and own headers, in its partition. How far each
dead letter topic was replayed is the committed offset of the group ``<app>-dead-letters``, in one
transaction with the records. A replay ends at the letters that were there when it began, so letters that
fail again do not keep it going. Letters of topics that the application does not read are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamcore.errors import UsageError, with_facts
from streamcore.model import (
    CommittedOffset,
    FetchedColumns,
    Offset,
    RecordColumns,
    TopicName,
    TopicPartition,
)
from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.application_log import ApplicationLog
from streamcore.processing.topology.application import DeclaredApplication, ensure_application
from streamcore.processing.topology.dead_letters import Letter, letter_of

_FETCH_BYTES: Final = 1 << 20


def dead_letter_group(app_id: str) -> str:
    """Return the group whose committed offsets say how far dead letters were replayed."""
    return f"{app_id}-dead-letters"


@dataclass(slots=True)
class Replayed:
    """What a replay sends, or has sent."""

    sent: Counter[tuple[TopicName, TopicName]] = field(default_factory=Counter)
    """(Dead letter topic, source topic) -> how many."""
    passed_over: Counter[TopicName] = field(default_factory=Counter)
    """Dead letter topic -> how many are of no topic that the application reads, or are no dead letters."""

    @property
    def count(self) -> int:
        """How many letters are sent."""
        return self.sent.total()


class DeadLetterReplay(ApplicationLog):
    """The dead letters of one application, on the log of a folder or of a broker."""

    def __init__(
        self,
        app: DeclaredApplication,
        data: Path | str,
        *,
        broker: str | None = None,
        security: Mapping[str, str] | None = None,
    ) -> None:
        """Open the log; raises as ``ApplicationLog`` does."""
        ensure_application(app)
        declared = app.declared()  # may fail, so before the log is open
        self._group = dead_letter_group(declared.app_id)
        self._declared = declared.dead_letter_topics
        self._read = {entry.topic.name for part in declared.plan.sub_topologies for entry in part.inputs}
        self._read |= {table.topic.name for table in declared.plan.global_tables}
        super().__init__(app, data, broker=broker, security=security)
        self._ends: dict[TopicPartition, Offset] = {}

    def plan(self, *, topic: TopicName | None = None, count_max: int | None = None) -> Replayed:
        """Return what ``replay`` with the same arguments would send. Changes nothing.

        Raises:
            UsageError: the application sends no dead letters to the topic, or a source topic does not exist.
        """
        found = Replayed()
        for partition, _, letters in self._chunks(topic, count_max):
            self._count(found, partition, letters)
        return found

    def replay(self, *, topic: TopicName | None = None, count_max: int | None = None) -> Replayed:
        """Send the dead letters that were not sent before to their topics.

        Args:
            topic: only the letters of this dead letter topic.
            count_max: how many letters are sent at most.

        Raises:
            UsageError: the application sends no dead letters to the topic, or a source topic does not exist.
            ProducerFencedError: another replay of the application began meanwhile.
        """
        found = Replayed()
        producer = self._log.producer_port(transactional_id=self._group)
        try:
            for partition, columns, letters in self._chunks(topic, count_max):
                with producer.transaction() as transaction:
                    for to_partition, records in self._records(columns, letters).items():
                        transaction.append_columns(to_partition, records)
                    reached = CommittedOffset(letters.end)
                    transaction.commit_offsets(self._group, {partition: reached})
                self._count(found, partition, letters)
        finally:
            producer.close()
        return found

    def _chunks(
        self, topic: TopicName | None, count_max: int | None
    ) -> Iterator[tuple[TopicPartition, FetchedColumns, _Letters]]:
        """Read the letters that wait, up to the ends of the first call."""
        room = count_max
        positions = self._positions(topic)
        reader = self._log.reader()
        try:
            reader.assign(positions)
            for partition, position in positions.items():
                end = self._ends.setdefault(partition, reader.visible_end(partition))
                while position < end and room != 0:
                    columns = reader.fetch(partition, bytes_max=_FETCH_BYTES)
                    if columns is None:
                        break
                    letters = self._letters(columns, end, room)
                    position = letters.end
                    if room is not None:
                        room -= len(letters.rows)
                    yield partition, columns, letters
        finally:
            reader.close()

    def _positions(self, topic: TopicName | None) -> dict[TopicPartition, Offset]:
        if topic is not None and topic not in self._declared:
            raise UsageError(
                with_facts(
                    "the application sends no dead letters to this topic",
                    topic=topic,
                    dead_letters=",".join(self._declared) or "none",
                )
            )
        described = self._log.described(self._declared if topic is None else [topic])
        partitions = [
            TopicPartition(name, number)
            for name, found in described.items()
            for number in range(found.partition_count)
        ]
        committed = self._log.committed(self._group, partitions)
        starts = {partition: marks.log_start for partition, marks in self._log.offsets(partitions).items()}
        return {
            partition: max(start, committed[partition].offset) if partition in committed else start
            for partition, start in starts.items()
        }

    def _letters(self, columns: FetchedColumns, end: Offset, room: int | None) -> _Letters:
        """Return the letters among fetched records: those before ``end``, and at most ``room``."""
        found = _Letters([], [], 0, min(columns.next_offset, end))
        for row, offset in enumerate(columns.offsets):
            if offset >= end:
                break
            headers = () if columns.headers is None else columns.headers[row]
            letter = letter_of(headers)
            if letter is None or letter.topic not in self._read:
                found.passed_over += 1
                continue
            if room is not None and len(found.rows) == room:
                found.end = offset
                break
            found.rows.append(row)
            found.letters.append(letter)
        return found

    def _records(self, columns: FetchedColumns, letters: _Letters) -> dict[TopicPartition, RecordColumns]:
        counts = self._partition_counts({letter.topic for letter in letters.letters})
        rows: dict[TopicPartition, list[tuple[int, Letter]]] = {}
        for row, letter in zip(letters.rows, letters.letters, strict=True):
            partition, key, count = letter.source, columns.keys[row], counts[letter.topic]
            if partition.partition >= count:  # the topic was made again, with fewer partitions
                partition = TopicPartition(letter.topic, 0 if key is None else partition_of_key(key, count))
            rows.setdefault(partition, []).append((row, letter))
        return {
            partition: RecordColumns(
                [columns.keys[row] for row, _ in found],
                [columns.values[row] for row, _ in found],
                [columns.timestamps_ms[row] for row, _ in found],
                [letter.headers for _, letter in found],
            )
            for partition, found in rows.items()
        }

    def _partition_counts(self, topics: set[TopicName]) -> dict[TopicName, int]:
        counts = {name: found.partition_count for name, found in self._log.described(topics).items()}
        for topic in sorted(topics):
            if topic not in counts:
                raise UsageError(
                    with_facts("the topic of some dead letters does not exist; create it first", topic=topic)
                )
        return counts

    def _count(self, found: Replayed, partition: TopicPartition, letters: _Letters) -> None:
        self._partition_counts({letter.topic for letter in letters.letters})
        found.sent.update((partition.topic, letter.topic) for letter in letters.letters)
        found.passed_over[partition.topic] += letters.passed_over


@dataclass(slots=True)
class _Letters:
    """The letters among fetched records that are sent."""

    rows: list[int]
    letters: list[Letter]
    passed_over: int
    end: Offset
    """The offset behind the records that were looked at."""
