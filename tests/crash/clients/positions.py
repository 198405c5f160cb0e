"""Committed positions, asked for."""

from __future__ import annotations

from typing import Any, Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from tests.crash.clients.client import Client
from tests.crash.clients.producing import RETRIABLE
from tests.crash.clients.world import now_us
from tests.histories.operations import Place, PositionsRead

_GROUPS_FROM: Final = 8
_STABLE_FROM: Final = 7
_NAMES_MAX: Final = 9


def read_positions(
    client: Client, group: str, places: list[Place], *, stable: bool, is_final: bool = False
) -> dict[Place, int | None] | None:
    """The committed positions; ``None`` if the broker says that one has to wait. Raises ``NoAnswer``."""
    version = client.version_of("OffsetFetch", _STABLE_FROM if stable else 1, _NAMES_MAX)
    by_topic: dict[str, list[int]] = {}
    for place in places:
        by_topic.setdefault(place.topic, []).append(place.partition)
    begun_us = now_us()
    if version >= _GROUPS_FROM:
        asked = [
            OffsetFetchRequestTopics(name=name, partition_indexes=numbers)
            for name, numbers in by_topic.items()
        ]
        wanted = OffsetFetchRequestGroup(group_id=group, topics=asked)
        request = OffsetFetchRequest(groups=[wanted], require_stable=stable)
        answer: Any = client.ask(request, version).groups[0]
    else:
        topics = [
            OffsetFetchRequestTopic(name=name, partition_indexes=numbers)
            for name, numbers in by_topic.items()
        ]
        request = OffsetFetchRequest(group_id=group, topics=topics, require_stable=stable)
        answer = client.ask(request, version)
    found: dict[Place, int | None] = {}
    for topic in answer.topics:
        for each in topic.partitions:
            if (answer.error_code or each.error_code) in (*RETRIABLE, ErrorCode.UNSTABLE_OFFSET_COMMIT):
                return None
            assert not answer.error_code
            assert not each.error_code, f"{ErrorCode(each.error_code)!r} for {group}"
            offset = each.committed_offset
            found[Place(topic.name, each.partition_index)] = None if offset < 0 else offset
    if answer.error_code:
        return None
    client.world.record(
        PositionsRead(
            client=client.name,
            begun_us=begun_us,
            ended_us=now_us(),
            group=group,
            positions={str(place): offset for place, offset in found.items()},
            is_final=is_final,
        )
    )
    return found
