"""Draws requests from a fixed seed: null where a field may be, empty, unknown, doubled, negative, too large.

A field's name says what is tried in it; one that is not listed gets what its kind allows. Left out is what
would take time, or leave one of the brokers in another state than it is wanted in: partitions without
number, long waits, settings of the brokers themselves.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from streamcore.log.protocol.apis import API_VERSIONS
from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.layouts import FieldLayout, layout_of
from tests.differential.conversation import NO_TOPIC, Conversation, Topic
from tests.differential.scenarios.producing import batch, produce_request
from tests.support.wire_client import BY_NAME

AUTO_CREATION: Final = range(4)
"""Versions of Metadata that make what they do not find."""
DRAWS: Final = 40
"""Requests of each version of an API."""
SEED: Final = os.environ.get("DIFFERENTIAL_SEED", "")
"""Another one draws other requests, which may well find what is not known yet."""

_BAD_NAMES: Final = ("", "a b", "ä", "x" * 300)
_BAD_TEXTS: Final = ("x", *_BAD_NAMES)
_NUMBERS: Final[Mapping[str, Sequence[int]]] = {
    "b": (-128, -1, 0, 1, 2, 3, 127),
    "h": (-32_768, -1, 0, 1, 2, 32_767),
    "H": (0, 1, 65_535),
    "i": (-(2**31), -2, -1, 0, 1, 7, 2**31 - 1),
    "q": (-(2**63), -2, -1, 0, 1, 5, 2**63 - 1),
}
_TOPIC_FIELDS: Final = frozenset({"name", "topic", "topic_name", "topic_names", "resource_name", "topics"})
_GROUP_FIELDS: Final = frozenset({"group_id", "group_ids", "groups", "groups_names"})
_CHOICES: Final[Mapping[str, Sequence[Any]]] = {
    "timeout_ms": (5000,),
    "max_wait_ms": (-1, 0, 20),
    "num_partitions": (-5, -1, 0, 1, 3),
    "count": (-1, 0, 1, 2, 3),
    "session_timeout_ms": (-1, 0, 10_000, 2**31 - 1),
    "rebalance_timeout_ms": (-1, 0, 10_000),
    "allow_auto_topic_creation": (False,),
    "feature": ("no.such.feature", ""),
    "resource_type": (0, 1, 2, 3, 32, 64, -1),
    "resource_types": (0, 2, 3, 32, 64, -1),
    "configuration_keys": ("retention.ms", "no.such.setting", ""),
    "config_operation": (0, 1, 2, 3),
    "value": ("1000", "-5", "x", ""),
    "iterations": (4096, 4095, 20_000, -1),
    "salted_password": (b"\x05" * 32,),
    "salt": (b"salt",),
    "mechanism": (0, 1, 3, -1),
    "max_bytes": (0, 100, 2**31 - 1),
    "partition_max_bytes": (0, 100, 2**31 - 1),
    "response_partition_limit": (1, 2, 2000),
    "metadata": (b"", b"\x00"),
    "member_id": ("", "nobody"),
    "producer_id": (-1, 987_654_321_987),
    "session_id": (0, 4711),
    "session_epoch": (-1, 1, 5),
    "isolation_level": (0, 1),
    "state_filters": ("Empty", "Unheard", ""),
    "states_filter": ("Empty", "Unheard", ""),
    "types_filter": ("classic", "Unheard", ""),
    "protocol_type": ("consumer", ""),
    "subscribed_topic_regex": ("x.*", "("),
    "server_assignor": ("uniform", "range", "unheard"),
    "transactional_id_pattern": ("x.*", ""),
    "client_software_name": ("a", "", "a b"),
    "client_software_version": ("1", "", "1 2"),
}
_SETTING_NAMES: Final = ("retention.ms", "max.message.bytes", "no.such.setting", "")
_SETTINGS: Final = frozenset({"CreatableTopicConfig", "AlterableConfig"})
_USERS: Final = frozenset({"UserName", "ScramCredentialDeletion", "ScramCredentialUpsertion"})
_MARKS_OF_OFFSETS: Final = (-6, -5, -4, -3, -2, -1, 0, 1, 2**63 - 1)

NOT_DRAWN: Final = frozenset({"ApiVersions", "SaslHandshake", "SaslAuthenticate"})
"""What has little to draw from."""
_CHANGES_TOPICS: Final = frozenset({"CreateTopics", "DeleteTopics", "CreatePartitions"})
_HEADER: Final = struct.Struct(">hhih")


def drawn_requests(talk: Conversation) -> None:
    """Ask what is drawn; a topic that may be changed is a new one each time."""
    topic = _topic(talk, 0)
    for number in range(DRAWS):
        if number and talk.api in _CHANGES_TOPICS:
            topic = _topic(talk, number)
        talk.ask_again(Drawing(talk, topic, number).request(talk.api))


def _topic(talk: Conversation, number: int) -> Topic:
    topic = talk.make_topic(f"topic-{number}")
    talk.prepare(produce_request(topic, batch(talk, [b"a", b"b"])))
    return topic


def unserved_versions(talk: Conversation) -> None:
    """Ask in versions that no broker serves."""
    api = BY_NAME[talk.api]
    versions = {api.version_max + 1, api.version_max + 100, -1, api.version_min - 1}
    for version in sorted(versions if api is not API_VERSIONS else ()):
        client = talk.raw(f"version {version}")
        client.send_frame(_HEADER.pack(api.key, version, 1, -1) + bytes(20))
        talk.note(f"version {version}", client.is_closed_by_peer())


_TELL_APART: Final = ("name", "topic", "topic_id", "resource_name", "transactional_id", "group_id")


class Drawing:
    """Draws requests of one version of an API."""

    def __init__(self, talk: Conversation, topic: Topic, number: int) -> None:
        self._talk = talk
        self._topic = topic
        self._number = number
        self._random = random.Random(f"{SEED}{talk.name('')}{number}")

    def request(self, api: str) -> Message:
        """A request."""
        return self._structure(BY_NAME[api].request_type)

    def _structure(self, structure: type[Message]) -> Message:
        values: dict[str, Any] = {}
        for field in layout_of(structure, self._talk.version):
            if field.tag is None or self._random.random() < 0.3:
                values[field.name] = self._value(field, structure.__name__)
        if "records" in values:
            values["records"] = self._records()
        for field in layout_of(structure, self._talk.version):
            if field.name not in values:
                values[field.name] = field.default
        return structure(**values)

    def _value(self, field: FieldLayout, structure: str) -> Any:
        if field.is_nullable and self._random.random() < 0.2:
            return None
        if field.kind.is_array:
            count = self._random.choice((0, 1, 1, 1, 2, 2))
            return _told_apart([self._value(field.element, structure) for _ in range(count)])
        if field.kind.structure is not None:
            return self._structure(field.kind.structure)
        return self._random.choice(self._choices(field, structure))

    def _choices(self, field: FieldLayout, structure: str) -> Sequence[Any]:
        name = field.name
        if name == "name" and structure in _SETTINGS:
            return _SETTING_NAMES
        if name == "name" and structure in _USERS:
            return (self._talk.name("user"), self._talk.name("other"), "")
        if name == "timestamp" or (structure == "FetchPartition" and name == "fetch_offset"):
            return _MARKS_OF_OFFSETS
        if structure == "Cursor" and name == "partition_index":
            return (-1, 0, 1)
        if name in _CHOICES:
            return _CHOICES[name]
        match field.kind.name:
            case "uuid":
                return (ZERO_UUID, self._topic.topic_id, self._topic.topic_id, NO_TOPIC.topic_id)
            case "string" if name in _TOPIC_FIELDS:
                # One topic without a name has Kafka describe none at all.
                bad = [each for each in _BAD_NAMES if each or self._talk.api != "DescribeTopicPartitions"]
                return (*[self._topic.name] * 3, self._unknown_topic(), *bad)
            case "string" if name in _GROUP_FIELDS:
                # The group without a name has positions, and topics in them, of every scenario that tried it.
                return (self._talk.name(f"group-{self._number}"), *([""] * (self._talk.api != "OffsetFetch")))
            case "string":
                return (self._talk.name(f"{name}-{self._number}"), *_BAD_TEXTS)
            case "bytes":
                return (b"", b"\x00", b"x" * 100)
            case "?":
                return (False, True)
            case "d":
                return (-1.0, 0.0, 1.5)
            case letter:
                return _NUMBERS[letter]

    def _unknown_topic(self) -> str:
        return self._talk.name(f"new-{self._number}") if self._talk.api == "CreateTopics" else NO_TOPIC.name

    def _records(self) -> bytes:
        records = batch(self._talk, [b"v"] * self._random.choice((1, 2)))
        damage = self._random.choice(("none", "none", "changed", "cut off", "lost"))
        if damage == "changed":
            records[-1] ^= 1
        elif damage == "cut off":
            del records[-5:]
        elif damage == "lost":
            records.clear()
        return bytes(records)


def _told_apart(elements: list[Any]) -> list[Any]:
    """Without a second element of the same name: what comes of that, scenarios of their own show."""
    found: dict[object, Any] = {}
    for element in elements:
        is_structure = isinstance(element, Message)
        key = getattr(element, element.__struct_fields__[0]) if is_structure else element
        named = next((getattr(element, each) for each in _TELL_APART if hasattr(element, each)), key)
        found.setdefault(str(named), element)
    return list(found.values())
