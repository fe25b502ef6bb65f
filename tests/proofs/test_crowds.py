"""Ten thousand at once: conversations with a dead destination, and idle sockets beside the load."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from gateway.testing.proof import Scene, Tally, open_scene
from gateway.testing.proof.life import Life, open_life
from gateway.testing.proof.rounds import finished
from gateway.testing.proof.sender import Sender
from tests.proofs.talk import accepts_more, talking, until

AT_ONCE = 40  # senders; each takes one conversation after the other
MOST_KIB_A_REPLY = 16
MOST_KIB_A_SOCKET = 64
SOCKETS = '\n[channels.idle]\ntype = "websocket"\nlocal = true\nping_seconds = 300\n'
UPGRADE = (
    b"GET /channels/idle HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("conversations", [300, pytest.param(10_000, marks=pytest.mark.prove)])
async def test_every_conversation_gets_its_replies_in_order_when_the_destination_is_back(
    conversations: int, folder: Path, survived: Callable[[str, Tally], None], figure: Callable[[str], None]
) -> None:
    down = [True]

    async def answer(request: object) -> str:
        await trio.lowlevel.checkpoint()
        return "503 Service Unavailable" if down[0] else "200 OK"

    async with open_scene(folder) as scene:
        scene.sink.manner = answer
        async with open_life(scene) as life:
            before = rss_kib(life)
            await say_twice(scene, life, [f"r{number}" for number in range(conversations)])
            waiting, each = len(scene.account.waiting), (rss_kib(life) - before) / (2 * conversations)
            assert waiting == 2 * conversations
            down[0] = False
            await finished(scene, 60 + conversations / 50)
        tally = scene.account.tally()
        assert tally.kept and tally.delivered == 2 * conversations, tally
        survived(f"{conversations:,} conversations at once, their destination down", tally)
        figure(f"{waiting:,} replies waited, {each:.1f} KiB each")
        assert each < MOST_KIB_A_REPLY


async def say_twice(scene: Scene, life: Life, rooms: list[str]) -> None:
    sender, rest = Sender(scene.account, scene.secret, lambda: life.port, chance=Random(1)), iter(rooms)

    async def one_after_the_other() -> None:
        for room in rest:
            await sender.room(room, pause=0, messages=2)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(one_after_the_other)


@pytest.mark.parametrize("sockets", [200, pytest.param(10_000, marks=pytest.mark.prove)])
async def test_idle_sockets_neither_slow_nor_lose_what_others_say(
    sockets: int, folder: Path, survived: Callable[[str, Tally], None], figure: Callable[[str], None]
) -> None:
    async with open_scene(folder, more=SOCKETS) as scene:
        allow(scene, sockets + 200)
        async with open_life(scene) as life:
            before = rss_kib(life)
            with idle(life.port, sockets) as opening:
                for count, _ in enumerate(opening):
                    if count % 50 == 0:
                        await trio.lowlevel.checkpoint()
                each = (rss_kib(life) - before) / sockets
                await say_twice(scene, life, [f"r{number}" for number in range(200)])
                await finished(scene, 60)
        tally = scene.account.tally()
        assert tally.kept and tally.delivered == 400, tally
        survived(f"{sockets:,} idle WebSockets beside the load", tally)
        figure(f"{sockets:,} idle WebSockets, {each:.1f} KiB each")
        assert each < MOST_KIB_A_SOCKET


def allow(scene: Scene, connections: int) -> None:
    file = scene.folder / "oclaw.toml"
    more = f"max_connections = {connections}\nmax_connections_per_address = {connections}"
    file.write_text(file.read_text().replace("max_connections_per_address = 4096", more))


@contextmanager
def idle(port: int, count: int) -> Iterator[Iterator[None]]:
    """Open sockets one by one, each greeted; they stay open until the block is left, and say nothing more."""
    opened: list[socket.socket] = []

    def opening() -> Iterator[None]:
        for _ in range(count):
            plug = socket.create_connection(("127.0.0.1", port), timeout=30)
            opened.append(plug)
            plug.sendall(UPGRADE + masked(json.dumps({"v": 1, "type": "hello", "data": {}}).encode()))
            heard = b""
            while b'"welcome"' not in heard:
                received = plug.recv(65536)
                assert received, heard
                heard += received
            yield

    try:
        yield opening()
    finally:
        for plug in opened:
            plug.close()


def masked(text: bytes) -> bytes:
    """Return a text frame of a client with an all-zero mask (RFC 6455, section 5.2)."""
    assert len(text) < 126
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


def rss_kib(life: Life) -> float:
    status = Path(f"/proc/{life.process.pid}/status").read_text()
    return float(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.parametrize(
    ("rate", "seconds"), [(100.0, 3.0), pytest.param(500.0, 60.0, marks=pytest.mark.prove)], ids=["short", "long"]
)
async def test_a_destination_that_is_down_while_all_talk_gets_everything_in_order_afterwards(
    rate: float, seconds: float, folder: Path, survived: Callable[[str, Tally], None], figure: Callable[[str], None]
) -> None:
    rooms, down = 100, [False]

    async def answer(request: object) -> str:
        await trio.lowlevel.checkpoint()
        return "503 Service Unavailable" if down[0] else "200 OK"

    async with open_scene(folder) as scene:
        scene.sink.manner = answer
        async with open_life(scene) as life, talking(scene, life, rooms, rooms / rate):
            await accepts_more(scene, round(rate))
            before, down[0] = rss_kib(life), True
            await trio.sleep(seconds)
            waiting, growth, down[0] = len(scene.account.waiting), (rss_kib(life) - before) / 1024, False
            began = trio.current_time()
            await until(lambda: len(scene.account.waiting) < rate / 2)
            took = trio.current_time() - began
        tally = scene.account.tally()
        assert tally.kept, tally  # the sink may be held up longer than an attempt: repeated, under the same id
        survived(f"destination down for {seconds:g} s at {rate:g} messages a second", tally)
        figure(f"{waiting:,} replies waited, {growth:+.1f} MiB, delivered {took:.1f} s after the destination was back")
        assert waiting and growth * 1024 < 4096 + MOST_KIB_A_REPLY * waiting
