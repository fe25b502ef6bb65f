"""The socket side of one IRC connection: one task writes, and every line of ours is answered for.

IRC confirms nothing. But a server works through what it is sent in order, so each message is followed by a
PING of ours: its PONG says that the message was dealt with, and a refusal comes before it. A connection that
ends in between leaves the outcome unknown, and the gateway does not say it twice.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import trio

from gateway.channels.irc_lines import encode, folded
from gateway.channels.irc_settings import Settings
from gateway.channels.shared.errors import ConnectionLost
from gateway.errors import SettingError
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.plainfile import must_be_plain
from protocols.transport.refusal import system_words

_CONNECT_SECONDS = 15.0
_FAREWELL_SECONDS = 1.0
# A few times what flood pacing lets out before anybody should wait in line.
_MOST_QUEUED = 64


class _Post:
    """One message on its way: its lines, and what is known about it."""

    def __init__(self, target: str, content: bytes) -> None:
        self.target, self.content = target, content
        self.begun = False
        self.refused = ""
        self.done = trio.Event()
        self.passed = False


class Wire:
    """Writes lines in order. `alive` is False once nothing more can be sent."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._queue_in, self._queue = trio.open_memory_channel[_Post](_MOST_QUEUED)
        self._posts: dict[str, _Post] = {}
        self._tokens = count(1)
        self.alive = True

    async def write(self) -> None:
        """Send what is queued, for ever. Raises what the stream raises."""
        async for post in self._queue:
            post.begun = True
            await self._stream.send_all(post.content)

    async def send(self, line: bytes) -> None:
        """Queue a line that needs no answer."""
        await self._queue_in.send(_Post("", line))

    async def say(self, target: str, text: str) -> Receipt:
        """Send one message and return what became of it. The caller sets the deadline."""
        token = f"oclaw-{next(self._tokens)}"
        post = _Post(folded(target), encode("PRIVMSG", target, text) + encode("PING", token))
        try:
            self._queue_in.send_nowait(post)
        except trio.WouldBlock:
            return Deferred("Too many lines wait to be sent.")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return Deferred("The connection has just ended.", 1.0, offline=True)
        self._posts[token] = post
        try:
            await post.done.wait()
        finally:
            self._posts.pop(token, None)
        return _receipt(post)

    def answered(self, token: str) -> None:
        """The server has dealt with everything up to this PING."""
        post = self._posts.get(token)
        if post is not None:
            post.passed = True
            post.done.set()

    def refused(self, target: str, why: str) -> None:
        """The server refuses what was said to `target`; the oldest post to it is meant."""
        for post in self._posts.values():
            if post.target == target and post.begun and not post.refused:
                post.refused = why
                return

    def end(self) -> None:
        """Nothing more comes or goes: everybody who waits hears what is known."""
        self.alive = False
        self._queue_in.close()
        self._queue.close()
        for post in list(self._posts.values()):
            post.done.set()


def _receipt(post: _Post) -> Receipt:
    if post.refused:
        return Bounced(f"The server refused it: {post.refused}.")
    if post.passed:
        return Delivered()
    if post.begun:
        return Unknown("The connection ended before the server confirmed the line.")
    return Deferred("The connection ended before the line was sent.", 1.0, offline=True)


@asynccontextmanager
async def dial(settings: Settings, config_dir: str) -> AsyncIterator[trio.abc.Stream]:
    """Connect, with TLS where configured; says QUIT at the end. Raises `ConnectionLost`, `SettingError`."""
    stream = await _connected(settings, config_dir)
    try:
        yield stream
    finally:
        with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
            try:
                await stream.send_all(encode("QUIT", "oclaw"))
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                pass
        with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
            await trio.aclose_forcefully(stream)


async def _connected(settings: Settings, config_dir: str) -> trio.abc.Stream:
    place = f"{settings.host}:{settings.port}"
    try:
        with trio.fail_after(_CONNECT_SECONDS):
            stream: trio.abc.Stream = await trio.open_tcp_stream(settings.host, settings.port)
            if settings.tls:
                stream = await _secured(stream, settings, config_dir)
    except trio.TooSlowError as error:
        raise ConnectionLost(f"{place} does not answer within {_CONNECT_SECONDS:g} s") from error
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        cause = error.__cause__ or error
        raise ConnectionLost(f"no TLS with {place}: {getattr(cause, 'verify_message', '') or cause}") from error
    except OSError as error:
        raise ConnectionLost(f"cannot connect to {place}: {system_words(error)}") from error
    return stream


async def _secured(plain: trio.abc.Stream, settings: Settings, config_dir: str) -> trio.SSLStream[trio.abc.Stream]:
    secured = trio.SSLStream(plain, tls_context(settings, config_dir), server_hostname=settings.host)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(plain)
        raise
    return secured


def tls_context(settings: Settings, config_dir: str) -> ssl.SSLContext:
    """Trust the system's roots, or those in `tls_authority` alone. Raises `SettingError`."""
    if not settings.tls_authority:
        return ssl.create_default_context()
    path = Path(config_dir, settings.tls_authority)
    try:
        must_be_plain(path)
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        wanted = "a PEM file with the certificates to trust"
        raise SettingError("tls_authority", found=f'"{path}" ({error})', wanted=wanted) from error
