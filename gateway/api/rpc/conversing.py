"""One `Converse` call: messages in, their acknowledgements and the channel's events out, over one stream.

Reading and writing are two tasks; between them stands the line, a bounded queue, so that a client
that does not read is sent away instead of being waited for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, assert_never

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gateway.api.rpc.forms import event_to
from gateway.api.rpc.refusals import FieldError, duration, send_away, status_of
from gateway.api.v1 import gateway_pb2 as pb
from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_events import ChannelEvent, PieceSaid, ReplySaid, only
from gateway.channels.line import Line
from gateway.errors import SealError
from gateway.message.message import Message
from gateway.ports import Acceptance, Accepted, Duplicate, Refused, Results

Word = ChannelEvent | pb.ConverseResponse
Read = Callable[[Any], Message]
# A client that has this many messages uncommitted is not read from: backpressure by flow control.
_MOST_UNCOMMITTED = 64
# When the client has said its last word, the replies to this many messages are waited for.
_MOST_OWED = 1024


class Talk:
    """`stream` is the call (`Any`: the generated base names grpclib's); `read` makes a message of what was sent."""

    def __init__(self, stream: Any, channel: GrpcChannel, results: Results, read: Read) -> None:
        self._stream, self._channel, self._results, self._read = stream, channel, results, read
        self._uncommitted = trio.Semaphore(_MOST_UNCOMMITTED)
        self._owed = Owed(channel.name)
        self._line: Line[Any]

    async def through(self) -> None:
        """Serve the call from its hello to its end. Raises GRPCError."""
        hello = await self._hello()
        channel, after = self._channel, hello.after or None
        picks = only(hello.conversation_ids)
        line = self._line = Line[Any](
            self._send,
            frames=channel.settings.queued_events,
            acks=hello.confirms,
            wants=picks,
            at_once=self._send_now,
        )
        self._owed.picks = picks
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_away, channel.over)
            nursery.start_soon(self._write, nursery.cancel_scope)
            room = channel.room
            line.say(pb.ConverseResponse(ready=pb.Ready(sequence=room.seq, recovered=room.covers(after))))
            channel.join(line, after)
            try:
                await self._listen()
                await self._all_answered()
                await self._owed.paid(self._results)
            finally:
                room.leave(line)
            line.finish()

    async def _hello(self) -> pb.Hello:
        request = None
        with trio.move_on_after(self._channel.settings.hello_seconds):
            request = await self._stream.recv_message()
        if request is None or not request.HasField("hello"):
            raise GRPCError(Status.INVALID_ARGUMENT, "The first request must be hello, and come at once.")
        hello: pb.Hello = request.hello
        return hello

    # -- out --------------------------------------------------------------------------------------

    async def _write(self, call: trio.CancelScope) -> None:
        """Say what is to be said; when that is all, the call is over."""
        if not await self._line.run():
            raise GRPCError(Status.UNAVAILABLE, "Reading too slowly; come back with the last sequence you have seen.")
        call.cancel()

    async def _send(self, word: Word) -> None:
        await self._stream.send_message(_response(word))
        self._owed.said(word)

    def _send_now(self, word: Word) -> bool:
        if not self._stream.send_message_now(_response(word)):
            return False
        self._owed.said(word)
        return True

    # -- in ---------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for request in self._stream:
            match request.WhichOneof("kind"):
                case "message":
                    await self._take(request.message)
                case "seen":
                    self._channel.room.taken(request.seen.sequence)
                case "hello":
                    raise GRPCError(Status.INVALID_ARGUMENT, "hello is the first request, and only that.")
                case _:
                    raise GRPCError(Status.INVALID_ARGUMENT, "A request must be hello, message or seen.")

    async def _all_answered(self) -> None:
        for _ in range(_MOST_UNCOMMITTED):
            await self._uncommitted.acquire()

    async def _take(self, outgoing: pb.Outgoing) -> None:
        ref = outgoing.ref
        await self._uncommitted.acquire()
        try:
            if not ref:
                raise FieldError("ref", "is empty; the acknowledgement refers to it")
            self._channel.offer(self._read(outgoing), partial(self._answer, ref))
        except FieldError as error:
            self._refuse(ref, f"{error}.")
        except SealError as error:
            self._refuse(ref, f"message cannot be stored: {error}")

    def _refuse(self, ref: str, why: str) -> None:
        self._uncommitted.release()
        refused = pb.Refused(ref=ref, code=Status.INVALID_ARGUMENT.value, reason=why)
        self._line.say(pb.ConverseResponse(refused=refused))

    def _answer(self, ref: str, acceptances: Sequence[Acceptance]) -> None:
        self._uncommitted.release()
        match acceptances[0]:
            case Accepted(id):
                self._owed.begin(id)
                answer = pb.ConverseResponse(accepted=pb.Accepted(ref=ref, envelope_id=id))
            case Duplicate(id):
                answer = pb.ConverseResponse(accepted=pb.Accepted(ref=ref, envelope_id=id, duplicate=True))
            case Refused(_, retry_after) as busy:
                status, why = status_of(busy)
                refused = pb.Refused(ref=ref, code=status.value, reason=why, retry_after=duration(retry_after))
                answer = pb.ConverseResponse(refused=refused)
            case never:
                assert_never(never)
        self._line.say(answer)


def _response(word: Word) -> pb.ConverseResponse:
    return pb.ConverseResponse(event=event_to(word)) if isinstance(word, ReplySaid | PieceSaid) else word


class Owed:
    """Which messages of a client still wait for replies, as far as that has to be known at its end."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._replies: OrderedDict[str, set[str]] = OrderedDict()
        self._news = trio.Event()
        self.picks: Callable[[ChannelEvent], bool] = lambda event: True

    def begin(self, envelope_id: str) -> None:
        """A message was accepted."""
        self._replies.setdefault(envelope_id, set())
        if len(self._replies) > _MOST_OWED:
            self._replies.popitem(last=False)

    def said(self, event: Word) -> None:
        """An event left for the client, or another word."""
        if isinstance(event, ReplySaid) and not event.incomplete:
            if event.envelope_id in self._replies:
                self._replies[event.envelope_id].add(event.id)
            self._news.set()
            self._news = trio.Event()

    async def paid(self, results: Results) -> None:
        """Return when every message has ended its walk and its replies have left. The caller sets the deadline."""
        for envelope_id in list(self._replies):
            result = await results.wait(envelope_id)
            due = 0 if result is None else sum(1 for reply in result.replies if self._is_ours(reply))
            while len(self._replies.get(envelope_id, ())) < due:
                await self._news.wait()

    def _is_ours(self, reply: Message) -> bool:
        said = ReplySaid(id="", envelope_id="", message=reply, at=0.0)
        return reply.channel == self._channel and self.picks(said)
