"""grpclib's generated stubs on our channel, against our server in the same loop."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from protocols.grpc.channel import open_channel
from tests.protocols.grpc.echo import EchoStub
from tests.protocols.grpc.serving import serving, until


def words(*values: bytes) -> list[BytesValue]:
    return [BytesValue(value=value) for value in values]


async def test_stubs_of_all_four_kinds_work_unchanged() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        stub = EchoStub(channel)
        assert (await stub.Unary(BytesValue(value=b"hi"))).value == b"hi"
        assert [m.value for m in await stub.Split(BytesValue(value=b"abc"))] == [b"a", b"b", b"c"]
        assert (await stub.Join(words(b"one", b"", b"three"))).value == b"onethree"
        assert (await stub.Join([])).value == b""
        assert await stub.Chat(words(b"x", b"y")) == words(b"x", b"y")
    assert server.bugs == []


async def test_a_conversation_goes_back_and_forth() -> None:
    async with (
        serving() as server,
        open_channel("127.0.0.1", server.port) as channel,
        EchoStub(channel).Chat.open() as call,
    ):
        for word in words(b"a", b"b" * 70_000, b"c"):
            await call.send_message(word)
            assert await call.recv_message() == word
        await call.end()
        assert await call.recv_message() is None


async def test_a_deadline_ends_the_call_on_both_sides() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        with pytest.raises(GRPCError) as caught:
            await EchoStub(channel).Wait(BytesValue(), timeout=0.05)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        assert (await EchoStub(channel).Unary(BytesValue(value=b"alive"))).value == b"alive"
        await until(lambda: server.echo.running == 0)


async def test_leaving_a_call_cancels_its_handler() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        async with EchoStub(channel).Wait.open() as call:
            await call.send_message(BytesValue(), end=True)
            await server.echo.started.wait()
            await call.cancel()
        await until(lambda: server.echo.running == 0)
        assert server.echo.cancelled == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [("bug", Status.INTERNAL), ("plain", Status.NOT_FOUND), ("nested", Status.FAILED_PRECONDITION)],
)
async def test_errors_arrive_as_their_status(kind: str, status: Status) -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        with pytest.raises(GRPCError) as caught:
            await EchoStub(channel).Fail(BytesValue(value=kind.encode()))
        assert caught.value.status is status
        assert "secret" not in (caught.value.message or "")
    assert len(server.bugs) == (kind == "bug")


async def test_rich_details_survive_the_trip() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        with pytest.raises(GRPCError) as caught:
            await EchoStub(channel).Fail(BytesValue(value=b"rich"))
        assert caught.value.message == "später"
        assert caught.value.details[0].retry_delay.seconds == 3


async def test_metadata_travels_both_ways() -> None:
    sent: list[tuple[str, Any]] = [("word", "a b"), ("word", ""), ("bytes-bin", b"\x00\xff"), ("bytes-bin", b"")]
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        async with EchoStub(channel).Tell.open(metadata=sent) as call:
            await call.send_message(BytesValue())
            await call.recv_message()
        assert list(call.initial_metadata.items()) == sent
        assert list(call.trailing_metadata.items()) == [("late", "yes"), *sent]


async def test_a_large_message_passes_through_small_windows_compressed_or_not() -> None:
    body = bytes(range(256)) * 16_000  # 4 MB: twice the stream's window
    for compress in (False, True):
        async with serving() as server, open_channel("127.0.0.1", server.port, compress=compress) as channel:
            assert (await EchoStub(channel).Unary(BytesValue(value=body))).value == body


async def test_an_early_answer_stops_the_sender() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        with pytest.raises(GRPCError) as caught, trio.fail_after(60):
            async with EchoStub(channel).Refuse.open() as call:
                while True:
                    await call.send_message(BytesValue(value=bytes(100_000)))
        assert caught.value.status is Status.PERMISSION_DENIED


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with trio.socket.socket() as socket:
        await socket.bind(("127.0.0.1", 0))
        port = socket.getsockname()[1]
    async with open_channel("127.0.0.1", port) as channel:
        with pytest.raises(GRPCError) as caught:
            await EchoStub(channel).Unary(BytesValue())
        assert caught.value.status is Status.UNAVAILABLE
        assert (caught.value.message or "").endswith(f":{port} cannot be reached: Connection refused.")


async def test_a_draining_server_finishes_its_calls_and_the_next_call_reconnects() -> None:
    async with serving() as server, open_channel("127.0.0.1", server.port) as channel:
        stub = EchoStub(channel)
        async with stub.Chat.open() as call:
            await call.send_message(BytesValue(value=b"before"))
            await call.recv_message()
            server.draining.set()
            server.draining = trio.Event()
            await until(lambda: not channel._connection.usable)
            assert (await stub.Unary(BytesValue(value=b"elsewhere"))).value == b"elsewhere"
            await call.send_message(BytesValue(value=b"after"))
            assert (await call.recv_message()).value == b"after"
            await call.end()


async def test_two_hundred_calls_share_four_slots() -> None:
    from protocols.http2.limits import Limits

    async with serving(http2=Limits(max_streams=4)) as server, open_channel("127.0.0.1", server.port) as channel:
        done = []

        async def one(number: int) -> None:
            done.append((await EchoStub(channel).Unary(BytesValue(value=b"%d" % number))).value)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(one, number)
        assert len(done) == 200
