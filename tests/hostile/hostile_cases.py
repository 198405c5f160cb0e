"""What a hostile, broken or merely odd client sends: one case after the other, under a seed.

A case is some bytes, and what the client does after them. Many are requests that are valid up to a point: any
API in any version, its fields drawn by the strategies that test the message tables, some of them replaced by
names and numbers that mean something to the broker, some bytes damaged afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Final, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.protocol.apis import APIS, FETCH, Api
from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.encoding import encode_varint
from streamcore.log.protocol.fields import Message
from streamcore.log.records.builder import encode_batch
from tests.property.protocol.damages import DAMAGES, LENGTHS
from tests.property.protocol.random_messages import bare, full, messages

NAMES: Final = (
    "fuzzed",
    "fuzzed-compacted",
    "group",
    "transactional",
    "member",
    "consumer",
    "range",
    "",
    "*",
    "a/b",
)
"""Names that exist, or are likely to be taken for special ones."""
NUMBERS: Final = (-2, -1, 0, 1, 2, 3, 100)
_PARTITIONS_MAX: Final = 20
_NOW_MS: Final = 1_700_000_000_000

SERVED: Final = tuple(
    (api, version)
    for api in APIS.values()
    if api.key in HANDLERS
    for version in range(api.version_min, api.version_max + 1)
)


class Ending(Enum):
    """What the client does when it has sent the bytes."""

    WAIT = auto()
    """Wait a moment for an answer, and go on with the same connection."""
    CLOSE = auto()
    RESET = auto()
    """Close so that the other side gets an error."""
    HALF_CLOSE = auto()
    """Say that nothing more comes, and wait for the end."""
    STAY_SILENT = auto()
    """Leave the connection as it is, and use another one."""


@dataclass(frozen=True)
class Case:
    """Bytes, and how they go out."""

    data: bytes
    ending: Ending
    correlation_id: int | None = None
    """The number by which a request that is valid is answered; ``None`` if it is not."""
    api: Api | None = None
    version: int = -1
    is_slow: bool = False
    """Byte by byte, as far as the client's patience goes."""


class _Pooled(NamedTuple):
    api: Api
    version: int
    message: Message


def message_pool(count: int, seed_: int) -> list[_Pooled]:
    """Requests of all served APIs and versions: bare ones, full ones, and drawn ones."""
    pool = [
        _Pooled(api, version, make(api.request_type, version))
        for api, version in SERVED
        for make in (bare, full)
    ]

    @seed(seed_)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        api, version = data.draw(st.sampled_from(SERVED))
        pool.append(_Pooled(api, version, data.draw(messages(api.request_type, version))))

    draw()
    return pool


def _wants_too_much(api: Api, version: int, body: bytes) -> bool:
    """Whether a damaged request is one for a multitude of partitions."""
    if api.name not in ("CreateTopics", "CreatePartitions"):
        return False
    try:
        request = api.request_codec(version).decode(body, may_have_rest=True)
    except MalformedMessageError:
        return False
    counts: list[int] = [
        getattr(topic, name)
        for topic in request.topics  # type: ignore[attr-defined]
        for name in ("num_partitions", "count")
        if hasattr(topic, name)
    ]
    return sum(counts) > _PARTITIONS_MAX


class HostileClient:
    """Makes cases. It learns nothing from the answers: that is for who sends them."""

    def __init__(self, seed_: int, *, pool_count: int = 400) -> None:
        self._random = Random(seed_)
        self._pool = message_pool(pool_count, seed_)
        self._correlation_id = 0

    def cases(self, count: int) -> Iterator[Case]:
        """So many cases."""
        kinds: tuple[tuple[Callable[[], Case], int], ...] = (
            (self._valid_request, 50),
            (self._damaged_request, 25),
            (self._several_requests, 4),
            (self._request_after_garbage, 2),
            (self._random_frame, 6),
            (self._wrong_header, 6),
            (self._wrong_length, 3),
            (self._cut_off_frame, 3),
            (self._slow_request, 1),
        )
        makers, weights = zip(*kinds, strict=True)
        for _ in range(count):
            yield self._random.choices(makers, weights)[0]()

    # --- kinds of cases -------------------------------------------------------------------------

    def _valid_request(self) -> Case:
        api, version, message = self._some_request()
        frame = self._frame(api, version, bytes(api.request_codec(version).encode(message)))
        ending = self._random.choices((Ending.WAIT, Ending.CLOSE, Ending.RESET), (90, 5, 5))[0]
        return Case(frame, ending, self._correlation_id, api, version)

    def _damaged_request(self) -> Case:
        api, version, message = self._some_request()
        body = bytearray(api.request_codec(version).encode(message)) or bytearray(1)
        for _ in range(self._random.choice((1, 1, 2, 4))):
            self._random.choice(DAMAGES)(body, self._random)
            body = body or bytearray(1)
        if _wants_too_much(api, version, bytes(body)):
            return self._valid_request()
        ending = self._random.choice((Ending.WAIT, Ending.WAIT, Ending.WAIT, Ending.HALF_CLOSE))
        return Case(self._frame(api, version, bytes(body)), ending)

    def _several_requests(self) -> Case:
        frames = b""
        for _ in range(self._random.randint(2, 30)):
            frames += self._valid_request().data
        return Case(frames, self._random.choice((Ending.CLOSE, Ending.RESET, Ending.STAY_SILENT)))

    def _request_after_garbage(self) -> Case:
        garbage = self._random.randbytes(self._random.randint(1, 40))
        return Case(garbage + self._valid_request().data + garbage, Ending.CLOSE)

    def _random_frame(self) -> Case:
        body = self._random.randbytes(self._random.choice((0, 4, 8, 20, 200)))
        return Case(struct.pack(">i", len(body)) + body, Ending.WAIT)

    def _wrong_header(self) -> Case:
        choice = self._random.randrange(4)
        api, version, message = self._some_request()
        body = bytes(api.request_codec(version).encode(message))
        if choice == 0:
            key, version = self._random.choice(tuple(APIS)), self._random.choice((-1, 99, 32_767, -32_768))
        elif choice == 1:
            key = self._random.choice(
                (-1, 4, 5, 6, 7, 56, 71, 1_000, 32_767, self._random.randrange(-(2**15), 2**15))
            )
        else:
            key = api.key
        header = bytearray(struct.pack(">hhi", key, version, self._next_id()) + b"\x00\x04fuzz\x00")
        if choice >= 2:
            self._random.choice(DAMAGES[1:])(header, self._random)
        frame = bytes(header) + body
        return Case(struct.pack(">i", len(frame)) + frame, Ending.WAIT)

    def _wrong_length(self) -> Case:
        length = self._random.choice(
            (-1, -(2**31), 0, 1, 7, 2**31 - 1, 100 * 1024 * 1024 + 1, 100 * 1024 * 1024, 0x16030100)
        )
        rest = self._random.randbytes(self._random.choice((0, 10, 1_000)))
        return Case(struct.pack(">i", length) + rest, self._random.choice((Ending.CLOSE, Ending.STAY_SILENT)))

    def _cut_off_frame(self) -> Case:
        data = self._valid_request().data
        ending = self._random.choice((Ending.CLOSE, Ending.RESET, Ending.HALF_CLOSE, Ending.STAY_SILENT))
        return Case(data[: self._random.randrange(len(data))], ending)

    def _slow_request(self) -> Case:
        valid = self._valid_request()
        return Case(valid.data, Ending.CLOSE, is_slow=True)

    # --- requests -------------------------------------------------------------------------------

    def _some_request(self) -> _Pooled:
        api, version, message = self._random.choice(self._pool)
        changed = deepcopy(message)
        self._give_meaning(changed)
        if api is FETCH and self._random.random() < 0.9:
            changed.max_wait_ms = self._random.choice((0, 0, 1, -1))  # type: ignore[attr-defined]
        return _Pooled(api, version, changed)

    def _give_meaning(self, message: Message) -> None:
        """Replace some of the fields, here and in structures inside, by what the broker may know."""
        for field in message.__struct_fields__:
            value = getattr(message, field)
            if isinstance(value, Message):
                self._give_meaning(value)
            elif isinstance(value, list) and value and isinstance(value[0], Message):
                for each in value:
                    self._give_meaning(each)
            elif field == "num_partitions" or (field == "count" and isinstance(value, int)):
                # What is made is made: a topic of thousands of partitions is a wish, and takes its time.
                setattr(message, field, min(value, _PARTITIONS_MAX))
            elif self._random.random() < 0.7:
                setattr(message, field, self._meaning(field, value))

    def _meaning(self, field: str, value: object) -> object:
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return self._random.choice(NAMES)
        if isinstance(value, int):
            return self._random.choice(NUMBERS)
        if isinstance(value, list) and value and isinstance(value[0], str):
            return [self._random.choice(NAMES) for _ in value]
        if isinstance(value, list) and value and isinstance(value[0], int):
            return [self._random.choice(NUMBERS) for _ in value]
        if field == "records":
            return self._batches()
        return value

    def _batches(self) -> bytes:
        """A batch, several, or one that is damaged."""
        random = self._random
        batch = bytearray(
            encode_batch(
                [random.choice((None, b"k"))] * 2,
                [random.choice((None, b"v", b"x" * 500))] * 2,
                [random.choice((_NOW_MS, -1))] * 2,
                compression=random.choice(("none", "gzip", "snappy", "lz4", "zstd")),
                producer_id=random.choice((-1, -1, 0, 1, 7)),
                producer_epoch=random.choice((-1, 0, 1)),
                base_sequence=random.choice((-1, 0, 2)),
                transactional=random.random() < 0.2,
            )
        )
        if random.random() < 0.3:
            random.choice(DAMAGES)(batch, random)
        return bytes(batch) * random.choice((1, 1, 1, 2))

    def _next_id(self) -> int:
        self._correlation_id = (self._correlation_id + 1) & 0x7FFFFFFF
        return self._correlation_id

    def _frame(self, api: Api, version: int, body: bytes) -> bytes:
        name = self._random.choice((b"\xff\xff", b"\x00\x00", b"\x00\x04fuzz"))
        header = struct.pack(">hhi", api.key, version, self._next_id()) + name
        if api.is_flexible(version):
            header += self._tagged_fields()
        return struct.pack(">i", len(header) + len(body)) + header + body

    def _tagged_fields(self) -> bytes:
        if self._random.random() < 0.95:
            return encode_varint(0)
        fields: Sequence[bytes] = [self._random.choice(LENGTHS[:2]) for _ in range(3)]
        return encode_varint(len(fields)) + b"".join(
            encode_varint(number) + encode_varint(len(field)) + field for number, field in enumerate(fields)
        )
