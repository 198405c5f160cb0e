"""Which topics write equal keys as equal bytes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import SerdeError
from streamcore.processing.dsl.topic_keys import internal_key_serde, key_serde_for, store_key_type
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.partitions import written_alike
from streamcore.serde import TEXT
from streamcore.state.keys import key_codec

TYPES: list[Any] = [None, int, float, str, bytes, bool, int | float, str | int, int | None]
TYPES += [tuple[int, str], tuple[float, str], sc.Serde(encode=str.encode, decode=bytes.decode)]
KEYS: list[Any] = [0, 1, -7, 2.0, 2.5, True, "a", "1", b"a", (1, "a"), (1.0, "a"), (2.5, "a")]


def topics() -> list[TopicSpec]:
    """Return a topic for each type of keys: in both formats, and internal."""
    serdes = [(key, key_serde_for(key, codec), False) for key in TYPES for codec in ("json", "msgpack")]
    serdes += [(key, internal_key_serde(key), True) for key in TYPES[:6]]
    return [
        TopicSpec(
            name=f"topic-{number}",
            key_type=store_key_type(key),
            key_serde=serde,
            value_serde=TEXT,
            internal=internal,
        )
        for number, (key, serde, internal) in enumerate(serdes)
    ]


def written(topic: TopicSpec) -> dict[bytes, bytes]:
    """Return the keys of a topic: their bytes in a store of untyped keys -> their bytes in the topic."""
    found = {}
    for key in KEYS:
        try:
            data = topic.key_serde.encode(key)
        except (SerdeError, TypeError, AttributeError):
            continue
        found[key_codec(None).encode(topic.key_serde.decode(data))] = data
    return found


def test_topics_that_are_taken_to_write_alike_do_so() -> None:
    alike = 0
    for first, second in itertools.product(topics(), repeat=2):
        if written_alike(first, second):
            alike += 1
            ours, theirs = written(first), written(second)
            for key in ours.keys() & theirs.keys():
                assert ours[key] == theirs[key], (first.key_serde, second.key_serde, key)
        assert written_alike(first, second) == written_alike(second, first)

    assert alike > 100


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("key_type", TYPES, ids=str)
def test_topics_of_one_type_and_one_format_write_alike(key_type: Any, codec: str) -> None:
    first, second = (
        TopicSpec(name=name, key_serde=key_serde_for(key_type, codec), value_serde=TEXT) for name in "ab"
    )

    assert written_alike(first, second)
