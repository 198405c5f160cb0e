"""DescribeCluster (key 60): returns the cluster's id and its brokers."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class DescribeClusterRequest(Message):
    """The request."""

    include_cluster_authorized_operations: bool
    endpoint_type: A[Int8, V("1+")] = 1
    include_fenced_brokers: A[bool, V("2+")] = False


class DescribeClusterBroker(Message):
    broker_id: Int32
    host: str
    port: Int32
    rack: str | None = None
    is_fenced: A[bool, V("2+")] = False


class DescribeClusterResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None = None
    endpoint_type: A[Int8, V("1+")] = 1
    cluster_id: str
    controller_id: Int32 = -1
    brokers: list[DescribeClusterBroker]
    cluster_authorized_operations: Int32 = -2_147_483_648
