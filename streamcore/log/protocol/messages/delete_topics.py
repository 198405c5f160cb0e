"""DeleteTopics (key 20): deletes topics, by name or by id."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Message, Null, Uuid, V


class DeleteTopicState(Message):
    name: str | None = None
    topic_id: Uuid


class DeleteTopicsRequest(Message):
    """The request."""

    topics: A[list[DeleteTopicState], V("6+")] = []
    topic_names: A[list[str], V("0-5")] = []
    timeout_ms: Int32


class DeletableTopicResult(Message):
    name: A[str | None, Null("6+")]
    topic_id: A[Uuid, V("6+")] = ZERO_UUID
    error_code: Int16
    error_message: A[str | None, V("5+")] = None


class DeleteTopicsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    responses: list[DeletableTopicResult]
