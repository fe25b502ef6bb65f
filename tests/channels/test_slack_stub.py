"""Slack's official SDK certifies the stub that oclaw is tested against: both its clients are content with it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from tests.channels.slack_words import callback, post
from tests.support.slack_stub import SlackStub

CLIENT = Path(__file__).with_name("official_slack_client.py")


@asynccontextmanager
async def sdk(stub, action):
    """Run the SDK in a process of its own; yields what it says, as it says it."""
    command = [sys.executable, str(CLIENT), stub.base_url, action]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process = await nursery.start(run)
        yield process, lines(process.stdout)
        nursery.cancel_scope.cancel()


async def lines(stream):
    rest = b""
    async for piece in stream:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield json.loads(line)


async def until(said, **wanted):
    async for line in said:
        if wanted.items() <= line.items():
            return line
    raise AssertionError(f"the SDK ended without saying {wanted}")


async def test_the_sdks_socket_client_takes_hello_envelopes_and_a_refresh():
    stub = SlackStub(again_seconds=0.5)
    with trio.fail_after(60):
        async with stub.open(), sdk(stub, "listen") as (_, said):
            await until(said, connected=True)
            for kind, payload in (
                ("events_api", callback(post("hello"))),
                ("slash_commands", {"command": "/ask", "text": "why"}),
                ("interactive", {"type": "block_actions"}),
            ):
                sent = stub.tell(payload, kind)
                heard = await until(said, type=kind)
                assert (heard["envelope_id"], heard["payload"]) == (sent, payload)
                await stub.until(partial(stub.acknowledged, sent))
            assert stub.frames[-1] == {"envelope_id": sent}
            await stub.say({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "stub"}})
            await stub.until(lambda: stub.connections == 2)
            last = stub.tell(callback(post("after the refresh")))
            assert (await until(said, type="events_api"))["envelope_id"] == last
            await stub.until(partial(stub.acknowledged, last))


async def test_the_sdks_web_client_finds_the_api_it_expects():
    stub = SlackStub()
    with trio.fail_after(60):
        async with stub.open(), sdk(stub, "call") as (_, said):
            heard = [line async for line in said]
    assert heard == [
        {"user": "U0BOT00001"},
        {"history": [["two", {"event_type": "e", "event_payload": {"id": "1"}}]]},
        {"replies": ["two", "below"]},
        {"direct": True},
        {"rooms": [True]},
        {"error": "channel_not_found"},
        {"error": "invalid_auth"},
    ]
    assert stub.texts("C1") == ["below", "look"]
    assert list(stub.files.values()) == [b"abc"]
