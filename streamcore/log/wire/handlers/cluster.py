"""The cluster: one broker, which is its own controller."""

from __future__ import annotations

from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode
from streamcore.log.wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)


def describe_cluster(request: DescribeClusterRequest, call: Call) -> DescribeClusterResponse:
    """Tell who this is."""
    identity = call.broker.identity
    endpoint = call.caller.endpoint
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        endpoint_type=request.endpoint_type,
        cluster_id=identity.cluster_id,
        controller_id=identity.node_id,
        brokers=[DescribeClusterBroker(broker_id=identity.node_id, host=endpoint.host, port=endpoint.port)],
    )
