"""The webhook's exit over real sockets: a sink that takes, refuses, vanishes, or stands where it must not."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from gateway.channels.allowed import Destinations
from gateway.channels.shared.media import vetted_client
from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Unknown
from gateway.testing.channels import bench, delivery
from protocols.errors import AddressRefused
from protocols.http1.messages import Response
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp


@asynccontextmanager
async def open_sink(answer=None):
    requests = []

    def dispatch(exchange):
        requests.append(exchange.request)
        exchange.answer(answer or Response(200))

    async with trio.open_nursery() as nursery:
        listener = open_tcp("127.0.0.1", 0)[0]
        await nursery.start(Hub(dispatch, print).serve, [listener])
        yield f"http://127.0.0.1:{listener.port}/", requests
        nursery.cancel_scope.cancel()


async def deliver(url, *, allowed=None):
    settings = Settings(auth="none", reply_to_allowed=(allowed or url,), reply_body={"id": "$id", "reply": "$text"})
    it = WebhookChannel("it", settings, bench().kit)
    with trio.fail_after(60):
        return await it.deliver(delivery(Message(channel="it", content="hi", metadata={"id": 7, "reply_to": url})))


async def test_a_reply_arrives_at_the_address_the_payload_named():
    async with open_sink() as (url, requests):
        assert await deliver(url + "sink?a=1", allowed=url) == Delivered()
        assert (requests[0].method, requests[0].target) == ("POST", "/sink?a=1")
        assert json.loads(requests[0].body) == {"id": 7, "reply": "hi"}


@pytest.mark.parametrize(
    "answer, receipt",
    [
        (Response(410), Bounced),
        (Response(307, (("Location", "/elsewhere"),)), Bounced),
        (Response(429, (("Retry-After", "3"),)), Deferred),
        (Response(200, body=b"x" * 100_000), Delivered),
    ],
)
async def test_what_the_other_side_answers_is_what_the_outbox_hears(answer, receipt):
    async with open_sink(answer) as (url, requests):
        assert isinstance(await deliver(url), receipt)
        assert len(requests) == 1


async def test_a_refused_connection_is_tried_again_and_a_lost_answer_is_unknown():
    listener = open_tcp("127.0.0.1", 0)[0]
    url = f"http://127.0.0.1:{listener.port}/"
    listener.socket.close()
    assert isinstance(await deliver(url), Deferred)

    async def hang_up(stream):
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        (listening,) = await nursery.start(partial(trio.serve_tcp, hang_up, 0, host="127.0.0.1"))
        port = listening.socket.getsockname()[1]
        assert isinstance(await deliver(f"http://127.0.0.1:{port}/"), Unknown)
        nursery.cancel_scope.cancel()


async def test_an_address_inside_that_nobody_named_is_refused_after_the_name_is_resolved():
    async with open_sink() as (url, requests):
        with pytest.raises(AddressRefused):
            await vetted_client(Destinations(("https://example.org/",))).request("POST", url)
        assert requests == []
