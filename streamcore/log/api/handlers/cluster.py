"""The cluster: one broker, which is its own controller and the only voter of the quorum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.log.api.calls import OPERATIONS_NOT_ASKED, Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.api.handlers.features import FEATURES
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)
from streamcore.log.protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from streamcore.log.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    PartitionDataResult,
    ReplicaState,
    TopicDataResult,
)
from streamcore.log.protocol.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

_BROKERS: Final = 1
_CONTROLLERS: Final = 2

_METADATA: Final = [("__cluster_metadata", [0])]
"""The one partition of Kafka's metadata quorum; here it stands for the broker's own state."""
_NODES_FROM: Final = 2

_RESULTS_UNTIL: Final = 1
_UPGRADE_TYPES: Final = (1, 2, 3)
_UPGRADE: Final = 1

_ENTITY_TYPES: Final = ("user", "client-id", "ip")
_EXACT, _DEFAULT, _ANY = range(3)


def describe_cluster(request: DescribeClusterRequest, call: Call) -> DescribeClusterResponse:
    """Return this broker as the cluster."""
    identity = call.broker.identity
    endpoint = call.caller.endpoint
    if request.endpoint_type != _BROKERS:
        is_known = request.endpoint_type == _CONTROLLERS
        return DescribeClusterResponse(
            throttle_time_ms=0,
            error_code=ErrorCode.MISMATCHED_ENDPOINT_TYPE
            if is_known
            else ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
            error_message="brokers are served here, which is endpoint type 1",
            cluster_id="",
            brokers=[],
        )
    operations = OPERATIONS_NOT_ASKED
    if request.include_cluster_authorized_operations:
        may_describe = call.may(AclOperation.DESCRIBE, ResourceType.CLUSTER, CLUSTER_NAME)
        operations = call.operations(ResourceType.CLUSTER) if may_describe else 0
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        endpoint_type=request.endpoint_type,
        cluster_id=identity.cluster_id,
        controller_id=identity.node_id,
        brokers=[DescribeClusterBroker(broker_id=identity.node_id, host=endpoint.host, port=endpoint.port)],
        cluster_authorized_operations=operations,
    )


def describe_quorum(request: DescribeQuorumRequest, call: Call) -> DescribeQuorumResponse:
    """Answer DescribeQuorum with one voter at the state log's end offset."""
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.CLUSTER)
    except ApiError as refused:
        return DescribeQuorumResponse(error_code=code_of(refused), error_message=text_of(refused), topics=[])
    wanted = [
        (topic.topic_name, [each.partition_index for each in topic.partitions]) for topic in request.topics
    ]
    if wanted != _METADATA:
        return DescribeQuorumResponse(
            error_code=ErrorCode.NONE,
            error_message="",
            topics=[
                TopicDataResult(topic_name=name, partitions=[_no_quorum(index) for index in indexes])
                for name, indexes in wanted
            ],
        )
    endpoint = call.caller.endpoint
    listener = Listener(name="BROKER", host=endpoint.host, port=endpoint.port)
    return DescribeQuorumResponse(
        error_code=ErrorCode.NONE,
        error_message="",
        topics=[TopicDataResult(topic_name=_METADATA[0][0], partitions=[_quorum(call)])],
        nodes=[Node(node_id=call.broker.identity.node_id, listeners=[listener])],
    )


def _quorum(call: Call) -> PartitionDataResult:
    now_ms = call.clock.now_ms()
    node_id = call.broker.identity.node_id
    log = call.broker.state_log
    voter = ReplicaState(
        replica_id=node_id,
        log_end_offset=0 if log is None else log.offsets.log_end,
        last_fetch_timestamp=now_ms,
        last_caught_up_timestamp=now_ms,
    )
    return PartitionDataResult(
        partition_index=0,
        error_code=ErrorCode.NONE,
        error_message="",
        leader_id=node_id,
        leader_epoch=0 if log is None else log.leader_epoch,
        high_watermark=0 if log is None else log.offsets.high_watermark,
        current_voters=[voter],
        observers=[],
    )


def _no_quorum(index: int) -> PartitionDataResult:
    return PartitionDataResult(
        partition_index=index,
        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        error_message="no quorum agrees on this partition",
        leader_id=0,
        leader_epoch=0,
        high_watermark=0,
        current_voters=[],
        observers=[],
    )


def update_features(request: UpdateFeaturesRequest, call: Call) -> UpdateFeaturesResponse:
    """Accept updates that leave the features as they are; refuse others: features belong to the program."""
    response = UpdateFeaturesResponse(
        throttle_time_ms=0, error_code=ErrorCode.NONE, error_message=None, results=[]
    )
    try:
        call.ensure(AclOperation.ALTER, ResourceType.CLUSTER)
    except ApiError as refused:
        response.error_code, response.error_message = code_of(refused), text_of(refused)
        return response
    for update in request.feature_updates:
        refusal = _update_refusal(update, call.version)
        if refusal is not None:
            response.error_code, response.error_message = ErrorCode.INVALID_UPDATE_VERSION, refusal
            response.results = []
            return response
        if call.version <= _RESULTS_UNTIL:
            response.results.append(
                UpdatableFeatureResult(feature=update.feature, error_code=ErrorCode.NONE, error_message=None)
            )
    return response


def _update_refusal(update: FeatureUpdateKey, version: int) -> str | None:
    levels = {feature.name: feature.level for feature in FEATURES}
    facts = f"feature={update.feature} level={update.max_version_level}"
    if update.feature not in levels:
        return f"nothing is updated: there is no such feature: {facts}"
    if version > 0 and update.upgrade_type not in _UPGRADE_TYPES:
        return f"nothing is updated: there is no such type of update: {facts} type={update.upgrade_type}"
    if update.max_version_level != levels[update.feature]:
        return (
            "nothing is updated: features have the levels of the program, so upgrade the program: "
            f"{facts} present={levels[update.feature]}"
        )
    return None


def describe_client_quotas(request: DescribeClientQuotasRequest, call: Call) -> DescribeClientQuotasResponse:
    """Return no quotas."""
    response = DescribeClientQuotasResponse(
        throttle_time_ms=0, error_code=ErrorCode.NONE, error_message="", entries=[]
    )
    try:
        call.ensure(AclOperation.DESCRIBE_CONFIGS, ResourceType.CLUSTER)
    except ApiError as refused:
        response.error_code, response.error_message = code_of(refused), text_of(refused)
        response.entries = None
        return response
    refusal = _filter_refusal(request.components)
    if refusal is not None:
        response.error_code, response.error_message = refusal
        response.entries = None
    return response


def _filter_refusal(components: Sequence[ComponentData]) -> tuple[ErrorCode, str] | None:
    types = [component.entity_type for component in components]
    for component in components:
        if not component.entity_type:
            return ErrorCode.INVALID_REQUEST, "name the type of the entity"
        if component.entity_type not in _ENTITY_TYPES:
            return (
                ErrorCode.UNSUPPORTED_VERSION,
                f"quotas are of {', '.join(_ENTITY_TYPES)}: type={component.entity_type}",
            )
        if component.match_type not in (_EXACT, _DEFAULT, _ANY):
            return ErrorCode.INVALID_REQUEST, f"there is no such match: match={component.match_type}"
        if (component.match is None) == (component.match_type == _EXACT):
            return ErrorCode.INVALID_REQUEST, "an exact match has a name, any other has none"
    if len(set(types)) != len(types):
        return ErrorCode.INVALID_REQUEST, "name each type of entity once"
    if "ip" in types and len(types) > 1:
        return ErrorCode.INVALID_REQUEST, "quotas of addresses are apart from those of users and clients"
    return None
