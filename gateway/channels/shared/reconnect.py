"""Hold a connection to a platform for ever: the engine of every channel that dials out.

A channel writes one session: connect, say who we are, call `link.up()`, read until the end. The
engine runs it again and again with capped, jittered pauses, tells `oclaw status` the truth, and
wakes the replies that waited when the platform is back. What a session raises decides:

    returns, ConnectionLost, OSError, a broken stream, NothingSent → connect again
    SettingError (bad credentials) → the channel has failed; a person must act
    anything else → a bug: the supervisor restarts the channel and says so

Catching up is the session's: read `inlet.cursor(name)` before `link.up()`, and give each batch to
`inlet.accept(messages, Cursor(name, value))`, so that messages and cursor commit together.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from gateway.channels.shared.backoff import Backoff, pause
from gateway.channels.shared.errors import ConnectionLost
from gateway.errors import SettingError, SettingErrors
from gateway.message.receipt import Deferred
from gateway.ports import Inlet
from protocols.errors import HttpClientError, WebSocketClosed

# A connection that another one has relieved may still hand over what is under way (Slack closes it by itself).
LINGER_SECONDS = 10.0
# Replies to a platform that is down are woken by `link.up()`; this is only how often they look by themselves.
OFFLINE_SECONDS = 60.0

_LOST = (ConnectionLost, OSError, trio.BrokenResourceError, trio.ClosedResourceError, HttpClientError, WebSocketClosed)


class Link:
    """One session as the engine sees it."""

    def __init__(self, engine: _Engine, relieves: Link | None) -> None:
        self._engine, self._relieves = engine, relieves
        self._scope = trio.CancelScope()
        self.over = trio.Event()
        self.ended = False
        self.up_since: float | None = None
        self.relieved = False
        self.lost: ConnectionLost | None = None

    def up(self, detail: str = "") -> None:
        """The platform knows us and everything missed is taken: tell status, wake the replies that waited."""
        if self.up_since is None:
            self.up_since = trio.current_time()
            if self._relieves is not None:
                self._relieves._scope.deadline = trio.current_time() + LINGER_SECONDS
            self._engine.came_up(self, detail)

    def relieve(self) -> None:
        """Ask for a second connection while this one still works; it is ended ten seconds after the other is up."""
        self.relieved = True
        self.over.set()

    async def hold(self, session: Session) -> None:
        try:
            with self._scope:
                await _translated(session, self)
        except ConnectionLost as lost:
            self.lost = lost
        finally:
            self.ended = True
            self.over.set()
        self._engine.went_down(self)


Session = Callable[[Link], Awaitable[None]]


async def keep_connected(  # noqa: ASYNC128  # the engine calls it, when the first session is up
    session: Session,
    inlet: Inlet,
    *,
    task_status: Any = trio.TASK_STATUS_IGNORED,
    backoff: Backoff = Backoff(),
    spread: Callable[[], float] = random.random,
) -> None:
    """Run sessions until cancelled. Raises only what ends or crashes the channel.

    `task_status.started()` is called when the first session is up; until then `status` says why it is not.
    """
    await _Engine(session, inlet, task_status, backoff, spread).run()


def offline(platform: str) -> Deferred:
    """The receipt of a reply while there is no connection: it waits, uncounted, until `link.up()` wakes it."""
    return Deferred(f"There is no connection to {platform}.", OFFLINE_SECONDS, offline=True)


class _Engine:
    def __init__(
        self, session: Session, inlet: Inlet, task_status: Any, backoff: Backoff, spread: Callable[[], float]
    ) -> None:
        self._session, self._inlet, self._task_status = session, inlet, task_status
        self._backoff, self._spread = backoff, spread
        self._failures = 0
        self._started = False
        self._standing: Link | None = None

    def came_up(self, link: Link, detail: str) -> None:
        self._standing = link
        if not self._started:
            self._started = True
            self._task_status.started()
        self._inlet.connected("connected", detail)
        self._inlet.wake()

    def went_down(self, link: Link) -> None:
        """A connection that waited to be relieved, and was not in time, is missed; of any other `_pause` tells."""
        if link.relieved and link is self._standing:
            self._inlet.connected("disconnected", "the platform ended the connection before another one stood")

    async def run(self) -> None:
        wrong: BaseExceptionGroup[Any] | None = None
        try:
            async with trio.open_nursery() as nursery:
                await self._hold_one_after_another(nursery)
        except* (SettingError, SettingErrors) as group:
            wrong = group
        if wrong is not None:
            raise _leaves(wrong)[0]

    async def _hold_one_after_another(self, nursery: trio.Nursery) -> None:
        previous: Link | None = None
        while True:
            link = Link(self, previous)
            nursery.start_soon(link.hold, self._session)
            await link.over.wait()
            if link.relieved and link.up_since is not None:
                previous = link
                continue
            if previous is not None and previous.ended:
                previous = None
            await trio.sleep(self._pause(link, previous))

    def _pause(self, link: Link, standing: Link | None) -> float:
        now = trio.current_time()
        stable = link.up_since is not None and now - link.up_since >= self._backoff.stable_seconds
        self._failures = 1 if stable else self._failures + 1
        lost = link.lost
        seconds = pause(self._backoff, self._failures, self._spread(), lost.after_seconds if lost else 0.0)
        if standing is None:
            why = lost.why if lost else "the platform ended the connection"
            self._inlet.connected("disconnected", f"{why}; trying again in {seconds:.0f} s")
        return seconds


async def _translated(session: Session, link: Link) -> None:
    """Run a session; whatever means that the connection is over becomes one ConnectionLost, also out of a nursery."""
    found: BaseExceptionGroup[Any] | None = None
    try:
        await session(link)
    except* (*_LOST, SettingError, SettingErrors) as group:
        found = group
    if found is None:
        return
    errors = list(_leaves(found))
    for error in errors:
        if isinstance(error, SettingError | SettingErrors):
            raise error
    lost = next((error for error in errors if isinstance(error, ConnectionLost)), None)
    raise lost or ConnectionLost(_words(errors[0])) from errors[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _words(error: BaseException) -> str:
    return str(error) or ("the connection broke" if isinstance(error, trio.BrokenResourceError) else "it was closed")
