"""One connection: from bytes to requests, and from requests to answers, in order.

A client gets its answers in the order of its requests. Requests are also *begun* in that order, each when
the one before is answered, as in Kafka. Produce is the exception: batches that arrive while others
wait for the disk are written meanwhile, so that one sync serves all of them. A Fetch may be held for a short
time, for a client that pauses when its queue is full (see ``fetch_pace``).

The memory of a peer is bounded: a number of unanswered requests, one unfinished frame, one response that the
peer does not take. Beyond that nothing is read from it. A client that has not authenticated has lower limits,
and a time limit.
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
"""These requests change nothing, so they are cancelled when their connection closes."""
_PATTERNS_MAX: Final = 16
"""The most kinds of Produce requests remembered for a connection."""
_FRAME_LENGTH: Final = struct.Struct(">i")
_NO_HEADER: Final = RequestHeader(SASL_AUTHENTICATE.key, 0, 0, None, 0)
"""Marks a frame that is a message of an authentication, not a request."""


@dataclass(slots=True)
class _Request:
    """A request that was begun: its answer once there is one, and until then the operation that finds it.

    The operation refers to the request. The request drops the operation at its end, so that their memory is
    freed at once, and not when the interpreter looks for cycles.
    """

    header: RequestHeader
    api: Api
    frame_bytes: int
    answer: list[Part] | None = None
    running: Running[Any] | None = None


class Connection(asyncio.BufferedProtocol):
    """The server's side of one connection."""

    def __init__(self, parts: ListenerParts, arrival: Peer | None = None) -> None:
        """``arrival`` is the entry of the connection in the limits during its TLS handshake."""
        self._listener = parts
        self._arrival = arrival
        self._server = server = parts.server
        self._receiver = FrameReceiver(server.scratch, frame_bytes_max=server.settings.frame_bytes_max)
        self._requests_max = server.settings.pipelined_requests_max
        self.deadline_s = float("inf")
        self._waiting: deque[bytearray] = deque()
        self._begun: deque[_Request | GroupedRequest] = deque()
        self._patterns: list[ProducePattern] = []
        """The patterns of Produce requests of this connection."""
        self._queued_bytes = 0
        self._pace: FetchPace | None = None
        self._holding: asyncio.TimerHandle | None = None
        """Set while the first waiting request, a Fetch, is held."""
        self._is_going_on = False
        self._is_reading_paused = False
        self._is_closing = False

    # --- the transport's calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection; abort it if a limit is reached."""
        self._transport = transport
        self._output = Output(transport, self._server.readers, self._go_on)
        self._caller = self._listener.caller_of(transport)
        # A peer that vanished without closing is noticed within minutes, whatever the connection waits for.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.last_active_s = self._server.clock.monotonic_s()
        if self._caller.login is not None:
            self._await_login()
        self._server.memory.add(self)
        if not self._server.connections.admit(self, self._caller.host, self._arrival):
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory for the next bytes."""
        return self._receiver.buffer()

    def buffer_updated(self, count: int) -> None:
        """Handle received bytes."""
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
        """Close the connection: a peer that sends no more gets no more answers."""
        return False

    def pause_writing(self) -> None:
        """Stop sending: the peer does not take more."""
        self._output.pause()

    def resume_writing(self) -> None:
        """Send again: the peer has taken the bytes before."""
        self.last_active_s = self._server.clock.monotonic_s()
        self._output.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """Release everything of the connection, which is closed."""
        self._is_closing = True
        self._server.connections.remove(self, self._caller.host)
        self._server.memory.remove(self)
        self._waiting.clear()
        if self._holding is not None:
            self._holding.cancel()
        for request in self._begun:
            running, request.running = request.running, None
            # An operation that changes something is completed, although its answer cannot be sent.
            if request.api in _GIVEN_UP and running is not None:
                running.cancel()
            _close_records(request.answer or ())
        self._begun.clear()
        # Now, and not when the interpreter finds that the connection is not used any more.
        self._receiver.drop()
        self._output.close()

    def close(self) -> None:
        """Close the connection after the answers that are ready were sent."""
        if not self._is_closing:  # asyncio's TLS cannot abort at a second call
            self._is_closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._is_closing = True
        self._transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return not self._begun and not self._waiting and not self._output.is_congested

    @property
    def is_working(self) -> bool:
        """Whether a request is under way that does not wait for other clients."""
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
        """Begin the requests that may begin."""
        if self._is_going_on:
            # an answer that is ready at once calls this method again: the loop below continues by itself
            return
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
        # Only another Produce may begin after a Produce, so the first one stands for all.
        return is_produce and self._begun[0].api is PRODUCE

    def _is_held(self) -> bool:
        """Whether the first request is a Fetch to be held; then set a timer for it."""
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
            self._server.produce.write()  # earlier batches are written first
            self._learn_pattern(frame, header, request)
        call = self._call(header)
        self._begun.append(begun)
        self._run(begun, _as_operation(handler_of(header.key), request, call), partial(self._answer, begun))

    def _begin_grouped(self, frame: bytearray) -> bool:
        """Begin a request that fits a pattern and may write there; return false for any other request."""
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
        """Remember the pattern of a request, if requests like it can be grouped."""
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
        """Begin a message of an authentication, which has no header, and none in its answer."""
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
        """Send the answers that are ready and whose predecessors are answered."""
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
        """Set the limits of a connection that has not authenticated."""
        settings = self._server.settings
        self.deadline_s = self.last_active_s + settings.authentication_s
        self._requests_max = settings.authentication_requests_max
        self._receiver.frame_bytes_max = settings.authentication_frame_bytes_max
        self._receiver.frame_bytes_min = 0

    def _see_login(self, login: Login) -> None:
        """Lift the limits on success; close the connection on failure."""
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
        """Count the memory of the connection's requests; pause or resume reading."""
        if self._is_closing:
            return
        memory = self._server.memory
        memory.hold(self, self._queued_bytes + self._receiver.held_bytes)
        is_plain = not (self._is_reading_paused or memory.is_short)
        if not is_plain or len(self._waiting) + len(self._begun) >= self._requests_max:
            self.read_or_not()

    def read_or_not(self) -> None:
        """Pause or resume reading from the peer, by the limits."""
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
        """Close the connection: the peer does not speak the protocol, so its next bytes have no meaning."""
        _logger.info("closed a connection after an invalid request: %s peer=%s", error, self._caller.host)
        self.close()

    def fail(self, error: Exception) -> None:
        """Close the connection, because a request cannot be answered."""
        if isinstance(error, ConnectionRefusedByHandler):
            _logger.debug("closed a connection: %s", error)
        elif not isinstance(error, ClosedError):
            _logger.error("a request failed, and its connection is closed", exc_info=error)
        self.close()


def _as_operation(handler: Handler, request: Message, call: Call) -> Operation[Reply]:
    """Return a handler's result as an operation, so that the handler runs under the broker's lock."""
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
