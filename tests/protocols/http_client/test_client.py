"""The client against our own server: reuse, streaming, bounds, and what is known after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio

from protocols.errors import AddressRefused, AnswerTooLarge, BadUrl, NothingSent, UnknownAfterSend
from protocols.http1.messages import Response
from protocols.http_client.client import HttpClient
from protocols.http_client.connect import refuse_private
from protocols.http_client.exchange import Sized
from protocols.http_client.limits import ClientLimits
from protocols.hub.exchange import Exchange
from tests.protocols.serving import Site, open_site


def echo(exchange: Exchange) -> None:
    request = exchange.request
    exchange.answer(Response(200, (("X-Method", request.method),), request.body or request.target.encode()))


def url(site: Site, path: str = "/") -> str:
    return f"http://127.0.0.1:{site.port}{path}"


async def test_requests_share_a_kept_connection() -> None:
    async with open_site(echo) as site, HttpClient() as client:
        for n in range(5):
            answer = await client.request("POST", url(site), body=b"%d" % n)
            assert (answer.status, answer.body) == (200, b"%d" % n)
        assert site.hub.open_connections == 1


async def test_a_body_may_be_streamed_up() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for n in range(5):
            await trio.lowlevel.checkpoint()
            yield b"piece %d;" % n

    async with open_site(echo) as site, HttpClient() as client:
        for _ in range(2):
            answer = await client.request("PUT", url(site), body=pieces())
            assert answer.body == b"piece 0;piece 1;piece 2;piece 3;piece 4;"


async def test_a_body_of_known_length_is_streamed_up_without_chunks() -> None:
    def length_and_body(exchange: Exchange) -> None:
        length = exchange.request.headers.get("Content-Length").encode()
        exchange.answer(Response(200, (), length + b" " + exchange.request.body))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            await trio.lowlevel.checkpoint()
            yield piece

    async with open_site(length_and_body) as site, HttpClient() as client:
        answer = await client.request("POST", url(site), body=Sized(pieces(), 6))
        assert answer.body == b"6 onetwo"
        for wrong in (5, 7):
            with pytest.raises(UnknownAfterSend):
                await client.request("POST", url(site), body=Sized(pieces(), wrong))


async def test_a_large_body_goes_up_and_down() -> None:
    body = bytes(3_000_000)
    async with open_site(echo) as site, HttpClient() as client:
        assert (await client.request("POST", url(site), body=body)).body == body


async def test_a_head_request_has_no_body() -> None:
    async with open_site(echo) as site, HttpClient() as client:
        answer = await client.request("HEAD", url(site, "/long"))
        assert (answer.status, answer.body, answer.headers.get("content-length")) == (200, b"", "5")


async def test_an_answer_above_the_bound_is_refused() -> None:
    async with open_site(echo) as site, HttpClient() as client:
        with pytest.raises(AnswerTooLarge):
            await client.request("POST", url(site), body=b"x" * 11, body_bytes=10)
        assert (await client.request("POST", url(site), body=b"x" * 10, body_bytes=10)).status == 200


async def test_nothing_is_sent_when_nobody_listens() -> None:
    async with open_site() as site:
        nobody = url(site)
    async with HttpClient() as client:
        with pytest.raises(NothingSent):
            await client.request("POST", nobody, body=b"x")


async def test_an_address_that_the_vet_refuses_is_not_connected_to() -> None:
    async with open_site() as site, HttpClient(vet=refuse_private) as client:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(AddressRefused):
                await client.request("GET", f"http://{host}:{site.port}/")
        assert site.hub.open_connections == 0


@pytest.mark.parametrize("bad", ["/path", "ftp://x/", "http://", "http://u:p@x/", "http://x/\r\ny", "http://x:99999/"])
async def test_a_bad_url_is_refused_before_anything_happens(bad: str) -> None:
    async with HttpClient() as client:
        with pytest.raises(BadUrl):
            await client.request("GET", bad)


def hang_up(exchange: Exchange) -> None:
    exchange.upgrade().abort()


async def test_an_outcome_is_unknown_when_the_server_hangs_up_after_the_request() -> None:
    async with open_site(hang_up) as site, HttpClient() as client:
        with pytest.raises(UnknownAfterSend):
            await client.request("POST", url(site), body=b"x")


async def test_a_kept_connection_that_the_server_closed_is_not_used() -> None:
    async with HttpClient() as client, open_site(echo) as site:
        await client.request("POST", url(site), body=b"1")
        for connection in list(site.hub._state.connections.values()):
            connection.close()
        assert (await client.request("POST", url(site), body=b"2")).body == b"2"


async def test_a_cancelled_caller_learns_whether_anything_was_sent() -> None:
    sent: list[str] = []
    with trio.CancelScope() as scope:
        async with open_site(lambda _: scope.cancel()) as site, HttpClient() as client:
            await client.request("POST", url(site), body=b"x", on_send=lambda: sent.append("now"))
    assert scope.cancelled_caught
    assert sent == ["now"]


async def test_server_sent_events_are_read_as_they_arrive() -> None:
    async with trio.open_nursery() as nursery:
        go_on = trio.Event()

        async def stream(exchange: Exchange) -> None:
            async with exchange.stream(200, (("Content-Type", "text/event-stream"),)) as body:
                await body.send(b"data: one\n\n")
                await go_on.wait()
                await body.send(b"event: end\ndata: two\n\n")

        async with open_site(lambda e: nursery.start_soon(stream, e)) as site, HttpClient() as client:
            seen = []
            async with client.stream("GET", url(site)) as answer:
                async for event in answer.events():
                    seen.append((event.name, event.data))
                    go_on.set()
            assert seen == [("message", "one"), ("end", "two")]


async def test_connections_to_one_origin_are_bounded_and_callers_queue() -> None:
    from protocols.http_client.limits import ClientLimits

    async with open_site(echo) as site, HttpClient(limits=ClientLimits(connections_per_origin=2)) as client:
        done: list[bytes] = []

        async def one(n: int) -> None:
            done.append((await client.request("POST", url(site), body=b"%d" % n)).body)
            assert site.hub.open_connections <= 2

        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(one, n)
        assert sorted(done) == sorted(b"%d" % n for n in range(20))


async def test_of_many_origins_no_more_connections_are_kept_than_the_limit_says() -> None:
    limits = ClientLimits(connections_per_origin=1, idle_connections=2)
    async with AsyncExitStack() as sites, HttpClient(limits=limits) as client:
        opened = [await sites.enter_async_context(open_site(echo)) for _ in range(4)]
        for site in [*opened, *opened]:
            assert (await client.request("GET", url(site))).status == 200
        with trio.fail_after(60):
            while sum(site.hub.open_connections for site in opened) != 2:
                await trio.lowlevel.checkpoint()


async def test_of_many_origins_those_that_were_used_last_keep_their_connections() -> None:
    limits = ClientLimits(connections_per_origin=1, idle_connections=2)
    async with AsyncExitStack() as sites, HttpClient(limits=limits) as client:
        *others, often = [await sites.enter_async_context(open_site(echo)) for _ in range(5)]
        for site in (*others, often):
            assert (await client.request("GET", url(site))).status == 200
        assert [site.hub.open_connections for site in (others[-1], often)] == [1, 1]


async def test_a_client_that_listens_closes_what_is_idle_although_nobody_asks_anything(nursery: trio.Nursery) -> None:
    async with open_site(echo) as site, HttpClient(limits=ClientLimits(idle_seconds=0.01)) as client:
        await nursery.start(client.listen)
        assert (await client.request("GET", url(site))).status == 200
        with trio.fail_after(60):
            while site.hub.open_connections:
                await trio.sleep(0.01)
    nursery.cancel_scope.cancel()
