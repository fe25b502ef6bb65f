"""Tell a platform that an answer is being made, for as long as a pipeline waits for a model.

A message that is answered at once never comes here. What waits longer than a blink is shown, again
and again, since platforms forget it within seconds. It is decoration: it gets no attempt, no journal
and no retry, and a platform that refuses it costs a counter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from gateway.errors import in_words, lone, stays_contained
from gateway.message.message import Message
from gateway.notices import Report, TypingFailed
from gateway.ports import Channel

# An answer that comes this soon needs no announcement; showing one costs a call to the platform.
BLINK_SECONDS = 0.4
# A platform that takes longer to show it would show it too late.
_MOST_SECONDS = 5.0

Working = Callable[[Message], Callable[[], None]]
"""Called when a pipeline begins to wait for `message`'s answer; what it returns is called when that is over."""


def nobody(_message: Message) -> Callable[[], None]:
    """Show nothing to anybody."""
    return _over


class Typist:
    """Shows it for all channels. `nursery` holds one task for each answer that is being waited for."""

    def __init__(self, nursery: trio.Nursery, channels: Mapping[str, Channel], report: Report) -> None:
        self._nursery, self._channels, self._report = nursery, channels, report

    def working(self, message: Message) -> Callable[[], None]:
        """Begin to show that `message` is being answered; the returned call ends it. Free where nobody can show it."""
        channel = self._channels.get(message.channel)
        if channel is None or not channel.traits.typing_seconds or not hasattr(channel, "typing"):
            return _over
        over = trio.Event()
        self._nursery.start_soon(self._show, channel, message, over)
        return over.set

    async def _show(self, channel: Channel, message: Message, over: trio.Event) -> None:
        with trio.move_on_after(BLINK_SECONDS):
            await over.wait()
        if over.is_set():
            return
        while not over.is_set():
            if not await self._tell(channel, message, working=True):
                return
            with trio.move_on_after(channel.traits.typing_seconds):
                await over.wait()
        await self._tell(channel, message, working=False)

    async def _tell(self, channel: Channel, message: Message, *, working: bool) -> bool:
        show = channel.typing  # type: ignore[attr-defined]  # ports.Typing; looked for before this task began
        try:
            with trio.fail_after(_MOST_SECONDS):
                await show(message.conversation, working=working)
        except trio.Cancelled:
            raise
        except BaseException as error:  # a channel's decoration must not reach the walk
            if not stays_contained(error):
                raise
            self._report(TypingFailed(channel.name, in_words(lone(error))))
            return False
        return True


def _over() -> None:
    """End nothing."""
