"""A fake IRC server in memory: enough of RFC 2812 for one client, and every way to be a bad one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from gateway.channels.irc import IrcChannel
from gateway.channels.irc_lines import Line, Lines
from gateway.channels.irc_settings import Settings
from gateway.channels.shared.errors import ConnectionLost
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message


class IrcServer:
    """Implements `gateway.testing.dialing_contract.DialingPlatform`."""

    keeps = False

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._stream: trio.testing.MemoryReceiveStream | trio.StapledStream | None = None
        self._down = self._wrong = self._silent = self._lose = False
        self._writing = trio.Lock()
        self.lines: list[Line] = []

    def channel(self, kit, inlet=None):
        settings = Settings(host="irc.example", nick="oclaw", channels=("#help",), seconds_per_line=0.0,
                            sasl_user="oclaw", sasl_password=Secret("env:P", "p"))  # fmt: skip
        return IrcChannel("it", settings, kit, dial=self.dial)

    def reply(self, text):
        return Message(channel="it", content=text, conversation=Conversation("ann"))

    @asynccontextmanager
    async def dial(self, _settings, _config_dir):
        await trio.lowlevel.checkpoint()
        if self._down:
            raise ConnectionLost("cannot connect")
        ours, theirs = trio.testing.memory_stream_pair()
        self._stream, self._silent = theirs, False
        self._nursery.start_soon(self._serve, theirs)
        async with ours:
            yield ours

    async def says(self, text):
        await self.tells(f":ann!a@h PRIVMSG oclaw :{text}")

    async def tells(self, line):
        await self._send(self._stream, line)

    async def breaks(self, how):
        match how:
            case "closed":
                await self._stream.aclose()
            case "reset":
                self._cut()
            case "silent":
                self._silent = True
            case "sent away":
                await self.tells("ERROR :Closing Link (K-Lined)")

    def goes_down(self):
        self._down = True
        if self._stream is not None:
            self._cut()

    def comes_back(self):
        self._down = False

    def wants_other_credentials(self):
        self._wrong = True

    def loses_the_next_answer(self):
        self._lose = True

    def heard(self):
        return [line.param(1) for line in self.lines if line.command == "PRIVMSG"]

    def _cut(self):
        self._stream.send_stream.close()
        self._stream.receive_stream.close()

    async def _serve(self, stream):
        lines = Lines()
        try:
            while received := await stream.receive_some(4096):
                for line in lines.feed(bytes(received)):
                    await self._obey(line, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _obey(self, line, stream):
        if self._silent:
            return
        self.lines.append(line)
        answers = {
            "CAP": {"LS": [":s CAP * LS :sasl"], "REQ": [":s CAP * ACK :sasl"],
                    "END": [":s 001 oclaw :Welcome", ":s 376 oclaw :End"]}.get(line.param(0), []),
            "AUTHENTICATE": ["AUTHENTICATE +"] if line.param(0) == "PLAIN" else
                            [":s 904 * :SASL failed" if self._wrong else ":s 903 * :SASL succeeded"],
            "JOIN": [f":oclaw!o@h JOIN {line.param(0)}"],
            "PING": [f":s PONG s :{line.param(0)}"],
        }.get(line.command, [])  # fmt: skip
        if line.command == "PING" and self._lose and line.param(0) not in ("oclaw", "oclaw-joined"):
            self._lose = False
            await stream.aclose()
            return
        for answer in answers:
            await self._send(stream, answer)

    async def _send(self, stream, line):
        async with self._writing:
            await stream.send_all(f"{line}\r\n".encode())


@asynccontextmanager
async def irc_server() -> AsyncIterator[IrcServer]:
    """Run a server while the block runs."""
    async with trio.open_nursery() as nursery:
        yield IrcServer(nursery)
        nursery.cancel_scope.cancel()
