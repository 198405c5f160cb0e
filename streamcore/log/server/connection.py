"""One connection: bytes to requests, requests to answers, in order.

A client gets its answers in the order of its requests. Requests are also *begun* in that order, each when
the one before is answered, as Kafka does it. Produce is the exception: batches that come while others
wait for the disk are written meanwhile, so that one sync serves all of them. And a Fetch may be held for a
moment, for the good of a client that pauses when it is full (see ``fetch_pace``).

What a peer can make us keep is bounded: so many requests that are not answered, one unfinished frame, one
response that it does not take. Beyond that nothing is read from it. Who has yet to authenticate is held to
much less, and to a time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from streamcore.errors import ClosedError
from streamcore.log.api.authentication.sasl import SaslState
from streamcore.log.api.calls import Call, ConnectionRefusedByHandler, Handler, Login, Reply
from streamcore.log.api.handlers.api_versions import unsupported_version
from streamcore.log.api.handlers.produce import acknowledge
from streamcore.log.api.handlers.sasl import sasl_frame
from streamcore.log.api.handlers.table import HANDLERS, handler_of
from streamcore.log.api.produce_pattern import ProducePattern, correlation_id_of, pattern_of, sole_topic
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import AppendedBatch
from streamcore.log.protocol.apis import API_VERSIONS, APIS, FETCH, PRODUCE, SASL_AUTHENTICATE, Api
from streamcore.log.protocol.codec import MalformedMessageError
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.frames import FRAME_BYTES_MIN, FrameReceiver
from streamcore.log.protocol.headers import RequestHeader, body_start, parse_header, response_start
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.fetch import FetchRequest
from streamcore.log.protocol.messages.produce import ProduceRequest
from streamcore.log.server.connections import Peer
from streamcore.log.server.fetch_pace import FetchPace, pauses_when_full
from streamcore.log.server.grouped_produce import GroupedRequest
from streamcore.log.server.output import Output, Part
from streamcore.log.server.parts import ListenerParts
from streamcore.log.server.runner import Running
from streamcore.log.storage.partition.partition_replies import StoredRecords

_logger = logging.getLogger(__name__)

R = TypeVar("R")

_UNSUPPORTED_VERSION_ANSWER: Final = 0
_WAITING_FOR_OTHERS: Final = (1, 11, 14)
"""Fetch waits for producers, JoinGroup and SyncGroup wait for other members: perhaps for long."""
_GIVEN_UP: Final = (FETCH, SASL_AUTHENTICATE)
"""They change nothing, so nobody has to see them through when their client is gone."""
_PATTERNS_MAX: Final = 16
"""So many kinds of Produce requests are remembered of a connection."""
_FRAME_LENGTH: Final = struct.Struct(">i")
_NO_HEADER: Final = RequestHeader(SASL_AUTHENTICATE.key, 0, 0, None, 0)
"""Stands where a frame is a message of an authentication, and no request."""


@dataclass(slots=True)
class _Request:
    """A request that was begun: its answer once there is one, and until then the operation that finds it.

    The operation knows the request. So that what they hold is freed at once, and not when the interpreter
    looks for cycles, the request forgets the operation at its end.
    """

    header: RequestHeader
    api: Api
    frame_bytes: int
    answer: list[Part] | None = None
    running: Running[Any] | None = None


class Connection(asyncio.BufferedProtocol):
    """The server's side of one connection."""

    def __init__(self, parts: ListenerParts, arrival: Peer | None = None) -> None:
        """``arrival`` is the connection as it was counted until now."""
        self._listener = parts
        self._arrival = arrival
        self._server = server = parts.server
        self._receiver = FrameReceiver(server.scratch, frame_bytes_max=server.settings.frame_bytes_max)
        self._requests_max = server.settings.pipelined_requests_max
        self.deadline_s = float("inf")
        self._waiting: deque[bytearray] = deque()
        self._begun: deque[_Request | GroupedRequest] = deque()
        self._patterns: list[ProducePattern] = []
        """Of Produce requests that have come, and may come again but for their records."""
        self._queued_bytes = 0
        self._pace: FetchPace | None = None
        self._holding: asyncio.TimerHandle | None = None
        """Set while a Fetch is held, which is the first that waits."""
        self._is_going_on = False
        self._is_reading_paused = False
        self._is_closing = False

    # --- the transport's calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came."""
        self._transport = transport
        self._output = Output(transport, self._server.readers, self._go_on)
        self._caller = self._listener.caller_of(transport)
        # A peer that vanished without a word is noticed within minutes, whatever it was waiting for.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.last_active_s = self._server.clock.monotonic_s()
        if self._caller.login is not None:
            self._await_login()
        self._server.memory.add(self)
        if not self._server.connections.admit(self, self._caller.host, self._arrival):
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._receiver.buffer()

    def buffer_updated(self, count: int) -> None:
        """Bytes have come."""
        self.last_active_s = self._server.clock.monotonic_s()
        try:
            frames = self._receiver.received(count)
        except MalformedMessageError as error:
            self._refuse(error)
            return
        if frames:
            self._waiting.extend(frames)
            self._queued_bytes += sum(map(len, frames))
            self._go_on()
        else:
            self._keep_to_limits()

    def eof_received(self) -> bool:
        """The peer sends no more; what it asked is answered no more either."""
        return False

    def pause_writing(self) -> None:
        """The peer does not take what it is sent."""
        self._output.pause()

    def resume_writing(self) -> None:
        """The peer has taken what it was sent."""
        self.last_active_s = self._server.clock.monotonic_s()
        self._output.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """It is over, for whatever reason."""
        self._is_closing = True
        self._server.connections.remove(self, self._caller.host)
        self._server.memory.remove(self)
        self._waiting.clear()
        if self._holding is not None:
            self._holding.cancel()
        for request in self._begun:
            running, request.running = request.running, None
            # Whatever changes something goes on to its end, although nobody waits for the answer.
            if request.api in _GIVEN_UP and running is not None:
                running.cancel()
            _close_records(request.answer or ())
        self._begun.clear()
        # Now, and not when the interpreter finds that nobody uses the connection any more.
        self._receiver.drop()
        self._output.close()

    def close(self) -> None:
        """End the connection once what was answered is sent."""
        if not self._is_closing:  # asyncio's TLS forgets at a second time how to abort
            self._is_closing = True
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._is_closing = True
        self._transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._begun and not self._waiting and not self._output.is_congested

    @property
    def is_working(self) -> bool:
        """Whether something is under way that does not wait for other clients."""
        return any(request.api.key not in _WAITING_FOR_OTHERS for request in self._begun)

    @property
    def is_stuck(self) -> bool:
        """Whether an answer waits that the peer does not take."""
        return self._output.is_congested

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return self._receiver.is_inside

    # --- requests -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin what may be begun."""
        if self._is_going_on:
            return  # an answer that came at once leads here again: the loop below goes on by itself
        self._is_going_on = True
        try:
            while self._waiting and not self._is_closing and self._may_begin():
                self._begin(self._waiting.popleft())
        except MalformedMessageError as error:
            self._refuse(error)
        finally:
            self._is_going_on = False
        self._keep_to_limits()

    def _may_begin(self) -> bool:
        if self._output.is_congested:
            return False
        if not self._begun:
            return not self._is_held()
        is_produce = self._waiting[0][:2] == b"\x00\x00"
        # Only another Produce begins after a Produce, so the first tells of all.
        return is_produce and self._begun[0].api is PRODUCE

    def _is_held(self) -> bool:
        """Whether the first request is a Fetch that had better wait a little."""
        if self._pace is None or self._waiting[0][:2] != b"\x00\x01":
            return False
        if self._holding is None:
            hold_s = self._pace.hold_s(self._server.clock.monotonic_s())
            if hold_s > 0:
                self._holding = asyncio.get_running_loop().call_later(hold_s, self._end_hold)
        return self._holding is not None

    def _end_hold(self) -> None:
        self._holding = None
        self._go_on()

    def _begin(self, frame: bytearray) -> None:
        login = self._caller.login
        if login is not None and login.session.takes_frames:
            self._begin_bare(bytes(frame))
            return
        if self._patterns and self._begin_grouped(frame):
            return
        header = parse_header(frame)
        if login is not None and not login.session.admits(header.key, self._server.clock.monotonic_s()):
            raise MalformedMessageError(f"a request of key {header.key} comes without authentication")
        api = APIS.get(header.key)
        if api is None or header.key not in HANDLERS:
            raise MalformedMessageError(f"there is no request of key {header.key}")
        begun = _Request(header, api, len(frame))
        if not api.serves(header.version):
            if api is not API_VERSIONS:
                raise MalformedMessageError(f"{api.name} has no version {header.version}")
            self._begun.append(begun)
            answer_version, correlation_id = _UNSUPPORTED_VERSION_ANSWER, header.correlation_id
            self._answer_in_version(begun, unsupported_version(), answer_version, correlation_id)
            return
        start = body_start(frame, header, api)
        codec = api.request_codec(header.version)
        request = codec.decode(
            memoryview(frame) if api is PRODUCE else bytes(frame), start, may_have_rest=True
        )
        if isinstance(request, ApiVersionsRequest):
            name, version = request.client_software_name, request.client_software_version
            is_paced = self._server.settings.paces_fetches and pauses_when_full(name, version)
            self._pace = FetchPace() if is_paced else None
        elif isinstance(request, FetchRequest) and self._pace is not None:
            request.max_bytes = self._pace.bytes_max(request.max_bytes)
        elif isinstance(request, ProduceRequest):
            self._server.produce.write()  # what came before goes first
            self._learn_pattern(frame, header, request)
        call = self._call(header)
        self._begun.append(begun)
        self._run(begun, _as_operation(handler_of(header.key), request, call), partial(self._answer, begun))

    def _begin_grouped(self, frame: bytearray) -> bool:
        """Begin a request that fits a pattern and may write there; false if it goes the way of all others."""
        for pattern in self._patterns:
            batch = pattern.batch_in(frame)
            if batch is not None:
                break
        else:
            return False
        partition, broker = pattern.partition, self._server.broker
        log = broker.find_partition(partition)
        if log is None or (
            pattern.topic_id is not None and broker.topic_name(pattern.topic_id) != partition.topic
        ):
            return False
        caller = self._caller
        login = caller.login
        if login is not None and not login.session.admits(PRODUCE.key, self._server.clock.monotonic_s()):
            return False
        if caller.authorizer is not None and not caller.authorizer.allows(
            caller.principal, caller.host, AclOperation.WRITE, ResourceType.TOPIC, partition.topic
        ):
            return False
        request = GroupedRequest(self, pattern, correlation_id_of(frame), batch, len(frame))
        self._begun.append(request)
        self._server.produce.add(log, request)
        return True

    def _learn_pattern(self, frame: bytearray, header: RequestHeader, request: ProduceRequest) -> None:
        """Remember what a request looks like, if others like it can be grouped."""
        topic = sole_topic(request)
        if topic is None:
            return
        broker = self._server.broker
        name = topic.name or broker.topic_name(topic.topic_id)
        if name is None or broker.is_internal(name):
            return
        pattern = pattern_of(frame, header, topic, name)
        if pattern is not None and broker.has_partition(pattern.partition):
            self._patterns = [*self._patterns[-(_PATTERNS_MAX - 1) :], pattern]

    def acknowledge(self, request: GroupedRequest, appended: AppendedBatch) -> None:
        """Answer a grouped request by the handler of Produce."""
        pattern = request.pattern
        header = RequestHeader(PRODUCE.key, pattern.version, request.correlation_id, pattern.client_id, 0)
        operation = acknowledge(appended, pattern.topic, self._call(header))
        running = self._server.runner.run(operation, partial(self._answer_grouped, request), self.fail)
        if not running.is_over:
            request.running = running

    def _answer_grouped(self, request: GroupedRequest, reply: Message) -> None:
        self._answer_in_version(request, reply, request.pattern.version, request.correlation_id)

    def _begin_bare(self, frame: bytes) -> None:
        """A message of an authentication, without a header, and without one in its answer."""
        begun = _Request(_NO_HEADER, SASL_AUTHENTICATE, len(frame))

        def answer(token: bytes) -> None:
            begun.answer = [_FRAME_LENGTH.pack(len(token)) + token]
            self.send_answers()

        self._begun.append(begun)
        self._run(begun, sasl_frame(frame, self._call(_NO_HEADER)), answer)

    def _run(self, begun: _Request, operation: Operation[R], answer: Callable[[R], None]) -> None:
        running = self._server.runner.run(operation, answer, self.fail)
        if not running.is_over:
            begun.running = running

    def _call(self, header: RequestHeader) -> Call:
        return Call(header.version, header.client_id, self._caller, self._server.broker, self._server.clock)

    def _answer(self, begun: _Request, reply: Reply) -> None:
        try:
            if reply is None:
                begun.answer = []
                self.send_answers()
            else:
                self._answer_in_version(begun, reply, begun.header.version, begun.header.correlation_id)
        except Exception as error:  # noqa: BLE001 - one request must not take others with it
            self.fail(error)

    def _answer_in_version(
        self, begun: _Request | GroupedRequest, reply: Message, version: int, correlation_id: int
    ) -> None:
        body = begun.api.response_codec(version).encode_parts(reply)
        size = sum(map(len, body))
        if begun.api is FETCH and self._pace is not None:
            has_waited = begun.running is not None
            self._pace.answered(size, self._server.clock.monotonic_s(), has_waited=has_waited)
        start = response_start(begun.api, version, correlation_id, size)
        if len(body) == 1 and isinstance(body[0], bytearray):
            begun.answer = [start + body[0]]
        else:
            begun.answer = [start, *_sendable(body)]
        if self._is_closing:
            _close_records(begun.answer)
            return
        self.send_answers()

    def send_answers(self) -> None:
        """Send what is answered, as far as everything before it is."""
        if self._is_closing:
            return
        while self._begun and (answer := self._begun[0].answer) is not None:
            request = self._begun.popleft()
            request.running = None
            self._queued_bytes -= request.frame_bytes
            if answer:
                self._output.send(answer)
        if self._caller.login is not None:
            self._see_login(self._caller.login)
        if self._waiting:
            self._go_on()
        elif not self._is_going_on:
            self._keep_to_limits()

    # --- authentication -------------------------------------------------------------------------

    def _await_login(self) -> None:
        """Hold the connection to what an authentication needs."""
        settings = self._server.settings
        self.deadline_s = self.last_active_s + settings.authentication_s
        self._requests_max = settings.authentication_requests_max
        self._receiver.frame_bytes_max = settings.authentication_frame_bytes_max
        self._receiver.frame_bytes_min = 0

    def _see_login(self, login: Login) -> None:
        """Let the connection in, or end it, once its authentication has come to that."""
        state = login.session.state
        if state is SaslState.FAILED:
            self.close()
        elif state is SaslState.AUTHENTICATED and self.deadline_s != float("inf"):
            settings = self._server.settings
            self.deadline_s = float("inf")
            self._requests_max = settings.pipelined_requests_max
            self._receiver.frame_bytes_max = settings.frame_bytes_max
            self._receiver.frame_bytes_min = FRAME_BYTES_MIN

    # --- limits and failures --------------------------------------------------------------------

    def _keep_to_limits(self) -> None:
        """Account for the memory that the connection's requests hold, and read on or not."""
        if self._is_closing:
            return
        memory = self._server.memory
        memory.hold(self, self._queued_bytes + self._receiver.held_bytes)
        is_plain = not (self._is_reading_paused or memory.is_short)
        if not is_plain or len(self._waiting) + len(self._begun) >= self._requests_max:
            self.read_or_not()

    def read_or_not(self) -> None:
        """Read from the peer, or leave it waiting, as the limits say."""
        is_full = len(self._waiting) + len(self._begun) >= self._requests_max
        is_paused = is_full or not self._server.memory.may_read(self)
        if is_paused == self._is_reading_paused or self._is_closing:
            return
        self._is_reading_paused = is_paused
        if is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _refuse(self, error: MalformedMessageError) -> None:
        """The peer does not speak the protocol: nothing that follows can be trusted."""
        _logger.info("closed a connection whose request makes no sense: %s peer=%s", error, self._caller.host)
        self.close()

    def fail(self, error: Exception) -> None:
        """Close the connection, because a request cannot be answered."""
        if isinstance(error, ConnectionRefusedByHandler):
            _logger.debug("closed a connection: %s", error)
        elif not isinstance(error, ClosedError):
            _logger.error("a request failed, and its connection is closed", exc_info=error)
        self.close()


def _as_operation(handler: Handler, request: Message, call: Call) -> Operation[Reply]:
    """Any handler as an operation, so that it runs where operations do: under the broker's lock."""
    reply = handler(request, call)
    if reply is None or isinstance(reply, Message):
        return reply
    return (yield from reply)


def _close_records(parts: Sequence[Part]) -> None:
    for part in parts:
        if isinstance(part, StoredRecords):
            part.close()


def _sendable(parts: Sequence[Sized]) -> Iterator[Part]:
    for part in parts:
        assert isinstance(part, bytes | bytearray | memoryview | StoredRecords)
        yield part
