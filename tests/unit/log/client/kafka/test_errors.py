"""Errors of brokers and of librdkafka: which of our errors they become, and what the text says."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamcore.errors import (
    ProducerFencedError,
    RecordTooLargeError,
    RequestTimeoutError,
    RetriableError,
    StreamCoreError,
    UnknownTopicError,
    UsageError,
)
from streamcore.log.client.kafka.errors import _REACTIONS, error_in, translated


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnknownTopicError),
        (KafkaError.MSG_SIZE_TOO_LARGE, RecordTooLargeError),
        (KafkaError._FENCED, ProducerFencedError),
        (KafkaError._ALL_BROKERS_DOWN, RequestTimeoutError),
        (KafkaError.NOT_LEADER_FOR_PARTITION, RetriableError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, UsageError),
    ],
)
def test_an_error_becomes_the_one_to_which_callers_react_alike(code: int, kind: type[Exception]) -> None:
    assert type(translated(KafkaError(code), "send")) is kind


def test_the_text_says_what_failed_what_to_do_and_what_the_broker_said() -> None:
    error = translated(KafkaError(KafkaError.NON_EMPTY_GROUP, "Broker: not\nempty."), "delete it", group="g")

    assert str(error) == (
        "cannot delete it: the group has members: stop them first: "
        "group=g error=NON_EMPTY_GROUP said='Broker: not empty'"
    )


def test_an_error_without_a_reaction_is_a_plain_one_with_its_name() -> None:
    error = translated(KafkaError(KafkaError.DELEGATION_TOKEN_EXPIRED), "connect")

    assert type(error) is StreamCoreError
    assert "error=DELEGATION_TOKEN_EXPIRED" in str(error)


def test_each_name_with_a_reaction_is_one_that_librdkafka_has() -> None:
    names = {
        KafkaError(code).name()
        for code in vars(KafkaError).values()
        if isinstance(code, int) and not isinstance(code, bool)
    }

    assert _REACTIONS.keys() <= names


def test_the_error_is_found_where_another_one_was_raised_from_it() -> None:
    cause = KafkaError(KafkaError._STATE)
    raised = RuntimeError("outer")
    raised.__cause__ = KafkaException(cause)

    assert error_in(raised) is cause
    assert error_in(RuntimeError("another")) is None
