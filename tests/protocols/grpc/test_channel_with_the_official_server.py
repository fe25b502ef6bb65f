"""Our channel against the official grpcio server, which runs in threads: plaintext, TLS, mTLS, Unix socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
import trustme
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from protocols.grpc.channel import open_channel
from protocols.http2.tls import client_tls
from tests.protocols.grpc.echo import SERVICE, EchoStub


def unary(request: BytesValue, context: grpc.ServicerContext) -> BytesValue:
    return request


def split(request: BytesValue, context: grpc.ServicerContext) -> Iterator[BytesValue]:
    for byte in request.value:
        yield BytesValue(value=bytes([byte]))


def join(requests: Iterator[BytesValue], context: grpc.ServicerContext) -> BytesValue:
    return BytesValue(value=b"".join(request.value for request in requests))


def chat(requests: Iterator[BytesValue], context: grpc.ServicerContext) -> Iterator[BytesValue]:
    yield from requests


def fail(request: BytesValue, context: grpc.ServicerContext) -> BytesValue:
    context.set_trailing_metadata((("why-bin", b"\x00"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "kein “Füllhorn”")
    raise AssertionError


def wait(request: BytesValue, context: grpc.ServicerContext) -> BytesValue:
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(10)
    return request


def tell(request: BytesValue, context: grpc.ServicerContext) -> BytesValue:
    context.set_compression(grpc.Compression.Gzip)
    remaining = context.time_remaining()
    return BytesValue(value=repr((sorted(map(tuple, context.invocation_metadata())), remaining)).encode() + bytes(5000))


def make(kind: Any, function: Any) -> Any:
    return kind(function, request_deserializer=BytesValue.FromString, response_serializer=BytesValue.SerializeToString)


@contextmanager
def official(address: str = "127.0.0.1:0", credentials: Any = None, **options: Any) -> Iterator[int]:
    handlers = {
        "Unary": make(grpc.unary_unary_rpc_method_handler, unary),
        "Split": make(grpc.unary_stream_rpc_method_handler, split),
        "Join": make(grpc.stream_unary_rpc_method_handler, join),
        "Chat": make(grpc.stream_stream_rpc_method_handler, chat),
        "Fail": make(grpc.unary_unary_rpc_method_handler, fail),
        "Wait": make(grpc.unary_unary_rpc_method_handler, wait),
        "Tell": make(grpc.unary_unary_rpc_method_handler, tell),
    }
    settings = [(f"grpc.{name}", value) for name, value in options.items()]
    server = grpc.server(ThreadPoolExecutor(8), options=settings)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


async def use(stub: EchoStub) -> None:
    words = [BytesValue(value=word) for word in (b"one", b"", b"three")]
    with trio.fail_after(60):
        assert (await stub.Unary(BytesValue(value=b"hi"))).value == b"hi"
        assert [m.value for m in await stub.Split(BytesValue(value=b"abc"))] == [b"a", b"b", b"c"]
        assert (await stub.Join(words)).value == b"onethree"
        assert await stub.Chat(words) == words


async def test_all_four_kinds_of_call_work() -> None:
    with official() as port:
        async with open_channel("127.0.0.1", port) as channel:
            await use(EchoStub(channel))


async def test_a_unix_socket_works(tmp_path: Path) -> None:
    with official(f"unix:{tmp_path}/s") as _:
        async with open_channel(path=str(tmp_path / "s")) as channel:
            await use(EchoStub(channel))


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls_works_and_strangers_are_turned_away(tmp_path: Path, mutual: bool) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    server, client = ca.issue_cert("localhost"), clients.issue_cert("someone@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())],
        root_certificates=clients.cert_pem.bytes() if mutual else None,
        require_client_auth=mutual,
    )
    trusted = ca.cert_pem.bytes().decode()
    with official("localhost:0", credentials) as port:
        shown = tmp_path / "client.pem" if mutual else None
        async with open_channel("localhost", port, tls=client_tls(authorities=trusted, certificate=shown)) as channel:
            await use(EchoStub(channel))
        for stranger in [client_tls(), *([client_tls(authorities=trusted)] if mutual else [])]:
            async with open_channel("localhost", port, tls=stranger) as channel:
                with pytest.raises(GRPCError) as caught:
                    await EchoStub(channel).Unary(BytesValue(), timeout=60)
                assert caught.value.status is Status.UNAVAILABLE


async def test_errors_arrive_with_status_message_and_trailers() -> None:
    with official() as port:
        async with open_channel("127.0.0.1", port) as channel:
            with pytest.raises(GRPCError) as caught:
                async with EchoStub(channel).Fail.open() as call:
                    await call.send_message(BytesValue())
                    await call.recv_message()
            assert (caught.value.status, caught.value.message) == (Status.NOT_FOUND, "kein “Füllhorn”")
            assert call.trailing_metadata["why-bin"] == b"\x00"
            with pytest.raises(GRPCError) as caught:
                await EchoStub(channel).Refuse([])
            assert caught.value.status is Status.UNIMPLEMENTED


async def test_deadline_and_metadata_reach_the_server_and_gzip_comes_back() -> None:
    with official() as port:
        async with open_channel("127.0.0.1", port, compress=True) as channel:
            stub = EchoStub(channel)
            reply = await stub.Tell(BytesValue(), timeout=9, metadata={"x-bin": b"\xff", "authorization": "Bearer s"})
            told = reply.value.decode().rstrip("\0")
            assert "('x-bin', b'\\xff')" in told and "('authorization', 'Bearer s')" in told
            assert 8 < float(told.rpartition(", ")[2].rstrip(")")) <= 9
            with pytest.raises(GRPCError) as caught:
                await stub.Wait(BytesValue(), timeout=0.1)
            assert caught.value.status is Status.DEADLINE_EXCEEDED


async def test_four_mebibytes_pass_and_the_servers_limit_is_reported() -> None:
    most = 4 * 1024 * 1024
    with official() as port:
        async with open_channel("127.0.0.1", port) as channel:
            stub = EchoStub(channel)
            assert len((await stub.Unary(BytesValue(value=bytes(most - 5)))).value) == most - 5
            with pytest.raises(GRPCError) as caught:
                await stub.Unary(BytesValue(value=bytes(most)))
            assert caught.value.status is Status.RESOURCE_EXHAUSTED


async def test_three_hundred_calls_wait_for_the_servers_hundred_slots() -> None:
    with official(max_concurrent_streams=100) as port:
        async with open_channel("127.0.0.1", port) as channel:
            done = []

            async def one(number: int) -> None:
                done.append((await EchoStub(channel).Unary(BytesValue(value=b"%d" % number))).value)

            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    for number in range(300):
                        nursery.start_soon(one, number)
            assert len(done) == 300
