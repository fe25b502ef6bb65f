"""The gRPC channel: programs that hand over messages and listen to the channel's replies.

What it has in common with every channel; the words of `oclaw.v1.Gateway` are spoken by
gateway/api/rpc. The whole channel is one room: a reply counts as delivered when one listener took
it, one that nobody listens for waits, and one that its sender waits for needs no listener.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import trio
from msgspec.structs import replace

from gateway.channels.grpc_events import ChannelEvent, PieceSaid, ReplySaid, size_of
from gateway.channels.grpc_settings import Settings
from gateway.channels.rooms import Listener, Room
from gateway.channels.shared.gulps import say_in_gulps
from gateway.channels.trust import Tokens
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered, Receipt, Unknown
from gateway.ports import Acceptance, Inlet, Kit, Refused, Traits

PLATFORM = "grpc"
# Our own words in a message's metadata; a client's under this key are dropped.
OURS = "oclaw"
_WAITED: dict[str, Any] = {OURS: {"waited": True}}
# A listener's return wakes what waits for it; this pause only bounds how long a lost wake-up could cost.
_AWAY_SECONDS = 3600.0
# A connection takes a reply in milliseconds and a client confirms it at once, unless it hangs.
_CONFIRM_SECONDS = 10.0
_KEPT_CHARACTERS = 8 * 1024 * 1024
# Of four bytes at most; clients take 4 MiB.
_PIECE_CHARACTERS = 512 * 1024


class GrpcChannel:
    """One configured gRPC channel."""

    traits = Traits(idempotent=True, can_stream=True, sends_at_once=256)

    def __init__(self, name: str, settings: Settings, kit: Kit) -> None:
        self.name, self.platform, self.settings = name, PLATFORM, settings
        self._kit = kit
        self._tokens = Tokens({program: token.reveal() for program, token in settings.tokens.items()})
        self.room = Room[ChannelEvent](kit.now, size_of, replies=settings.kept_replies, characters=_KEPT_CHARACTERS)
        self._inlet: Inlet | None = None
        #: Set when the channel ends: its clients are to come back, as another one may be there then.
        self.over = trio.Event()

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Let clients in until cancelled; their calls are tasks of the listener, which end with the channel."""
        self._inlet = inlet
        if self.over.is_set():
            self.over = trio.Event()
        task_status.started()
        inlet.connected("ready")
        try:
            await trio.sleep_forever()
        finally:
            self._inlet = None
            self.over.set()

    # -- clients ----------------------------------------------------------------------------------

    def holder(self, token: bytes) -> str:
        """Return the program that holds a token, '' when none does."""
        return self._tokens.holder(token)

    def offer(self, message: Message, then: Callable[[Sequence[Acceptance]], None], *, waited: bool = False) -> None:
        """Hand over a message; `waited` says that its sender gets the replies itself. Raises `SealError`."""
        if self._inlet is None:
            then((Refused("not ready"),))
            return
        if waited or OURS in message.metadata:
            theirs = {key: value for key, value in message.metadata.items() if key != OURS}
            message = replace(message, metadata={**theirs, **(_WAITED if waited else {})})
        self._inlet.offer((message,), then)

    def join(self, line: Listener[ChannelEvent], after: int | None) -> None:
        """Let a client listen: to what it has missed after that sequence, to what waits, and to what comes."""
        self.room.join(line, after)
        if self._inlet is not None:
            self._inlet.wake(only=lambda waiting: line.wants(self._reply(waiting, waiting.message)))

    # -- replies ----------------------------------------------------------------------------------

    def circuit_of(self, delivery: Delivery) -> str:
        """Nobody who listens to one conversation says nothing about the others."""
        return delivery.message.conversation.id

    def address_of(self, message: Message) -> dict[str, Any]:
        """A reply knows whether somebody waited for it."""
        return _WAITED if message.metadata.get(OURS) == _WAITED[OURS] else {}

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Say a reply to whoever listens, and return when one has it."""
        while True:
            receipt = await self._confirm(delivery, delivery.message)
            # While the last listener leaves another one may come, and nothing would wake what waits for it from now on.
            if not isinstance(receipt, Deferred) or not self.room.heard(self._reply(delivery, delivery.message)):
                return receipt

    def deliver_now(self, delivery: Delivery, deadline: float, then: Callable[[Receipt], None]) -> bool:
        """Say a reply at once where nothing waits before it; `deliver` is for everything else.

        Mostly `then` has its receipt before this returns; else when there is room, or the client is sent away.
        """
        event = self._reply(delivery, delivery.message)
        if not self.room.at_hand(event):
            return False
        sequence = self.room.number(delivery.id)
        event = replace(event, sequence=sequence)

        def told(seq: int) -> None:
            then(self._receipt(delivery, seq))

        self.room.say(delivery.id, sequence, event, event, told)
        return True

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Say a reply while it is written, then the whole of it. A cut one is said once more as incomplete."""
        event = self._reply(delivery, delivery.message)
        if not self.room.heard(event):
            return _away()
        text: list[str] = []

        def say(piece: str) -> None:
            for start in range(0, len(piece), _PIECE_CHARACTERS):
                part = piece[start : start + _PIECE_CHARACTERS]
                self.room.tell(self._piece(delivery, len(text), part))
                text.append(part)

        try:
            await say_in_gulps(pieces, say)
        except BaseException:
            self.room.tell(replace(event, message=replace(event.message, content="".join(text)), incomplete=True))
            raise
        return await self._confirm(delivery, replace(delivery.message, content="".join(text)))

    async def _confirm(self, delivery: Delivery, message: Message) -> Receipt:
        event = self._reply(delivery, message)
        if not self.room.heard(event):
            return self._receipt(delivery, 0)
        sequence = self.room.number(delivery.id)
        event = replace(event, sequence=sequence)
        with trio.move_on_after(_CONFIRM_SECONDS):
            taken = await self.room.confirm(delivery.id, sequence, event, event)
            return self._receipt(delivery, sequence if taken else 0)
        return Unknown("A client listens and has not taken the reply.")

    def _receipt(self, delivery: Delivery, sequence: int) -> Receipt:
        # The reply bears the delivery's id; a sequence is no name that anybody else gave it.
        return Delivered() if sequence or OURS in delivery.message.metadata else _away()

    def _reply(self, delivery: Delivery, message: Message) -> ReplySaid:
        return ReplySaid(id=delivery.id, envelope_id=delivery.envelope_id, message=message, at=self._kit.now())

    def _piece(self, delivery: Delivery, index: int, text: str) -> PieceSaid:
        conversation: Conversation = delivery.message.conversation
        return PieceSaid(
            id=delivery.id,
            envelope_id=delivery.envelope_id,
            conversation=conversation.id,
            at=self._kit.now(),
            index=index,
            text=text,
        )


def build(name: str, settings: Settings, kit: Kit) -> GrpcChannel:
    """Make the channel."""
    return GrpcChannel(name, settings, kit)


def _away() -> Deferred:
    return Deferred("Nobody listens to this conversation.", _AWAY_SECONDS, offline=True)
