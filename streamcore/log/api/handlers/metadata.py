"""Metadata: the one broker, and topics with their partitions.

Clients send the request again and again, some for all topics, and a topic may have thousands of partitions.
So the description of a topic is cached encoded, until the topic changes.

A client cannot distinguish a topic that it may not describe from one that does not exist: asked for by name,
both are refused; in the list of all topics, both are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from streamcore.errors import InvalidConfigError
from streamcore.log.api.calls import OPERATIONS_NOT_ASKED, Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.topics import WantedTopic
from streamcore.log.protocol.apis import APIS
from streamcore.log.protocol.codec import codec_of
from streamcore.log.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from streamcore.log.storage.topics.topic_folders import check_topic_name
from streamcore.log.storage.topics.topic_registry import TopicState

_KEY: Final = 3
_IDS_FROM: Final = 12
"""Earlier versions have a field for ids, but clients may not ask by id yet."""
_NO_ID: Final = bytes(16)
_KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
_ENTRY_BYTES: Final = 512
"""About the bytes of an entry besides its description: its key, its epochs, its list item."""


class Fragments:
    """Encoded descriptions of topics, by topic, version, and the operations that the client may do."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, int, int], tuple[tuple[int, ...], bytes]] = {}
        self._size_bytes = 0

    def of(self, state: TopicState, operations: int, call: Call) -> bytes:
        """Return the present description of a topic."""
        key = (state.topic_id.bytes, call.version, operations)
        epochs = tuple([log.leader_epoch for log in call.broker.partitions_of(state.name)])
        kept = self._kept.get(key)
        if kept is not None and kept[0] == epochs:
            return kept[1]
        codec = codec_of(MetadataResponseTopic, call.version, APIS[_KEY].is_flexible(call.version))
        encoded = bytes(codec.encode(_described(state, epochs, operations, call)))
        if kept is not None:
            self._size_bytes -= _size_bytes(kept[1])
        self._size_bytes += _size_bytes(encoded)
        if self._size_bytes > _KEPT_BYTES_MAX:
            self._kept.clear()
            self._size_bytes = _size_bytes(encoded)
        self._kept[key] = epochs, encoded
        return encoded


def _size_bytes(encoded: bytes) -> int:
    return len(encoded) + _ENTRY_BYTES


_fragments: Final[WeakKeyDictionary[Broker, Fragments]] = WeakKeyDictionary()


def metadata(request: MetadataRequest, call: Call) -> Operation[MetadataResponse]:
    """Describe the topics asked for, or all."""
    if call.version < _IDS_FROM and any(map(_lacks_name, request.topics or ())):
        return _refused(request)
    failed: Iterable[MetadataResponseTopic] = ()
    if request.topics is None or (call.version == 0 and not request.topics):
        shown: Iterable[TopicState] = [
            state for state in call.broker.topics.values() if call.may_describe(state.name)
        ]
    else:
        asking = _Asking(request, call)
        shown = yield from asking.found()
        failed = asking.failed.values()
    fragments = _fragments.setdefault(call.broker, Fragments())
    topics: list[MetadataResponseTopic | bytes] = [
        fragments.of(state, _topic_operations(state.name, request, call), call) for state in shown
    ]
    topics += failed
    identity = call.broker.identity
    endpoint = call.caller.endpoint
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=identity.node_id, host=endpoint.host, port=endpoint.port)],
        cluster_id=identity.cluster_id,
        controller_id=identity.node_id,
        topics=topics,
        cluster_authorized_operations=_cluster_operations(request, call),
    )


class _Asking:
    """The topics that a client asks for, by name or by id.

    If one is asked for by its id, all are: a name beside an id is ignored.
    """

    def __init__(self, request: MetadataRequest, call: Call) -> None:
        self._request = request
        self._call = call
        self.failed: dict[bytes | str, MetadataResponseTopic] = {}
        """The answers for topics that are not described."""

    def found(self) -> Operation[Sequence[TopicState]]:
        """Return the topics that exist or may be created."""
        wanted: Sequence[MetadataRequestTopic] = self._request.topics or ()
        ids = [each.topic_id for each in wanted if each.topic_id != _NO_ID]
        if ids:
            names = self._named(ids)
        else:
            names = self._describable(dict.fromkeys(each.name or "" for each in wanted))
            yield from self._create([name for name in names if name not in self._call.broker.topics])
        topics = self._call.broker.topics
        return [topics[name] for name in names if name in topics]

    def _named(self, ids: Sequence[bytes]) -> list[str]:
        names: dict[str, None] = {}
        for topic_id in ids:
            name = self._call.broker.topic_name(topic_id)
            if name is None:
                self.failed[topic_id] = _failed(None, ErrorCode.UNKNOWN_TOPIC_ID, topic_id)
            elif not self._call.may_describe(name):
                self.failed[topic_id] = _failed(None, ErrorCode.TOPIC_AUTHORIZATION_FAILED, topic_id)
            else:
                names[name] = None
        return list(names)

    def _describable(self, names: Iterable[str]) -> list[str]:
        found: list[str] = []
        for name in names:
            if self._call.may_describe(name):
                found.append(name)
            else:
                self.failed[name] = _failed(name, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        return found

    def _create(self, names: Sequence[str]) -> Operation[None]:
        """Create missing topics, if the request and the settings allow it."""
        broker = self._call.broker
        may_create = self._request.allow_auto_topic_creation and broker.settings.auto_create_topics
        wanted: list[WantedTopic] = []
        for name in names:
            code = self._creation_error(name)
            if code is None and may_create:
                if _may_create(name, self._call):
                    wanted.append(WantedTopic(name, broker.settings.default_partition_count))
                    continue
                code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            self.failed[name] = _failed(name, code or ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            if code is not ErrorCode.TOPIC_AUTHORIZATION_FAILED:
                operations = _topic_operations(name, self._request, self._call)
                self.failed[name].topic_authorized_operations = operations
        outcomes = yield from broker.topic_changes.create(wanted)
        for each, outcome in zip(wanted, outcomes, strict=True):
            if not isinstance(outcome, TopicState) and each.name not in broker.topics:
                self.failed[each.name] = _failed(each.name, code_of(outcome))

    def _creation_error(self, name: str) -> ErrorCode | None:
        """Return why no client can create a topic of this name by asking for it."""
        try:
            check_topic_name(name)
            self._call.broker.ensure_may_create(name)
        except InvalidConfigError:
            return ErrorCode.INVALID_TOPIC_EXCEPTION
        except ApiError:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION  # the broker creates that topic when it needs it
        return None


def _cluster_operations(request: MetadataRequest, call: Call) -> int:
    if not request.include_cluster_authorized_operations:
        return OPERATIONS_NOT_ASKED
    if not call.may(AclOperation.DESCRIBE, ResourceType.CLUSTER, CLUSTER_NAME):
        return 0
    return call.operations(ResourceType.CLUSTER)


def _topic_operations(name: str, request: MetadataRequest, call: Call) -> int:
    if not request.include_topic_authorized_operations:
        return OPERATIONS_NOT_ASKED
    return call.operations(ResourceType.TOPIC, name)


def _may_create(name: str, call: Call) -> bool:
    return call.may(AclOperation.CREATE, ResourceType.CLUSTER, CLUSTER_NAME) or call.may(
        AclOperation.CREATE, ResourceType.TOPIC, name
    )


def _failed(name: str | None, code: ErrorCode, topic_id: bytes = _NO_ID) -> MetadataResponseTopic:
    return MetadataResponseTopic(error_code=code, name=name, topic_id=topic_id, partitions=[])


def _lacks_name(wanted: MetadataRequestTopic) -> bool:
    return wanted.name is None or wanted.topic_id != _NO_ID


def _refused(request: MetadataRequest) -> MetadataResponse:
    code = ErrorCode.INVALID_REQUEST
    return MetadataResponse(
        brokers=[],
        topics=[_failed(each.name or "", code, each.topic_id) for each in request.topics or ()],
        error_code=code,
    )


def _described(
    state: TopicState, epochs: tuple[int, ...], operations: int, call: Call
) -> MetadataResponseTopic:
    node_ids = [call.broker.identity.node_id]
    return MetadataResponseTopic(
        error_code=ErrorCode.NONE,
        name=state.name,
        topic_id=state.topic_id.bytes,
        is_internal=call.broker.is_internal(state.name),
        partitions=[
            MetadataResponsePartition(
                error_code=ErrorCode.NONE,
                partition_index=index,
                leader_id=node_ids[0],
                leader_epoch=epoch,
                replica_nodes=node_ids,
                isr_nodes=node_ids,
            )
            for index, epoch in enumerate(epochs)
        ],
        topic_authorized_operations=operations,
    )
