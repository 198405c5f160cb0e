"""Whatever a client asks for, what it may do is decided by the rules: no handler forgets to ask."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import SystemClock
from streamcore.log.api.calls import Call, Caller, Endpoint
from streamcore.log.api.handlers.table import HANDLERS, handler_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.access.authorizer import Authorizer
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.apis import API_VERSIONS, APIS, SASL_AUTHENTICATE, SASL_HANDSHAKE, Api
from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.describe_cluster import DescribeClusterRequest
from streamcore.log.protocol.messages.describe_producers import DescribeProducersRequest
from streamcore.log.protocol.messages.describe_producers import TopicRequest as ProducersOfTopic
from streamcore.log.protocol.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from streamcore.log.protocol.messages.find_coordinator import FindCoordinatorRequest
from streamcore.log.protocol.messages.list_transactions import ListTransactionsRequest
from tests.property.protocol.random_messages import full

FOR_EVERYBODY = {API_VERSIONS.key, SASL_HANDSHAKE.key, SASL_AUTHENTICATE.key}
ASKING = [APIS[key] for key in HANDLERS if key not in FOR_EVERYBODY]
KEYS = {api.request_type: api.key for api in APIS.values()}
POSSIBLE: dict[int, list[Message]] = {
    KEYS[type(request)]: [request]
    for request in (
        DeleteTopicsRequest(
            topics=[DeleteTopicState(name="t", topic_id=ZERO_UUID)], topic_names=["t"], timeout_ms=1
        ),
        DescribeClusterRequest(include_cluster_authorized_operations=True),
        DescribeProducersRequest(topics=[ProducersOfTopic(name="t", partition_indexes=[0])]),
        DescribeTopicPartitionsRequest(topics=[TopicRequest(name="t")]),
        FindCoordinatorRequest(key="g", coordinator_keys=["g"]),
        ListTransactionsRequest(state_filters=[], producer_id_filters=[]),
    )
}
"""Requests of APIs that refuse any request whose fields are all different before they look at a resource."""


class ListeningAuthorizer(Authorizer):
    """Counts how often it was asked; its answer is no."""

    asked = 0

    def allows(
        self, principal: str, host: str, operation: AclOperation, resource_type: ResourceType, name: str
    ) -> bool:
        self.asked += 1
        return super().allows(principal, host, operation, resource_type, name)

    def allows_somewhere(
        self, principal: str, host: str, operation: AclOperation, resource_type: ResourceType
    ) -> bool:
        self.asked += 1
        return super().allows_somewhere(principal, host, operation, resource_type)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.Log]:
    folder: Path = tmp_path_factory.mktemp("log")
    with sc.connect(folder) as log:
        log.create_topic("t")
        with log.producer(transactional_id="somebody") as producer, producer.transaction():
            producer.send("t", value=b"v")
        yield log


@pytest.mark.parametrize("api", ASKING, ids=lambda api: api.name)
def test_a_client_without_rights_is_not_answered_before_the_rules_are_asked(log: sc.Log, api: Api) -> None:
    authorizer = ListeningAuthorizer(log.embedded.node.broker.access_rules)
    before = dict(log.embedded.node.broker.topics)

    for version in range(api.version_min, api.version_max + 1):
        for request in (full(api.request_type, version), *POSSIBLE.get(api.key, ())):
            let_in(log, request, version, authorizer)

    assert authorizer.asked
    assert dict(log.embedded.node.broker.topics) == before


def let_in(log: sc.Log, request: Message, version: int, authorizer: Authorizer) -> None:
    """Let a handler go as far as it does not have to wait."""
    caller = Caller(host="10.0.0.1", endpoint=Endpoint("h", 1), authorizer=authorizer)
    call = Call(version, "client", caller, log.embedded.node.broker, SystemClock())
    with log.embedded.node.driver, suppress(ApiError, StopIteration):
        reply = handler_of(KEYS[type(request)])(request, call)
        if isinstance(reply, Generator):
            next(reply)
            reply.close()
