"""`oclaw.v1.Gateway`: Send, Subscribe, and Converse, which has a file of its own.

Knows gRPC channels by their tokens and the flow by `Results`; everything else is behind the channel's door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, assert_never

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from msgspec import Struct

from gateway.api.rpc.conversing import Talk
from gateway.api.rpc.forms import event_to, message_of, message_to
from gateway.api.rpc.refusals import FieldError, bad_field, bearer_in, busy, send_away, unauthenticated
from gateway.api.v1 import gateway_pb2 as pb
from gateway.api.v1.gateway_grpc import GatewayBase
from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_events import ChannelEvent, only
from gateway.channels.line import Line
from gateway.errors import SealError
from gateway.message.envelope import delivery_id
from gateway.message.lifecycle import InboundState
from gateway.message.message import Message
from gateway.ports import Acceptance, Accepted, Duplicate, Refused, Result, Results
from protocols.grpc.metadata import Metadata

Then = Callable[[Sequence[Acceptance]], None]
LONGEST_WAIT_SECONDS = 60.0
_WALKING = (InboundState.ACCEPTED, InboundState.HELD, InboundState.DELAYED)


class Caller(Struct, frozen=True):
    """Who calls: a program that speaks for a channel."""

    channel: GrpcChannel
    program: str


class GatewayService(GatewayBase):
    """`channels` are those of type grpc at the moment. The streams are ours, which the generated base cannot know."""

    def __init__(self, channels: Callable[[], Iterable[GrpcChannel]], results: Results) -> None:
        self._channels, self._results = channels, results

    async def Send(self, stream: Any) -> None:
        caller = self._caller(stream.metadata)
        request = await _request(stream)
        seconds, message = _read(caller, request)
        accepted = await _accepted(caller.channel, message, waited=seconds > 0)
        response = _response(accepted)
        if seconds > 0:
            with trio.move_on_after(seconds):
                result = await self._results.wait(response.envelope_id)
                if result is not None:
                    _tell(response, result)
        await stream.send_message(response)

    def send_quickly(self, request: pb.SendRequest, metadata: Metadata, outcome: Callable[[Any], None]) -> bool:
        """Do `Send` without a task, unless its sender wants to wait for replies; answered by the commit itself."""
        caller = self._caller(metadata)
        if request.HasField("wait"):
            return False
        _, message = _read(caller, request)

        def then(acceptances: Sequence[Acceptance]) -> None:
            try:
                outcome(_response(acceptances[0]))
            except GRPCError as refused:
                outcome(refused)

        _offer(caller.channel, message, then, waited=False)
        return True

    async def Subscribe(self, stream: Any) -> None:
        channel = self._caller(stream.metadata).channel
        request = await _request(stream)
        covered = channel.room.covers(request.after or None)
        if not covered and not request.skip_missing:
            sentence = "Events after this sequence are not kept any more; ask with skip_missing for what there is."
            raise GRPCError(Status.OUT_OF_RANGE, sentence)

        async def send(event: ChannelEvent) -> None:
            await stream.send_message(event_to(event))

        def at_once(event: ChannelEvent) -> bool:
            return bool(stream.send_message_now(event_to(event)))

        wants = only(request.conversation_ids)
        line = Line[ChannelEvent](send, frames=channel.settings.queued_events, acks=False, wants=wants, at_once=at_once)
        await stream.send_initial_metadata()
        channel.join(line, request.after or None)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_away, channel.over)
                await line.run()
                raise too_slow()
        finally:
            channel.room.leave(line)

    async def Converse(self, stream: Any) -> None:
        caller = self._caller(stream.metadata)
        read = partial(read_message, caller)
        await Talk(stream, caller.channel, self._results, read).through()

    def _caller(self, metadata: Metadata) -> Caller:
        token = bearer_in(metadata)
        for channel in self._channels():
            program = channel.holder(token) if token else ""
            if program:
                return Caller(channel, program)
        raise unauthenticated()


def read_message(caller: Caller, request: pb.SendRequest | pb.Outgoing) -> Message:
    """Read the message of a request. Raises `FieldError`."""
    if not request.HasField("message"):
        raise FieldError("message", "is missing")
    channel = caller.channel
    return message_of(request.message, channel=channel.name, platform=channel.platform, program=caller.program)


def too_slow() -> GRPCError:
    """Send a listener away that does not keep up."""
    return GRPCError(Status.UNAVAILABLE, "Reading too slowly; come back with the last sequence you have seen.")


async def _request(stream: Any) -> Any:
    request = await stream.recv_message()
    if request is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "The call ended without a request.")
    return request


def _read(caller: Caller, request: pb.SendRequest) -> tuple[float, Message]:
    """How long a sender waits, and what it says. Raises GRPCError."""
    try:
        return _wait_of(request), read_message(caller, request)
    except FieldError as error:
        raise bad_field(error) from error


def _response(accepted: Acceptance) -> pb.SendResponse:
    """Tell that a message is stored. Raises GRPCError for one that was refused."""
    match accepted:
        case Refused():
            raise busy(accepted)
        case Accepted(id):
            return pb.SendResponse(envelope_id=id)
        case Duplicate(id):
            return pb.SendResponse(envelope_id=id, duplicate=True)
        case never:
            assert_never(never)


def _offer(channel: GrpcChannel, message: Message, then: Then, *, waited: bool) -> None:
    """Hand a message over. Raises GRPCError for one that cannot be stored."""
    try:
        channel.offer(message, then, waited=waited)
    except SealError as error:
        raise bad_field(FieldError("message", f"cannot be stored: {error}")) from error


async def _accepted(channel: GrpcChannel, message: Message, *, waited: bool) -> Acceptance:
    """Hand a message over and return after the commit, which a caller that leaves does not stop."""
    answers: list[Acceptance] = []
    committed = trio.Event()

    def then(acceptances: Sequence[Acceptance]) -> None:
        answers.append(acceptances[0])
        committed.set()

    _offer(channel, message, then, waited=waited)
    if not answers:
        await committed.wait()
    return answers[0]


def _wait_of(request: pb.SendRequest) -> float:
    if not request.HasField("wait"):
        return 0.0
    seconds = float(request.wait.seconds) + request.wait.nanos / 1e9
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise FieldError("wait", f"is {seconds:g} s; at most {LONGEST_WAIT_SECONDS:g} s can be waited for")
    return seconds


def _tell(response: pb.SendResponse, result: Result) -> None:
    """Put in what became of a message, unless it is still under way."""
    if result.state is InboundState.REJECTED:
        response.rejected.CopyFrom(pb.Rejection(envelope_id=result.envelope_id, reason=result.tell))
    elif result.state is InboundState.DEAD and not result.replies:
        raise GRPCError(Status.INTERNAL, f"The message {result.envelope_id} could not be answered.")
    elif result.state not in _WALKING:
        replies = [
            pb.Reply(
                id=delivery_id(result.envelope_id, index), envelope_id=result.envelope_id, message=message_to(reply)
            )
            for index, reply in enumerate(result.replies)
            if reply.channel == result.channel
        ]
        response.replies.CopyFrom(pb.Replies(replies=replies))
