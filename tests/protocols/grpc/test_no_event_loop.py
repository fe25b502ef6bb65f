"""Importing grpclib imports asyncio; running it is what must never happen."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, asyncio.events, trio

def refuse(*args, **kwargs):
    raise AssertionError("an asyncio loop was made")

asyncio.new_event_loop = asyncio.events.new_event_loop = refuse
asyncio.BaseEventLoop.__init__ = refuse

from google.protobuf.wrappers_pb2 import BytesValue
from protocols.grpc.channel import open_channel
from tests.protocols.grpc.echo import EchoStub
from tests.protocols.grpc.serving import serving

async def main():
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        stub = EchoStub(channel)
        assert (await stub.Unary(BytesValue(value=b"x"), timeout=60)).value == b"x"
        assert len(await stub.Chat([BytesValue()] * 3)) == 3

trio.run(main)
print("done")
"""


def test_calls_are_served_and_made_without_an_asyncio_loop() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=180, check=False)
    assert done.stdout == "done\n", done.stderr
