"""Show a reply while the model writes it, where the channel can.

Nothing is handed over before the stream ends: then the whole text is journaled in the commit that
ends the message, as a delivery already made. A crash on the way finds the message unfinished and
writes the reply again under the same delivery id; a model that breaks off ends the stream honestly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from io import StringIO
from typing import Any

import trio
from msgspec.structs import replace

from gateway.errors import ModelError, stays_contained
from gateway.flow.aside import Turn as WalkTurn
from gateway.message.envelope import Delivery, Envelope, delivery_id
from gateway.message.message import Message, storable
from gateway.message.receipt import Delivered, Receipt
from gateway.pipelines.spec import StepSpec
from gateway.pipelines.steps import Slot, model_error
from gateway.ports import ModelCall, Provider

# A provider has this long to hang up.
CLOSING_SECONDS = 1.0
StreamTo = Callable[[Delivery, AsyncIterator[str]], Awaitable[Receipt]]


class _Heard:
    """What the model has said so far, and how it ended."""

    def __init__(self, begin: Callable[[], AsyncIterator[str]]) -> None:
        self._begin = begin
        self._said = StringIO()  # a str that grows by a piece is copied with each of them
        self.ended = False
        self.broke: ModelError | None = None

    @property
    def text(self) -> str:
        return self._said.getvalue()

    async def pieces(self) -> AsyncGenerator[str, None]:
        try:
            source = self._begin()
            try:
                async for piece in source:
                    self._said.write(piece)
                    yield str.__str__(piece)  # no channel can write one of a class of its own
            finally:
                # Left to the garbage collector it would keep its connection for a while.
                with trio.move_on_after(CLOSING_SECONDS, shield=True):
                    await _end(source)
        except trio.Cancelled:
            raise
        except BaseException as error:  # a third party's provider; contained to this reply
            if not stays_contained(error):
                raise
            self.broke = model_error(error)
            raise self.broke from error
        self.ended = True


async def _end(source: AsyncIterator[str]) -> None:
    """End a model's stream with its reader."""
    if isinstance(source, AsyncGenerator):
        with suppress(Exception):  # a third party's provider; what was said counts
            await source.aclose()


class Streamer:
    """Streams replies; `streaming` says where to, or that this one may not be streamed."""

    def __init__(
        self,
        *,
        provider: Callable[[str], Provider],
        streaming: Callable[[Envelope], StreamTo | None],
        address_of: Callable[[Message], dict[str, Any]],
        now: Callable[[], float],
        expiry_seconds: float,
    ) -> None:
        self._provider, self.streaming, self._address_of = provider, streaming, address_of
        self._now, self._expiry_seconds = now, expiry_seconds

    async def __call__(
        self, step: StepSpec, envelope: Envelope, call: ModelCall, turn: WalkTurn, slot: Slot
    ) -> tuple[str, Delivery | None] | None:
        """Return the whole text and the delivery it made; a None delivery must be sent again by the outbox.

        None when the channel gave up before the model ended, or may not show it any more.
        Raises `ModelError` when the model broke off, or was not through at the step's deadline.
        """
        provider = self._provider(call.model)
        await turn.aside()
        await slot()
        # Only now is all that was before this walk committed, and on its way to the same place.
        to = self.streaming(envelope)
        if to is None:
            return None
        delivery = self._delivery(envelope)
        heard = _Heard(lambda: provider.stream(call))
        receipt: Receipt | None = None
        with trio.move_on_after(step.deadline_seconds) as scope:
            async with aclosing(heard.pieces()) as pieces:
                try:
                    receipt = await to(delivery, pieces)
                except trio.Cancelled:
                    raise
                except BaseException as error:
                    if not stays_contained(error):
                        raise
                    # The model broke off, or it is the channel's bug and the outbox sends what was said.
                    receipt = None
        if scope.cancelled_caught and heard.ended:
            return heard.text, None  # the model was through; it was the channel that took its time to show it
        if scope.cancelled_caught:
            why = f"not through within {step.deadline_seconds:g} s, after {len(heard.text)} characters"
            raise ModelError(why, passing=False)
        if heard.broke is not None:
            why = f"broke off after {len(heard.text)} characters: {heard.broke.why}"
            raise ModelError(why, passing=False)
        text = storable(heard.text)
        if isinstance(receipt, Delivered):
            return text, replace(delivery, message=replace(delivery.message, content=text))
        return (text, None) if heard.ended else None

    def _delivery(self, envelope: Envelope) -> Delivery:
        came_in, now = envelope.message, self._now()
        reply = Message(
            channel=came_in.channel,
            platform=came_in.platform,
            conversation=came_in.conversation,
            reply_to=came_in.id,
            metadata=self._address_of(came_in),
        )
        return Delivery(
            id=delivery_id(envelope.id, envelope.replies_before),
            envelope_id=envelope.id,
            message=reply,
            created_at=now,
            expires_at=now + self._expiry_seconds,
            # An earlier walk may have shown part of it.
            repeated=envelope.attempt > 1 or envelope.returned,
        )
