"""Requests that leave at once: sent only where nothing has to be waited for, and every one gets its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from protocols.errors import UnknownAfterSend, UnsafeHeader
from protocols.http1.messages import Response
from protocols.http_client.answers import HttpAnswer
from protocols.http_client.client import HttpClient
from protocols.http_client.limits import ClientLimits
from protocols.hub.exchange import Exchange
from tests.protocols.serving import Site, open_site


class Answers:
    """What came back, and an event for the next one."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._came = trio.Event()

    def __call__(self, answer: Any) -> None:
        self.all.append(answer)
        self._came.set()

    async def next(self) -> Any:
        with trio.fail_after(60):
            await self._came.wait()
        self._came = trio.Event()
        return self.all[-1]


@asynccontextmanager
async def listening(site: Site) -> AsyncIterator[HttpClient]:
    """A client that listens and has one kept connection to the site."""
    async with HttpClient() as client, trio.open_nursery() as nursery:
        await nursery.start(client.listen)
        await client.request("POST", url(site), body=b"first")
        yield client
        nursery.cancel_scope.cancel()


def url(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}/"


def echo(exchange: Exchange) -> None:
    exchange.answer(Response(200, (), exchange.request.body))


async def test_a_kept_connection_takes_requests_one_after_the_other() -> None:
    async with open_site(echo) as site, listening(site) as client:
        answers = Answers()
        for body in (b"a", b"b", b"c"):
            assert client.send_now("POST", url(site), body=body, then=answers)
            answer = await answers.next()
            assert isinstance(answer, HttpAnswer)
            assert (answer.status, answer.body) == (200, body)
        assert site.hub.open_connections == 1


async def test_it_is_declined_without_a_free_connection_or_a_listener() -> None:
    held: list[Exchange] = []

    def second_is_held(exchange: Exchange) -> None:
        if exchange.request.body == b"held":
            held.append(exchange)
        else:
            echo(exchange)

    answers = Answers()
    async with open_site(second_is_held) as site:
        async with HttpClient() as deaf:
            await deaf.request("POST", url(site), body=b"first")
            assert not deaf.send_now("POST", url(site), then=answers)
        async with listening(site) as client:
            assert client.send_now("POST", url(site), body=b"held", then=answers)
            assert not client.send_now("POST", url(site), then=answers)
            while not held:
                await trio.lowlevel.checkpoint()
            held[0].answer(Response(204))
            assert (await answers.next()).status == 204


async def test_a_connection_that_breaks_before_the_answer_leaves_the_outcome_unknown() -> None:
    async def raw(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await stream.receive_some()
        await stream.aclose()

    async with trio.open_nursery() as nursery, HttpClient() as client:
        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(raw, 0, host="127.0.0.1", task_status=task_status)
        )
        await nursery.start(client.listen)
        address = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        await client.request("POST", address, body=b"first")
        answers = Answers()
        assert client.send_now("POST", address, body=b"second", then=answers)
        assert isinstance(await answers.next(), UnknownAfterSend)
        nursery.cancel_scope.cancel()


async def test_a_deadline_and_a_stop_leave_the_outcome_unknown(autojump_clock: Any) -> None:
    def silent(exchange: Exchange) -> None:
        if exchange.request.body == b"first":
            echo(exchange)

    answers = Answers()
    async with open_site(silent) as site:
        async with listening(site) as client:
            assert client.send_now("POST", url(site), deadline=trio.current_time() + 1, then=answers)
            assert isinstance(await answers.next(), UnknownAfterSend)
        async with listening(site) as client:
            assert client.send_now("POST", url(site), then=answers)
        assert isinstance(answers.all[-1], UnknownAfterSend)
        assert len(answers.all) == 2


async def test_what_one_caller_raises_on_its_answer_is_told_and_costs_the_others_nothing() -> None:
    def silent(exchange: Exchange) -> None:
        if exchange.request.body != b"silent":
            echo(exchange)

    def breaks(_: Any) -> None:
        raise LookupError("a bug")

    answers, told = Answers(), Answers()
    async with open_site(silent) as site, HttpClient(failed=told) as client, trio.open_nursery() as nursery:
        await nursery.start(client.listen)
        await client.request("POST", url(site), body=b"first")
        assert client.send_now("POST", url(site), then=breaks)
        assert isinstance(await told.next(), LookupError)
        assert client.send_now("POST", url(site), deadline=trio.current_time(), body=b"silent", then=breaks)
        assert isinstance(await told.next(), LookupError)
        await client.request("POST", url(site), body=b"again")
        assert client.send_now("POST", url(site), body=b"me", then=answers)
        assert (await answers.next()).body == b"me"
        await client.request("POST", url(site), body=b"again")
        assert client.send_now("POST", url(site), body=b"silent", then=breaks)
        nursery.cancel_scope.cancel()
    assert len(told.all) == 3


async def test_what_a_socket_may_not_take_in_one_piece_is_declined_and_goes_the_ordinary_way() -> None:
    async with open_site(echo) as site, listening(site) as client:
        answers, body = Answers(), b"x" * 100_000
        assert not client.send_now("POST", url(site), body=body, then=answers)
        assert (await client.request("POST", url(site), body=body)).body == body
        assert answers.all == []


async def test_a_header_that_cannot_be_sent_keeps_no_connection() -> None:
    async with open_site(echo) as site, listening(site) as client:
        for _ in range(ClientLimits().connections_per_origin):
            with pytest.raises(UnsafeHeader):
                client.send_now("POST", url(site), headers=(("X", "a\nb"),), then=Answers())
            with trio.fail_after(60):
                assert (await client.request("POST", url(site))).status == 200
