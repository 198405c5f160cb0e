"""What stands before a message: kio writes the same, for every message that we serve."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcore.log.protocol.apis import APIS
from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.headers import body_start, parse_header, response_start
from tests.property.protocol import kio_peer
from tests.property.protocol.served_messages import SERVED, ServedMessage

REQUESTS = [served for served in SERVED if served.is_request]
RESPONSES = [served for served in SERVED if not served.is_request]
CASES = int(os.environ.get("FUZZ_CASES", "20000")) // 4
SEED = int(os.environ.get("FUZZ_SEED", "2013"))

correlation_ids = st.integers(-(2**31), 2**31 - 1)
client_ids = st.none() | st.text(max_size=20) | st.just("c" * 32_767)


@settings(max_examples=2 * settings().max_examples)
@given(served=st.sampled_from(REQUESTS), correlation_id=correlation_ids, client_id=client_ids)
def test_the_header_of_a_request_is_read(
    served: ServedMessage, correlation_id: int, client_id: str | None
) -> None:
    header = kio_peer.encode_header(served, correlation_id, client_id)

    parsed = parse_header(header + b"body")

    assert (parsed.key, parsed.version) == (served.api.key, served.version)
    assert (parsed.correlation_id, parsed.client_id) == (correlation_id, client_id)
    assert body_start(header + b"body", parsed, served.api) == len(header)


@settings(max_examples=2 * settings().max_examples)
@given(served=st.sampled_from(RESPONSES), correlation_id=correlation_ids, body_bytes=st.integers(0, 2**30))
def test_the_start_of_a_response_is_written(
    served: ServedMessage, correlation_id: int, body_bytes: int
) -> None:
    header = kio_peer.encode_header(served, correlation_id, None)

    start = response_start(served.api, served.version, correlation_id, body_bytes)

    assert start == (len(header) + body_bytes).to_bytes(4, "big") + header


@pytest.mark.slow
@pytest.mark.parametrize("served", RESPONSES, ids=str)
def test_every_response_begins_as_kio_lets_it_begin(served: ServedMessage) -> None:
    header = kio_peer.encode_header(served, 7, None)

    assert response_start(served.api, served.version, 7, 0)[4:] == header


@pytest.mark.slow
def test_hostile_headers_are_headers_or_malformed() -> None:
    random = Random(SEED)
    parsed_count = 0
    for _ in range(CASES):
        served = random.choice(REQUESTS)
        header = bytearray(kio_peer.encode_header(served, random.getrandbits(31), "client"))
        for _ in range(random.randint(1, 3)):
            header[random.randrange(len(header))] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        frame = bytes(header[: random.randint(0, len(header))]) + random.randbytes(random.randint(0, 20))
        try:
            parsed = parse_header(frame)
            start = body_start(frame, parsed, APIS.get(parsed.key, served.api))
        except MalformedMessageError:
            continue
        parsed_count += 1
        assert parsed.client_id_end <= start <= len(frame)

    assert 0 < parsed_count < CASES
