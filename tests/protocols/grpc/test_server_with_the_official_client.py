"""The official grpcio client, in a thread, against our server on a loopback port."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from protocols.grpc.health import Health
from protocols.grpc.reflection import with_reflection
from protocols.grpc.server import GrpcLimits
from tests.protocols.grpc.echo import SERVICE
from tests.protocols.grpc.serving import Server, serving, until


def method(channel: grpc.Channel, name: str, kind: str = "unary_unary") -> Any:
    return getattr(channel, kind)(
        f"/{SERVICE}/{name}",
        request_serializer=BytesValue.SerializeToString,
        response_deserializer=BytesValue.FromString,
    )


async def calling(server: Server, work: Any, *options: tuple[str, Any], **kwargs: Any) -> Any:
    """Run `work(channel)` in a thread."""

    def inside() -> Any:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options, **kwargs) as channel:
            return work(channel)

    with trio.fail_after(60):
        return await trio.to_thread.run_sync(inside)


async def test_all_four_kinds_of_call_work() -> None:
    def work(channel: grpc.Channel) -> list[Any]:
        words = [BytesValue(value=word) for word in (b"one", b"", b"three")]
        return [
            method(channel, "Unary")(BytesValue(value=b"hi"), timeout=60).value,
            [m.value for m in method(channel, "Split", "unary_stream")(BytesValue(value=b"abc"), timeout=60)],
            method(channel, "Join", "stream_unary")(iter(words), timeout=60).value,
            [m.value for m in method(channel, "Chat", "stream_stream")(iter(words), timeout=60)],
        ]

    async with serving() as server:
        assert await calling(server, work) == [
            b"hi",
            [b"a", b"b", b"c"],
            b"onethree",
            [b"one", b"", b"three"],
        ]
    assert server.bugs == []


def failure(work: Any) -> tuple[str, str]:
    """The status and message of a call that must fail."""
    try:
        work()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bug", ("INTERNAL", "The server failed to handle the call.")),
        ("plain", ("NOT_FOUND", "Es gibt kein “Füllhorn” 100%\n")),
        ("nested", ("FAILED_PRECONDITION", "from a nursery")),
    ],
)
async def test_errors_arrive_with_their_status_and_utf8_message(kind: str, expected: tuple[str, str]) -> None:
    async with serving() as server:
        told = await calling(
            server, lambda channel: failure(lambda: method(channel, "Fail")(BytesValue(value=kind.encode())))
        )
        assert told == expected
        assert server.bugs == (["/test.Echo/Fail"] if kind == "bug" else [])


async def test_rich_errors_are_readable_by_the_official_status_package() -> None:
    def work(channel: grpc.Channel) -> bytes:
        with pytest.raises(grpc.RpcError) as caught:
            method(channel, "Fail")(BytesValue(value=b"rich"))
        return dict(caught.value.trailing_metadata())["grpc-status-details-bin"]

    async with serving() as server:
        status = Status.FromString(await calling(server, work))
    retry = RetryInfo()
    assert (status.code, status.message, status.details[0].Unpack(retry)) == (8, "später", True)
    assert retry.retry_delay.seconds == 3


async def test_an_unknown_method_is_unimplemented() -> None:
    async with serving() as server:
        told = await calling(server, lambda channel: failure(lambda: method(channel, "Nothing")(BytesValue())))
        assert told == ("UNIMPLEMENTED", "There is no method /test.Echo/Nothing.")


async def test_a_deadline_cancels_the_handler() -> None:
    async with serving() as server:
        told = await calling(
            server, lambda channel: failure(lambda: method(channel, "Wait")(BytesValue(), timeout=0.1))
        )
        assert told[0] == "DEADLINE_EXCEEDED"
        await until(lambda: server.echo.cancelled == 1 and server.echo.running == 0)


async def test_five_hundred_cancelled_calls_leave_the_connection_healthy() -> None:
    def work(channel: grpc.Channel) -> bytes:
        wait = method(channel, "Wait")
        calls = [wait.future(BytesValue(value=bytes(5_000))) for _ in range(500)]
        for call in calls:
            call.cancel()
        return method(channel, "Unary")(BytesValue(value=b"still here"), timeout=60).value

    async with serving() as server:
        assert await calling(server, work) == b"still here"
        await until(lambda: server.echo.running == 0)
        assert server.ended in ([], [None])


async def test_messages_of_four_mebibytes_pass_and_larger_ones_are_refused() -> None:
    most = 4 * 1024 * 1024
    room = ("grpc.max_receive_message_length", 2 * most)

    def work(channel: grpc.Channel) -> Any:
        unary = method(channel, "Unary")
        return len(unary(BytesValue(value=bytes(most - 5))).value), failure(
            lambda: unary(BytesValue(value=bytes(most)))
        )

    async with serving() as server:
        size, (status, message) = await calling(server, work, room)
    assert size == most - 5
    assert (status, "at most 4194304 bytes" in message) == ("RESOURCE_EXHAUSTED", True)


async def test_gzip_is_read_and_answered_and_a_bomb_is_not_unpacked() -> None:
    def work(channel: grpc.Channel) -> Any:
        unary = method(channel, "Unary")
        good = unary(BytesValue(value=b"again " * 5000), compression=grpc.Compression.Gzip).value
        return good, failure(lambda: unary(BytesValue(value=bytes(200_000)), compression=grpc.Compression.Gzip))

    async with serving(limits=GrpcLimits(max_message_bytes=100_000)) as server:
        good, (status, message) = await calling(server, work)
    assert good == b"again " * 5000
    assert (status, "decompressed" in message) == ("RESOURCE_EXHAUSTED", True)


async def test_a_thousand_calls_run_at_once_on_one_connection() -> None:
    def work(channel: grpc.Channel) -> list[bytes]:
        wait = method(channel, "Wait")
        futures = [wait.future(BytesValue(value=b"%d" % number), timeout=60) for number in range(1000)]
        trio.from_thread.run(until, lambda: server.echo.running == 1000, trio_token=token)
        trio.from_thread.run_sync(server.echo.go.set, trio_token=token)
        return [future.result().value for future in futures]

    async with serving() as server:
        token = trio.lowlevel.current_trio_token()
        assert await calling(server, work) == [b"%d" % number for number in range(1000)]


async def test_bodies_nobody_reads_do_not_leak_the_connections_window() -> None:
    def work(channel: grpc.Channel) -> list[Any]:
        refuse = method(channel, "Refuse", "stream_unary")
        # 300 calls of 100 kB are four times the connection's window.
        body = [BytesValue(value=bytes(50_000))] * 2
        told = {failure(lambda: refuse(iter(body), timeout=60)) for _ in range(300)}
        return [told, method(channel, "Unary")(BytesValue(value=b"open"), timeout=60).value]

    async with serving() as server:
        assert await calling(server, work) == [{("PERMISSION_DENIED", "not you")}, b"open"]


async def test_metadata_of_every_odd_kind_comes_back() -> None:
    sent = (("word", "a b"), ("word", ""), ("word", "c,d"), ("x-bin", b"\x00\xff"), ("x-bin", b""))

    def of(metadata: Any, key: str) -> list[Any]:
        return [value for name, value in metadata if name == key]

    def work(channel: grpc.Channel) -> Any:
        _, call = method(channel, "Tell").with_call(BytesValue(), metadata=sent)
        return call.initial_metadata(), call.trailing_metadata()

    async with serving() as server:
        for metadata in await calling(server, work):
            assert of(metadata, "word") == of(sent, "word")
            assert of(metadata, "x-bin") == of(sent, "x-bin")


async def test_a_drain_lets_running_calls_end_and_refuses_no_call_on_its_way() -> None:
    with_reply = threading.Event()

    def work(channel: grpc.Channel) -> list[bytes]:
        def slowly() -> Iterator[BytesValue]:
            yield BytesValue(value=b"before")
            with_reply.wait(60)
            yield BytesValue(value=b"after")

        call = method(channel, "Chat", "stream_stream")(slowly(), timeout=60)
        got = [next(call).value]
        trio.from_thread.run_sync(drain, trio_token=token)
        # Other calls go on while the drain runs, if need be on another connection.
        got += [method(channel, "Unary")(BytesValue(value=b"%d" % n), timeout=60).value for n in range(20)]
        with_reply.set()
        return got + [message.value for message in call]

    async with serving() as server:
        token = trio.lowlevel.current_trio_token()

        def drain() -> None:
            server.draining.set()
            server.draining = trio.Event()

        assert await calling(server, work) == [b"before", *(b"%d" % n for n in range(20)), b"after"]
        await until(lambda: len(server.ended) == 2)
        assert server.ended == [None, None]


async def test_a_slow_reader_is_waited_for_and_delays_nobody_else() -> None:
    def work(channel: grpc.Channel) -> Any:
        slow = method(channel, "Split", "unary_stream")(BytesValue(value=bytes(range(256)) * 100), timeout=20)
        first = next(slow).value
        quick = [method(channel, "Unary")(BytesValue(value=b"quick"), timeout=60).value for _ in range(20)]
        return first, set(quick), 1 + sum(1 for _ in slow)

    async with serving() as server:
        assert await calling(server, work) == (b"\x00", {b"quick"}, 25_600)


async def test_health_and_reflection_serve_the_official_clients() -> None:
    health = Health("test.Echo")
    program = [sys.executable, str(Path(__file__).with_name("official_health_client.py"))]
    async with serving(with_reflection([health])) as server, trio.open_nursery() as nursery:
        with trio.fail_after(60):
            client = await nursery.start(
                partial(trio.run_process, [*program, str(server.port)], stdout=subprocess.PIPE, capture_stdout=False)
            )
            lines = b""
            async for piece in client.stdout:
                if lines.startswith(b"watching") is False and (lines + piece).startswith(b"watching"):
                    health.set_all(serving=False)
                lines += piece
    names = ["grpc.health.v1.Health"]
    assert json.loads(lines.splitlines()[1]) == [[1, 1, 2], "NOT_FOUND", 3, names, "grpc.health.v1"]
