"""What one broker is asked in one scenario, request by request, and what it answers.

A scenario is a function that asks through a ``Conversation``. It is run once for each broker, with the same
names, so that what refers to an earlier answer (an id, an epoch) refers to that broker's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.apis import Api
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tests.differential.trees import Names, Tree, tree_of
from tests.support.wire_client import BY_NAME, WireClient

CLIENT_ID: Final = "differential"
SETTLING_LIMIT_S: Final = 15.0
_ANSWER_LIMIT_S: Final = 3.0
"""Kafka never answers some requests that it fails at."""
_PAUSE_S: Final = 0.005

_SETTLES: Final = frozenset(
    {
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""Errors that pass by themselves while Kafka does in the background what it has acknowledged."""

_KIND_NAMES: Final = {"producer_id": "producer"}
_NAMING: Final = ("name", "topic", "group_id", "transactional_id", "resource_name", "user")
_NAMES_UNTIL: Final = {"Produce": 12, "Fetch": 12, "OffsetCommit": 9, "OffsetFetch": 9, "DeleteTopics": 5}
"""The last versions in which topics have names. A request that prepares something is of such a version."""


class ConversationOverError(Exception):
    """The broker has closed the connection, so the scenario cannot go on."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request, and what came of it."""

    api: str
    version: int
    request: str
    answer: Tree


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that a scenario has made."""

    name: str
    topic_id: bytes


NO_TOPIC: Final = Topic("nobody-made-this-topic", b"\x09" * 16)


class Conversation:
    """Asks one broker in one scenario, and writes down what it answers."""

    def __init__(self, address: str, scenario: str, api: str, version: int, now_ms: int) -> None:
        """``version`` is that of the requests of ``api``."""
        host, _, port = address.partition(":")
        self._host, self._port = host, int(port)
        self.api, self.version = api, version
        self._prefix = f"{api}-{scenario}-{version}"[-200:]
        self._connections: dict[str, WireClient] = {}
        self._names = Names(now_ms)
        self.now_ms = now_ms
        self.steps: list[Step] = []
        self._settled_count = 0

    def name(self, role: str) -> str:
        """A name that no other scenario uses."""
        return f"{self._prefix}-{role}"

    def version_of(self, api: str) -> int:
        """The version in which requests are sent."""
        return self.version if api == self.api else _NAMES_UNTIL.get(api, BY_NAME[api].version_max)

    # --- asking ---------------------------------------------------------------------------------

    def ask(
        self, request: Message, version: int | None = None, *, on: str = "first", own: bool = False
    ) -> Any:
        """Send a request over one of the connections, write down the answer and return it.

        ``own`` leaves out of it what other scenarios have made.

        Raises:
            ConversationOverError: the broker closes the connection instead.
        """
        api = _api_of(request)
        version = self.version_of(api.name) if version is None else version
        try:
            answer = self._connection(on).ask(request, version)
        except (OSError, AssertionError) as error:
            self._close(on, api, version, request, error)
        return self._write_down(api, version, request, self._own_of(answer, repr(request)) if own else answer)

    def ask_until_settled(self, request: Message, version: int | None = None, *, on: str = "first") -> Any:
        """The same, but again and again while the answer says that the broker is not ready yet."""
        api = _api_of(request)
        version = self.version_of(api.name) if version is None else version
        try:
            answer = self._settled(self._connection(on), request, version)
        except (OSError, AssertionError) as error:
            self._close(on, api, version, request, error)
        return self._write_down(api, version, request, answer)

    def ask_until(self, request: Message, is_so: Callable[[Any], bool]) -> Any:
        """The same until an answer is as it should be in the end; that one is written down."""
        self.wait_until(lambda: is_so(self.prepare(request)))
        return self.ask(request)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Look again and again until it is so."""
        end_s = time.monotonic() + SETTLING_LIMIT_S
        while not is_so():
            assert time.monotonic() < end_s, "not so in time"
            time.sleep(_PAUSE_S)

    def wait_until_rebalancing(self, heartbeat: Message) -> None:
        """Wait until a member is told that others want to join."""
        self.wait_until(lambda: ErrorCode.REBALANCE_IN_PROGRESS in error_codes(self.prepare(heartbeat)))

    def ask_again(self, request: Message) -> None:
        """Ask where the answer may be that the connection is closed; the next request gets a new one."""
        with suppress(ConversationOverError):
            self.ask(request, own=True)

    def settle(self) -> None:
        """Wait until what was acknowledged is seen by every part of the broker.

        A setting or a user reaches the parts of Kafka some milliseconds after its acknowledgement. A topic
        that is made now reaches them after that.
        """
        self._settled_count += 1
        self.make_topic(f"settling-{self._settled_count}")

    def begin(self, request: Message, version: int | None = None, *, on: str = "first") -> Callable[[], Any]:
        """Send a request whose answer waits for another one; the result waits for the answer."""
        api = _api_of(request)
        version = self.version_of(api.name) if version is None else version
        self._connection(on).send(request, version)

        def wait() -> Any:
            try:
                answer = self._connections[on].receive(api, version)
            except (OSError, AssertionError) as error:
                self._close(on, api, version, request, error)
            return self._write_down(api, version, request, answer)

        return wait

    def prepare(self, request: Message, version: int | None = None) -> Any:
        """Ask what is no part of the comparison; the answer, once the broker is ready to give one."""
        api = _api_of(request)
        version = _NAMES_UNTIL.get(api.name, api.version_max) if version is None else version
        return self._settled(self._connection("preparing"), request, version)

    def tell(self, request: Message, version: int | None = None, *, on: str = "first") -> None:
        """Send a request that is not answered."""
        api = _api_of(request)
        self._connection(on).send(request, self.version_of(api.name) if version is None else version)

    def know(self, kind: str, value: object, name: str | None = None) -> None:
        """An id that was seen outside of the comparison."""
        self._names.name(_KIND_NAMES.get(kind, kind), value, name)

    def note(self, what: str, seen: Tree) -> None:
        """Write down what is no answer."""
        self.steps.append(Step(what, self.version, what, seen))

    # --- preparing ------------------------------------------------------------------------------

    def make_topic(
        self, role: str = "topic", *, partitions: int = 1, settings: Mapping[str, str] | None = None
    ) -> Topic:
        """A new topic that can be written to and read from."""
        name = self.name(role)
        configs = [CreatableTopicConfig(name=key, value=value) for key, value in (settings or {}).items()]
        wanted = CreatableTopic(
            name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=configs
        )
        made = self.prepare(CreateTopicsRequest(topics=[wanted], timeout_ms=10_000)).topics[0]
        assert not made.error_code, made
        self.wait_for(name, partitions)
        self._names.name("uuid", made.topic_id, f"id of {role}")
        return Topic(name, made.topic_id)

    def wait_for(self, name: str, partitions: int = 1) -> None:
        """Wait until a topic's partitions can be used."""
        parts = [ListOffsetsPartition(partition_index=each, timestamp=-1) for each in range(partitions)]
        topics = [ListOffsetsTopic(name=name, partitions=parts)]
        self.prepare(ListOffsetsRequest(replica_id=-1, topics=topics), 6)

    # --- connections ----------------------------------------------------------------------------

    def _connection(self, which: str) -> WireClient:
        if which not in self._connections:
            client = WireClient(self._host, self._port, client_id=CLIENT_ID)
            client.socket.settimeout(_ANSWER_LIMIT_S)
            self._connections[which] = client
        return self._connections[which]

    def raw(self, which: str = "first") -> WireClient:
        """A connection, for what is no request."""
        return self._connection(which)

    def _settled(self, client: WireClient, request: Message, version: int) -> Any:
        end_s = time.monotonic() + SETTLING_LIMIT_S
        while True:
            answer = client.ask(request, version)
            if not _SETTLES & set(error_codes(answer)) or time.monotonic() > end_s:
                return answer
            time.sleep(_PAUSE_S)

    def _write_down(self, api: Api, version: int, request: Message, answer: Message) -> Message:
        self.steps.append(Step(api.name, version, repr(request), tree_of(answer, version, self._names)))
        return answer

    def _own_of(self, answer: Message, asked: str) -> Message:
        """The answer without what the request does not name and the scenario has not made."""
        for field in answer.__struct_fields__:
            value = getattr(answer, field)
            if isinstance(value, list) and value and isinstance(value[0], Message):
                own = [self._own_of(each, asked) for each in value if self._is_own(each, asked)]
                setattr(answer, field, own)
        return answer

    def _is_own(self, element: Message, asked: str) -> bool:
        texts = [text for field in _NAMING if isinstance(text := getattr(element, field, None), str)]
        return not texts or any(text.startswith(self._prefix) or repr(text) in asked for text in texts)

    def _close(self, which: str, api: Api, version: int, request: Message, error: Exception) -> NoReturn:
        self._connections.pop(which).close()
        outcome = "no answer" if isinstance(error, TimeoutError) else "connection closed"
        self.steps.append(Step(api.name, version, repr(request), outcome))
        raise ConversationOverError from error

    def close(self) -> None:
        """End all connections."""
        for client in self._connections.values():
            client.close()
        self._connections.clear()


def error_codes(answer: object) -> list[int]:
    """Every error code in an answer."""
    if isinstance(answer, list):
        return [code for each in answer for code in error_codes(each)]
    if not isinstance(answer, Message):
        return []
    found: list[int] = []
    for field in answer.__struct_fields__:
        value = getattr(answer, field)
        found += [value] if field.endswith("error_code") else error_codes(value)
    return found


def _api_of(request: Message) -> Api:
    return BY_NAME[type(request).__name__.removesuffix("Request")]
