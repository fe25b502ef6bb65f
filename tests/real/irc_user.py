"""A person on IRC: a few lines of a client of our own, which remembers everything it hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from gateway.channels.irc_lines import Line, Lines


class Person:
    """Says lines, hears lines."""

    def __init__(self, stream: trio.abc.Stream, nick: str) -> None:
        self._stream, self.nick = stream, nick
        self.heard: list[Line] = []
        self._news = trio.Event()

    async def listen(self) -> None:
        lines = Lines()
        with suppress(trio.BrokenResourceError):
            while received := await self._stream.receive_some(65536):
                for line in lines.feed(bytes(received)):
                    if line.command == "PING":
                        await self.raw(f"PONG :{line.param(-1)}")
                    self.heard.append(line)
                self._news.set()
                self._news = trio.Event()

    async def raw(self, text: str) -> None:
        await self._stream.send_all(f"{text}\r\n".encode())

    async def say(self, target: str, text: str) -> None:
        await self.raw(f"PRIVMSG {target} :{text}")

    def texts(self, frm: str = "oclaw") -> list[str]:
        """What somebody said, in order."""
        return [line.param(1) for line in self.heard if line.command == "PRIVMSG" and line.nick == frm]

    async def until(self, fits, seconds: float = 60.0) -> None:
        """Wait for something to be true of what was heard."""
        with trio.fail_after(seconds):
            while not fits(self):
                await self._news.wait()

    async def hears(self, command: str, param: str, seconds: float = 60.0) -> None:
        """Wait for a line that begins so."""
        await self.until(lambda it: any(x.command == command and param in x.params for x in it.heard), seconds)


@asynccontextmanager
async def person(port: int, nick: str, *channels: str) -> AsyncIterator[Person]:
    """Be on the server under a nick, in channels, while the block runs."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream, trio.open_nursery() as nursery:
        it = Person(stream, nick)
        nursery.start_soon(it.listen)
        await it.raw(f"NICK {nick}")
        await it.raw(f"USER {nick} 0 * :{nick}")
        await it.until(lambda it: any(line.command in ("376", "422") for line in it.heard))
        for channel in channels:
            await it.raw(f"JOIN {channel}")
            await it.hears("366", channel)
        yield it
        nursery.cancel_scope.cancel()
