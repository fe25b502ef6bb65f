"""The generic WebSocket channel: clients that hold a connection, say something and hear the replies.

A message is acknowledged after the commit; a reply counts as delivered when a client's socket took
it, or for clients that ask for it (`acks`) when the client said so. A reply nobody is there for is
deferred and tried again the moment its client is back. Ids of replies are stable, so what comes
twice can be told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from msgspec import Struct

from gateway.channels.frames import (
    BadFrame,
    Frame,
    Hello,
    NotAFrame,
    Say,
    Word,
    read_frame,
    read_hello,
    reply_data,
    write_frame,
)
from gateway.channels.line import Line
from gateway.channels.listening import Listening, Then
from gateway.channels.rooms import Room, Rooms
from gateway.channels.shared.gulps import say_in_gulps
from gateway.channels.trust import Neighbours, Origins, Tokens, bearer_of
from gateway.channels.websocket_settings import LOCAL, Settings
from gateway.errors import SealError
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message, Sender, nfc
from gateway.message.receipt import Deferred, Delivered, Receipt, Unknown
from gateway.notices import EnvelopeRefused
from gateway.ports import Inlet, Kit, Refused, Traits
from protocols.errors import ClientGone, HandshakeRefused, WebSocketClosed
from protocols.http1.messages import Request, Response
from protocols.hub.exchange import Exchange
from protocols.problem import problem
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.keepalive import keep_alive
from protocols.websocket.limits import WebSocketLimits
from protocols.websocket.machine import GOING_AWAY, TRY_AGAIN_LATER
from protocols.websocket.server import accept_websocket

PLATFORM = "websocket"
# The client's return wakes its deliveries; this pause only bounds how long a lost wake-up could cost.
_AWAY_SECONDS = 3600.0
# A socket takes a reply in milliseconds and a client acks it at once, unless it hangs; a stream holds a model's slot.
_CONFIRM_SECONDS = 10.0
_POLICY = 1008


class Guest(Struct, frozen=True):
    """Who is connected: the client's configured name, the conversation, how it wants to be called."""

    client: str
    conversation: Conversation
    name: str


class WebSocketChannel:
    """One configured WebSocket channel, under any platform's name."""

    traits = Traits(idempotent=True, can_stream=True, sends_at_once=256)

    def __init__(self, name: str, settings: Settings, kit: Kit, platform: str = PLATFORM) -> None:
        self.name, self.platform = name, platform
        self._settings, self._kit = settings, kit
        self._tokens = Tokens({client: token.reveal() for client, token in settings.tokens.items()})
        self._neighbours = Neighbours(settings.hosts, settings.origins)
        self._origins = Origins(settings.origins)
        self.rooms = Rooms(kit.now)
        self._inlet: Inlet | None = None
        self._over = trio.Event()

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Let clients in until cancelled; then they are sent away, as another channel may be there to come back to."""
        self._inlet, self._over = inlet, trio.Event()
        task_status.started()
        inlet.connected("ready")
        try:
            await trio.sleep_forever()
        finally:
            self._inlet = None
            self._over.set()

    def circuit_of(self, delivery: Delivery) -> str:
        """A client that is away says nothing about the others."""
        return delivery.message.conversation.id

    def address_of(self, message: Message) -> dict[str, Any]:
        """The conversation says it all."""
        return {}

    # -- replies ----------------------------------------------------------------------------------

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Say a reply to whoever listens, and return when one client has it."""
        # While the last client leaves another one may come, and nothing would wake what waits for one from now on.
        while (room := self.rooms.find(delivery.message.conversation.id)) is not None:
            receipt = await self._confirm(room, delivery, delivery.message, "reply")
            if not isinstance(receipt, Deferred):
                return receipt
        return _away()

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Say a reply while it is written; its end repeats the whole text. A cut one ends as `incomplete`."""
        room = self.rooms.find(delivery.message.conversation.id)
        if room is None:
            return _away()
        room.tell(self._frame("reply.start", id=delivery.id, data=reply_data(delivery.message)))
        text: list[str] = []

        def say(piece: str) -> None:
            text.append(piece)
            room.tell(self._frame("reply.delta", id=delivery.id, data={"text": piece}))

        try:
            await say_in_gulps(pieces, say)
        except BaseException:
            cut = {**reply_data(delivery.message), "text": "".join(text), "incomplete": True}
            room.tell(self._frame("reply.end", id=delivery.id, data=cut))
            raise
        whole = {**reply_data(delivery.message), "text": "".join(text)}
        return await self._confirm(room, delivery, whole, "reply.end")

    async def _confirm(
        self, room: Room[str], delivery: Delivery, reply: Message | dict[str, Any], word: Word
    ) -> Receipt:
        seq = room.number(delivery.id)
        data = reply if isinstance(reply, dict) else reply_data(reply)
        said = self._frame(word, id=delivery.id, seq=seq, data=data)
        kept = self._frame("reply", id=delivery.id, seq=seq, data=data)
        with trio.move_on_after(_CONFIRM_SECONDS):
            return Delivered(str(seq)) if await room.confirm(delivery.id, seq, said, kept) else _away()
        return Unknown("A client is connected and has not taken the reply.")

    # -- clients ----------------------------------------------------------------------------------

    async def converse(self, exchange: Exchange) -> None:
        """Serve one client from its upgrade request to the end."""
        known = self._admit(exchange.request)
        if isinstance(known, Response):
            exchange.answer(known)
            return
        limits = WebSocketLimits(message_bytes=self._settings.frame_bytes)
        try:
            async with accept_websocket(exchange, limits=limits) as connection:
                await self._welcome(connection, known)
        except (HandshakeRefused, ClientGone, WebSocketClosed):
            return

    def _admit(self, request: Request) -> str | Response:
        """Return the client's name, '' when its hello must still say it, or the refusal."""
        if self._inlet is None:
            return problem(503, "The channel is not ready.", headers=(("Retry-After", "1"),))
        if not self._origins.admit(request):
            return self._refuse("origin", 403, "The page that asks is not on this channel's list of origins.")
        token = bearer_of(request)
        if token:
            client = self._tokens.holder(token)
            return client or self._refuse("bad_token", 401, "The bearer token is not known.")
        if self._settings.local and not self._neighbours.objection(request):
            return LOCAL
        if self._tokens:
            return ""
        return self._refuse("not_local", 403, self._neighbours.objection(request))

    async def _welcome(self, connection: WebSocketConnection, known: str) -> None:
        hello: Hello | None = None
        try:
            with trio.move_on_after(self._settings.hello_seconds):
                hello = read_hello(read_frame(await connection.receive()))
        except (BadFrame, NotAFrame) as error:
            await connection.close(error.code, str(error)[:100])
            return
        client = known if hello is None or not hello.token else self._tokens.holder(hello.token.encode())
        if hello is None or not client:
            self._report("bad_token", "no hello in time" if hello is None else "no valid token")
            await connection.close(_POLICY, "a hello with a valid token is needed within a few seconds")
            return
        conversation = Conversation(f"{client}/{hello.conversation}")
        await self._talk(connection, hello, Guest(client, conversation, hello.name))

    async def _talk(self, connection: WebSocketConnection, hello: Hello, guest: Guest) -> None:
        room = self.rooms.enter(guest.conversation.id)
        line = Line[str](connection.send, frames=self._settings.queued_frames, acks=hello.acks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write, line, connection)
            nursery.start_soon(_send_away, self._over, connection)
            nursery.start_soon(partial(keep_alive, connection, every_seconds=self._settings.ping_seconds))
            data = {"conversation": hello.conversation, "recovered": room.covers(hello.last)}
            line.say(self._frame("welcome", seq=room.seq, data=data))
            room.join(line, hello.last)
            if self._inlet is not None:
                self._inlet.wake(guest.conversation)
            try:
                await Listening(connection, line, room, partial(self._take, guest), self._frame).read()
            except WebSocketClosed:
                pass
            finally:
                room.leave(line)
            nursery.cancel_scope.cancel()

    def _take(self, guest: Guest, frame: Frame, say: Say, then: Then) -> None:
        """Offer what a client said; `then` gets its acceptance. Raises BadFrame."""
        message = Message(
            channel=self.name,
            platform=self.platform,
            id=frame.id,
            content=nfc(say.text),
            sender=Sender(guest.client, guest.name or guest.client),
            dedupe_key=f"{guest.conversation.id}/{frame.id}",
            conversation=guest.conversation,
            attachments=say.attachments,
            reply_to=say.reply_to,
            sent_at=frame.sent_at,
            metadata=say.metadata,
        )
        if self._inlet is None:
            then((Refused("not ready"),))
            return
        try:
            self._inlet.offer((message,), then)
        except SealError as error:
            raise BadFrame(f"data: {error}", frame.id) from error

    def _frame(self, type: Word, *, id: str = "", seq: int = 0, data: dict[str, Any] | None = None) -> str:
        return write_frame(type, ts=self._kit.now(), id=id, seq=seq, data=data)

    def _refuse(self, reason: str, status: int, detail: str) -> Response:
        self._report(reason, detail)
        return problem(status, detail)

    def _report(self, reason: str, detail: str) -> None:
        self._kit.report(EnvelopeRefused(self.name, reason, detail))


def build(name: str, settings: Settings, kit: Kit) -> WebSocketChannel:
    """Make the channel."""
    return WebSocketChannel(name, settings, kit)


async def _write(line: Line[str], connection: WebSocketConnection) -> None:
    try:
        if not await line.run():
            await connection.close(TRY_AGAIN_LATER, "reading too slowly")
    except WebSocketClosed:
        return  # the reading task hears of it, too, and ends the conversation


async def _send_away(over: trio.Event, connection: WebSocketConnection) -> None:
    await over.wait()
    with suppress(WebSocketClosed):
        await connection.close(GOING_AWAY, "the channel stops; come back")


def _away() -> Deferred:
    return Deferred("No client of this conversation is connected.", _AWAY_SECONDS, offline=True)
