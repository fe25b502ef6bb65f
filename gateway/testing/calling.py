"""A fake of a platform that calls the gateway over HTTP and is called by it, for `connection_contract.py`.

    @asynccontextmanager
    async def my_platform():
        api = FakeApi()                     # what the channel's `kit.http` talks to: has `request`, as `FakeHttp`
        async with calling_platform(
            make=lambda kit: MyChannel("it", settings, kit),
            knock=lambda number, text: my_request(f"e{number}", text),
            reply=lambda text: Message(channel="it", content=text, conversation=Conversation("c1")),
            heard=lambda: api.texts,
            http=api,
        ) as platform:
            yield platform

It makes one call at a time and repeats it until the answer is a good one, as platforms do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from itertools import count
from typing import Any, TypeVar

import trio
from msgspec.structs import replace

from gateway.message.message import Message
from gateway.ports import Acceptance, Kit
from gateway.testing.channels import MOMENT, FakeInlet, answered
from gateway.testing.connection_contract import Break
from protocols.errors import NothingSent, UnknownAfterSend
from protocols.http1.messages import Request, Response

T = TypeVar("T")
# The impatient ones (Slack) give up after three seconds and come again at once, others after a minute.
_AGAIN_SECONDS = 1.0
_SILENT_SECONDS = 30.0


class Outside:
    """The platform's API behind a line that breaks as it is told to, and heals by itself."""

    def __init__(self, http: Any, is_message: Callable[[str], bool], broken_seconds: float) -> None:
        self._http, self._is_message, self._broken_seconds = http, is_message, broken_seconds
        self._how: Break | None = None
        self._heals_at = 0.0
        self.down = self.loses_one = False

    def breaks(self, how: Break) -> None:
        """Treat every request so for a while."""
        self._how, self._heals_at = how, trio.current_time() + self._broken_seconds

    @property
    def how(self) -> Break | None:
        """In what way the line is broken now."""
        return self._how if trio.current_time() < self._heals_at else None

    async def request(self, method: str, url: str, **given: Any) -> Any:
        """Make a request, if the line holds."""
        await trio.lowlevel.checkpoint()
        how = self.how
        if self.loses_one and self._is_message(url):
            self.loses_one, how = False, "reset"
        if self.down or how == "closed":
            raise NothingSent("The platform is away.")
        if how == "sent away":
            return answered(503)
        answer = await self._http.request(method, url, **given)
        if how == "reset":
            raise UnknownAfterSend("The connection broke.")
        if how == "silent":
            await trio.sleep_forever()
        return answer

    def send_now(self, method: str, url: str, **given: object) -> bool:
        """Decline: every request takes the ordinary way."""
        return False

    async def listen(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing is owed."""
        task_status.started()
        await trio.sleep_forever()

    def close(self) -> None:
        """Nothing is open."""


class CallingPlatform:
    """Keeps `connection_contract.Platform`; see `calling_platform`."""

    keeps = True

    def __init__(
        self,
        *,
        make: Callable[[Kit], Any],
        knock: Callable[[int, str], Request],
        reply: Callable[[str], Message],
        heard: Callable[[], list[str]],
        http: Any,
        is_message: Callable[[str], bool] = lambda url: True,
        broken_seconds: float = 5.0,
    ) -> None:
        """`is_message` tells by its URL whether a call of the channel's sends one; a break lasts `broken_seconds`."""
        self._make, self._knock = make, knock
        self.reply, self.heard = reply, heard
        self.outside = Outside(http, is_message, broken_seconds)
        self._calls: deque[Request] = deque()
        self._numbers = count(1)
        self._door: tuple[Any, FakeInlet] | None = None
        self._news = trio.Event()
        self._call = trio.CancelScope()

    def channel(self, kit: Kit, inlet: FakeInlet) -> Any:
        """Make a channel, which is called while it runs."""
        return _Served(self._make(replace(kit, http=self.outside)), inlet, self)

    async def says(self, text: str) -> None:
        """Put a call into the queue."""
        await trio.lowlevel.checkpoint()
        self._calls.append(self._knock(next(self._numbers), text))
        self._news.set()

    async def breaks(self, how: Break) -> None:
        """Lose the answer to the call under way, if there is one, and break the channel's next call."""
        await trio.lowlevel.checkpoint()
        self.outside.breaks(how)
        self._call.cancel()

    def goes_down(self) -> None:
        """Call nobody and answer nobody."""
        self.outside.down = True
        self._call.cancel()

    def comes_back(self) -> None:
        """Call and answer again."""
        self.outside.down = False
        self._news.set()

    def loses_the_next_answer(self) -> None:
        """Do what the channel asks next, and do not say so."""
        self.outside.loses_one = True

    def opens(self, channel: Any, inlet: FakeInlet) -> None:
        """Take calls to this channel."""
        self._door = (channel, inlet)
        self._news.set()

    def shuts(self) -> None:
        """Find nobody there, and get no answer to what is under way."""
        self._door = None
        self._call.cancel()

    async def run(self) -> None:
        """Make the calls."""
        while True:
            self._news = trio.Event()
            if not self._calls or self._door is None or self.outside.down:
                await self._news.wait()
                continue
            if 200 <= await self._answered(self._calls[0], *self._door) < 300:
                self._calls.popleft()
            else:
                await trio.sleep(_AGAIN_SECONDS)

    async def _answered(self, request: Request, channel: Any, inlet: FakeInlet) -> int:
        """Return the answer's status, 0 when there was none."""
        with trio.CancelScope() as self._call:
            return await _status(request, channel, inlet)
        if self.outside.how == "silent":
            await trio.sleep(_SILENT_SECONDS)
        return 0


@asynccontextmanager
async def calling_platform(kind: type[T] | None = None, **parts: Any) -> AsyncIterator[T]:
    """Run a platform, made of these parts, while the block runs; `kind` adds what `DialingPlatform` asks for."""
    async with trio.open_nursery() as nursery:
        platform: Any = (kind or CallingPlatform)(**parts)
        nursery.start_soon(platform.run)  # noqa: ASYNC113 - calls that are queued before it runs are made then
        yield platform
        nursery.cancel_scope.cancel()


class _Served:
    """A channel that is called from the moment on when it runs, as by the gateway's own HTTP server."""

    def __init__(self, channel: Any, inlet: FakeInlet, platform: CallingPlatform) -> None:
        self._channel, self._inlet, self._platform = channel, inlet, platform

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    async def run(  # noqa: ASYNC128 - the channel calls started()
        self, inlet: FakeInlet, *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        self._platform.opens(self._channel, inlet)
        try:
            await self._channel.run(inlet, task_status=task_status)
        finally:
            self._platform.shuts()


async def _status(request: Request, channel: Any, inlet: FakeInlet) -> int:
    came = channel.receive(request, MOMENT)
    came = await came if isawaitable(came) else came
    if isinstance(came, Response):
        await trio.lowlevel.checkpoint()
        return came.status
    statuses: list[int] = []
    committed = trio.Event()

    def then(acceptances: Any) -> None:
        statuses.append(_answer(came, acceptances))
        committed.set()

    inlet.offer(came.messages, then, came.cursor)
    await committed.wait()
    return statuses[0]


def _answer(came: Any, acceptances: list[Acceptance]) -> int:
    """Answer as the gateway does: what was refused is an answer of the gateway's own."""
    from gateway.ports import Refused

    if any(isinstance(each, Refused) for each in acceptances):
        return 503
    status: int = came.answer(acceptances).status
    return status
