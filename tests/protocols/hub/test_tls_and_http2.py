"""Connections that speak TLS or HTTP/2 on the common port."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx  # noqa: ASYNC127
import pytest
import trio

from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Response
from protocols.http_client.client import HttpClient
from protocols.hub.events import ConnectionCrashed
from protocols.transport.stream import PipeStream
from tests.protocols.serving import GET, Certificates, open_site

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_tls_serves_with_our_client_and_another(tmp_path: Path) -> None:
    tls = Certificates(tmp_path)
    body = bytes(500_000)
    async with open_site(lambda e: e.answer(Response(200, (), e.request.body)), tls=tls.server) as site:
        url = f"https://127.0.0.1:{site.port}/"
        async with HttpClient(tls=tls.client) as ours:
            for _ in range(3):
                assert (await ours.request("POST", url, body=body)).body == body
            assert site.hub.open_connections == 1

        def theirs() -> bytes:
            with httpx.Client(verify=tls.client) as client:
                return client.post(url, content=body).content + client.post(url, content=b"again").content

        assert await trio.to_thread.run_sync(theirs) == body + b"again"


async def test_tls_below_1_3_and_plain_bytes_are_not_served(tmp_path: Path) -> None:
    tls = Certificates(tmp_path)
    tls.client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with open_site(tls=tls.server) as site:
        stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", site.port), tls.client)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        async with await site.connect() as client:
            await client.send_all(GET)
            assert b"HTTP" not in await client.rest()
        await settle()
        assert site.hub.open_connections == 0


async def test_a_tls_handshake_that_stalls_is_closed(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    tls = Certificates(tmp_path)
    stalling = open_site(tls=tls.server, limits=HttpLimits(handshake_seconds=2))
    async with stalling as site, await site.connect() as client:
        await client.send_all(b"\x16\x03\x01")
        assert await client.rest() == b""
        assert site.hub.open_connections == 0


class Upstairs:
    """Where HTTP/2 connections go."""

    def __init__(self) -> None:
        self.streams: list[PipeStream] = []

    def enter(self, stream: PipeStream) -> None:
        self.streams.append(stream)


@pytest.mark.parametrize(
    "pieces", [[PREFACE + b"frames"], [PREFACE[n : n + 1] for n in range(len(PREFACE))] + [b"frames"]]
)
async def test_http_2_by_its_first_bytes_goes_to_its_own_entrance(pieces: list[bytes]) -> None:
    upstairs = Upstairs()
    async with open_site(h2_entrance=upstairs.enter) as site, await site.connect() as client:
        for piece in pieces:
            await client.send_all(piece)
            await trio.lowlevel.checkpoint()
        await settle()
        stream = upstairs.streams[0]
        got = b""
        with trio.fail_after(60):
            while len(got) < len(PREFACE) + 6:
                got += await stream.receive_some(10)
        assert got == PREFACE + b"frames"
        await stream.send_all(b"settings")
        assert await client.stream.receive_some() == b"settings"
        assert site.hub.open_connections == 1
        await stream.aclose()
        assert site.hub.open_connections == 0


async def test_an_entrance_that_raises_harms_nobody_else() -> None:
    def closed(stream: PipeStream) -> None:
        raise RuntimeError("closed")

    async with open_site(h2_entrance=closed) as site:
        async with await site.connect() as client:
            await client.send_all(PREFACE)
            assert await client.rest() == b""
        assert [type(event) for event in site.events] == [ConnectionCrashed]
        assert site.hub.open_connections == 0
        async with await site.connect() as other:
            await other.send_all(GET)
            assert (await other.answer()).status == 200


async def test_http_2_without_an_entrance_is_refused_politely() -> None:
    async with open_site() as site, await site.connect() as client:
        await client.send_all(PREFACE)
        assert (await client.answer()).status == 505


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], "h2"), ([], None)])
async def test_alpn_gives_h2_only_to_a_client_that_offers_nothing_else(
    tmp_path: Path, offered: list[str], chosen: str | None
) -> None:
    tls = Certificates(tmp_path, offer_h2=True)
    tls.client.set_alpn_protocols(offered)
    upstairs = Upstairs()
    async with open_site(tls=tls.server, h2_entrance=upstairs.enter) as site:
        raw = await trio.open_tcp_stream("127.0.0.1", site.port)
        stream = trio.SSLStream(raw, tls.client, server_hostname="127.0.0.1", https_compatible=True)
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == chosen  # type: ignore[attr-defined]
        if chosen == "h2":
            await stream.send_all(PREFACE)
            await settle()
            assert await upstairs.streams[0].receive_some() == PREFACE
            assert upstairs.streams[0].alpn == "h2"
            await upstairs.streams[0].aclose()
        else:
            await stream.send_all(GET)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        await trio.aclose_forcefully(stream)
