"""The position of a task in its inputs: an answer reflects one, and a reader may demand one.

A ``Position`` maps partitions to next offsets. Positions are partially ordered: one *covers* another if it
is at least as far in each of the other's partitions.

Text form := JSON object, topic -> partition -> next offset, sorted: ``{"flights":{"0":120,"3":7}}``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from streamcore.errors import SerdeError, with_facts
from streamcore.model import Offset, TopicPartition
from streamcore.state.engine import KeyValueEngine

_NOTE: Final = "inputs"
_DECODER = msgspec.json.Decoder(dict[str, dict[str, int]])


class Position(Mapping[TopicPartition, Offset]):
    """Next offsets by partition. Immutable and hashable."""

    __slots__ = ("_offsets",)

    def __init__(self, offsets: Mapping[TopicPartition, Offset] | None = None) -> None:
        self._offsets = dict(offsets or {})

    @classmethod
    def after(cls, partition: TopicPartition, offset: Offset) -> Position:
        """Return the position that reflects the record at this offset."""
        return cls({partition: offset + 1})

    def covers(self, other: Mapping[TopicPartition, Offset]) -> bool:
        """Whether this position is at least as far as ``other``, in all partitions of ``other``."""
        return all(self._offsets.get(partition, 0) >= offset for partition, offset in other.items())

    def merge(self, other: Mapping[TopicPartition, Offset]) -> Position:
        """Return the least position that covers both."""
        merged = dict(self._offsets)
        for partition, offset in other.items():
            merged[partition] = max(offset, merged.get(partition, 0))
        return Position(merged)

    def to_text(self) -> str:
        """Return the text form."""
        topics: dict[str, dict[str, int]] = {}
        for topic_partition in sorted(self._offsets):
            topics.setdefault(topic_partition.topic, {})[str(topic_partition.partition)] = self._offsets[
                topic_partition
            ]
        return msgspec.json.encode(topics).decode()

    @classmethod
    def from_text(cls, text: str | bytes) -> Position:
        """The inverse of ``to_text``.

        Raises:
            SerdeError: the text is not a position.
        """
        try:
            return cls.from_json(_DECODER.decode(text))
        except (msgspec.MsgspecError, ValueError) as error:
            raise SerdeError(with_facts(f"not a position: {error}", text=repr(text)[:100])) from error

    @classmethod
    def from_json(cls, topics: Mapping[str, Mapping[str, int]]) -> Position:
        """Return the position that decoded JSON stands for: topic -> partition -> next offset."""
        return cls(
            {
                TopicPartition(topic, int(partition)): offset
                for topic, offsets in topics.items()
                for partition, offset in offsets.items()
            }
        )

    def __getitem__(self, partition: TopicPartition) -> Offset:
        return self._offsets[partition]

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def __hash__(self) -> int:
        return hash(frozenset(self._offsets.items()))

    def __repr__(self) -> str:
        return f"Position({self.to_text()})"


def position_note(position: Position) -> dict[str, bytes]:
    """Return the note to apply together with the writes that bring a task to this position."""
    return {_NOTE: position.to_text().encode()}


def task_position(engine: KeyValueEngine) -> Position:
    """Return the position that an engine's data reflects; empty before the first commit."""
    note = engine.note(_NOTE)
    return Position() if note is None else Position.from_text(note)
