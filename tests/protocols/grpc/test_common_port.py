"""gRPC beside HTTP/1.1 on the hub's one port: in plaintext by the first bytes, under TLS by ALPN, and under mTLS."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
import trio
import trustme
from google.protobuf.wrappers_pb2 import BytesValue

from protocols.grpc.channel import open_channel
from protocols.grpc.server import methods_of, serve_h2
from protocols.http1.messages import Response
from protocols.http2.tls import client_tls
from protocols.hub.exchange import Exchange
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from protocols.transport.tls import Tls, server_context
from tests.protocols.grpc.echo import SERVICE, Echo, EchoStub


@asynccontextmanager
async def common_port(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    methods = methods_of([Echo()])

    def answer(exchange: Exchange) -> None:
        exchange.answer(Response(200, body=b"plain"))

    async with trio.open_nursery() as nursery:

        def enter(stream: trio.abc.Stream) -> None:
            nursery.start_soon(partial(serve_h2, stream, b"", methods))

        hub = Hub(answer, lambda event: None, h2_entrance=enter)
        listeners = open_tcp("127.0.0.1", 0, tls=None if tls is None else Tls(tls))
        await nursery.start(hub.serve, listeners)
        yield listeners[0].port
        nursery.cancel_scope.cancel()


def call(channel: grpc.Channel, body: bytes) -> bytes:
    with channel:
        unary = channel.unary_unary(
            f"/{SERVICE}/Unary",
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=BytesValue.FromString,
        )
        return unary(BytesValue(value=body), timeout=60).value


def get(connection: http.client.HTTPConnection) -> bytes:
    connection.request("GET", "/")
    return connection.getresponse().read()


async def test_plaintext_is_told_apart_by_its_first_bytes() -> None:
    async with common_port() as port:
        official = grpc.insecure_channel(f"127.0.0.1:{port}")
        assert await trio.to_thread.run_sync(call, official, bytes(300_000)) == bytes(300_000)
        assert await trio.to_thread.run_sync(get, http.client.HTTPConnection("127.0.0.1", port, timeout=60)) == b"plain"
        async with open_channel("127.0.0.1", port) as channel:
            assert (await EchoStub(channel).Unary(BytesValue(value=b"ours"))).value == b"ours"


async def test_tls_is_told_apart_by_alpn(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    async with common_port(server_context(tmp_path / "server.pem", offer_h2=True)) as port:
        credentials = grpc.ssl_channel_credentials(ca.cert_pem.bytes())
        official = grpc.secure_channel(f"127.0.0.1:{port}", credentials)
        assert await trio.to_thread.run_sync(call, official, bytes(300_000)) == bytes(300_000)
        trusting = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
        plain = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting)
        assert await trio.to_thread.run_sync(get, plain) == b"plain"


@pytest.mark.parametrize("known", [True, False])
async def test_the_common_port_asks_clients_for_certificates_where_it_is_told_to(tmp_path: Path, known: bool) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    client = (clients if known else trustme.CA()).issue_cert("someone@example.org")
    (tmp_path / "clients.pem").write_bytes(clients.cert_pem.bytes())
    context = server_context(tmp_path / "server.pem", offer_h2=True, client_authorities=tmp_path / "clients.pem")
    credentials = grpc.ssl_channel_credentials(
        ca.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )
    async with common_port(context) as port:
        official = grpc.secure_channel(f"localhost:{port}", credentials)
        if known:
            assert await trio.to_thread.run_sync(call, official, b"hi") == b"hi"
        else:
            with pytest.raises(grpc.RpcError) as caught:
                await trio.to_thread.run_sync(call, official, b"hi")
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_tls_is_never_older_than_1_3() -> None:
    assert client_tls().minimum_version is ssl.TLSVersion.TLSv1_3
