"""oclaw's way out to Slack against `emulate`, in a network of its own: `unshare -rn python slack_in_a_box.py FOLDER`.

The emulator listens on all interfaces and cannot be told otherwise; here there is only a loopback one. Prints what came
of each step as one JSON object.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trio
from msgspec.structs import replace

from gateway.channels.slack import SlackChannel
from gateway.channels.slack_settings import Settings
from gateway.config.secret import Secret
from gateway.message.message import Attachment, Conversation, Message
from gateway.testing.channels import FakeInlet, bench, delivery
from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient

PORT = 4003
API = f"http://127.0.0.1:{PORT}/api/"
TOKEN = "test_token_admin"
ROOM = Conversation("C000000001", "channel")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class Shelf:
    """A store with one picture."""

    async def size(self, ref: str) -> int:
        return 3

    def open(self, ref: str) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"PNG"

        return pieces()


async def main(folder: Path) -> None:
    """Start the emulator, take every step, end it."""
    _raise_loopback()
    emulator = subprocess.Popen(
        ["node", "node_modules/.bin/emulate", "start", "--service", "slack", "--port", str(PORT)],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with trio.fail_after(120):
            async with HttpClient() as http:
                await _until_it_answers(http)
                print(json.dumps(await _steps(http)))
    finally:
        emulator.kill()
        emulator.wait()


async def _steps(http: HttpClient) -> dict[str, Any]:
    hosts = (f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}")
    settings = Settings(
        bot_token=Secret("env:B", TOKEN), signing_secret=Secret("env:S", "s"), base_url=API, message_seconds=0.0,
        edit_seconds=0.1, file_hosts=hosts,
    )  # fmt: skip
    it = SlackChannel("it", settings, replace(bench().kit, http=http, media=Shelf()))
    inlet, found = FakeInlet(), {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run, inlet)
        while not inlet.states:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    found["state"] = inlet.states[0]
    found["posted"] = repr(posted := await it.deliver(delivery(_say("**hello** <you>"))))
    ts = posted.remote_id
    in_thread = replace(_say("below"), conversation=replace(ROOM, thread=ts))
    found["in_thread"] = type(await it.deliver(_numbered(1, in_thread))).__name__
    edit = replace(_say("changed"), action="edit", target_id=ts)
    found["edited"] = type(await it.deliver(_numbered(2, edit))).__name__
    reaction = replace(_say("👍"), type="reaction", target_id=ts)
    found["reacted"] = [type(await it.deliver(_numbered(3, reaction))).__name__ for _ in range(2)]
    nowhere = replace(_say("x"), conversation=Conversation("C999"))
    found["nowhere"] = repr(await it.deliver(_numbered(4, nowhere)))
    found["streamed"] = type(await it.stream(_numbered(5, _say("")), _pieces("one ", "two ", "three"))).__name__
    picture = Attachment("image", "image/png", "cat.png", 3, ref="r")
    found["file"] = repr(await it.deliver(_numbered(6, replace(_say("look"), attachments=(picture,)))))
    found["texts"] = await _history(http)
    gone = replace(_say(""), action="delete", target_id=ts)
    found["deleted"] = [type(await it.deliver(_numbered(7, gone))).__name__ for _ in range(2)]
    found["texts_after"] = await _history(http)
    return found


def _say(text: str) -> Message:
    return Message(channel="it", platform="slack", content=text, conversation=ROOM)


def _numbered(number: int, message: Message) -> Any:
    return replace(delivery(message), id=f"{number}.0")


async def _pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text
        await trio.sleep(0.15)


async def _history(http: HttpClient) -> list[str]:
    headers = (("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "application/x-www-form-urlencoded"))
    body = f"channel={ROOM.id}".encode()
    answered = await http.request("POST", f"{API}conversations.history", headers=headers, body=body)
    return [post["text"] for post in json.loads(answered.body)["messages"]]


async def _until_it_answers(http: HttpClient) -> None:
    while True:
        try:
            await http.request("POST", f"{API}auth.test")
            return
        except HttpClientError:
            await trio.sleep(0.1)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
