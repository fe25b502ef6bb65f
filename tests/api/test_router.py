"""Requests find their endpoint, and every one of them gets an answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.errors import BadField, NotPossible, NotThere
from gateway.api.router import Route, Router
from gateway.errors import JournalFull, Overloaded
from gateway.notices import RequestFailed
from protocols.http1.headers import Headers
from protocols.http1.messages import Peer, Request, Response


def echo(exchange, *parameters):
    return Response(200, (("Content-Type", "text/plain"),), "|".join(parameters).encode())


async def test_a_fixed_path_and_parameters_find_their_endpoints(serve):
    caller = await serve(
        [
            Route("/", {"GET": echo}),
            Route("/channels/{name}", {"GET": echo, "POST": echo}),
            Route("/channels/{name}/messages/{id}", {"GET": echo}),
        ]
    )
    assert (await caller.ask("GET", "/")).body == b""
    assert (await caller.ask("POST", "/channels/shop")).body == b"shop"
    assert (await caller.ask("GET", "/channels/shop/messages/e1?x=1")).body == b"shop|e1"
    assert (await caller.ask("GET", "/channels/caf%C3%A9")).body == "café".encode()
    assert (await caller.ask("GET", "/channels/a%2Fb")).body == b"a/b"


@pytest.mark.parametrize(
    "path", ["/nothing", "/channels", "/channels/", "/channels/a/", "//", "/channels//messages/x", "/channels/%ff"]
)
async def test_any_other_path_is_a_404(serve, path):
    caller = await serve(
        [Route("/channels/{name}", {"GET": echo}), Route("/channels/{name}/messages/{id}", {"GET": echo})]
    )
    answer = await caller.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json["status"] == 404


async def test_a_wrong_method_is_told_the_right_ones(serve):
    caller = await serve([Route("/status", {"GET": echo, "POST": echo})])
    answer = await caller.ask("DELETE", "/status")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_an_async_endpoint_answers_when_it_returns_while_others_are_served(serve):
    let_go = trio.Event()

    async def slow(exchange):
        await let_go.wait()
        return echo(exchange, "slow")

    caller = await serve([Route("/slow", {"GET": slow}), Route("/quick", {"GET": echo})])
    bodies = []
    async with trio.open_nursery() as nursery:

        async def ask_slow():
            bodies.append((await caller.ask("GET", "/slow")).body)

        nursery.start_soon(ask_slow)
        assert (await caller.ask("GET", "/quick")).status == 200
        assert bodies == []
        let_go.set()
    assert bodies == [b"slow"]


async def test_an_endpoint_may_answer_later_from_a_plain_call(serve):
    kept = []
    caller = await serve([Route("/later", {"POST": kept.append})])
    async with trio.open_nursery() as nursery:

        async def ask():
            assert (await caller.ask("POST", "/later")).status == 202

        nursery.start_soon(ask)
        while not kept:
            await trio.sleep(0.001)
        kept[0].answer(Response(202))


@pytest.mark.parametrize(
    "error, status, wait",
    [
        (NotThere("No message has the id x."), 404, None),
        (NotPossible("It is delivered."), 409, None),
        (BadField("limit is x."), 422, None),
        (Overloaded("too much is waiting", 2.5), 503, "3"),
        (JournalFull("no space left"), 503, "5"),
    ],
)
async def test_expected_errors_tell_the_caller_what_to_do(serve, error, status, wait):
    def plain(exchange):
        raise error

    async def grouped(exchange):
        async with trio.open_nursery():
            raise error

    caller = await serve([Route("/plain", {"GET": plain}), Route("/grouped", {"GET": grouped})])
    for path in ("/plain", "/grouped"):
        answer = await caller.ask("GET", path)
        assert (answer.status, answer.headers.get("retry-after")) == (status, wait)
    assert caller.notices == []


async def test_a_bug_is_a_500_without_detail_and_a_notice(serve):
    def plain(exchange):
        raise KeyError("secret thing")

    async def later(exchange, x):
        await trio.lowlevel.checkpoint()
        raise KeyError("secret thing")

    caller = await serve(
        [Route("/plain", {"GET": plain}), Route("/later/{x}", {"GET": later}), Route("/ok", {"GET": echo})]
    )
    for path in ("/plain", "/later/1"):
        answer = await caller.ask("GET", path)
        assert answer.status == 500 and b"secret" not in answer.body
    assert (await caller.ask("GET", "/ok")).status == 200
    assert [notice.where for notice in caller.notices] == ["GET /plain", "GET /later/{x}"]
    assert [type(notice) for notice in caller.notices] == [RequestFailed] * 2
    assert all(notice.error.startswith("KeyError: ") for notice in caller.notices), caller.notices


async def test_an_endpoint_is_cancelled_when_its_client_goes_away(serve):
    began, ended = trio.Event(), trio.Event()

    async def wait(exchange):
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    caller = await serve([Route("/wait", {"GET": wait})])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller.ask, "GET", "/wait")
        await began.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(60):
        await ended.wait()
    assert caller.notices == []


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["channels", "a", "", "%2F", "%ff", "%", "{name}", "messages", "é", ".."])), st.booleans()
)
def test_any_path_gets_exactly_one_answer(segments, head):
    answers = []
    routes = [Route("/channels/{name}", {"GET": echo}), Route("/channels/{name}/messages/{id}", {"GET": echo})]
    router = Router(routes, None, answers.append)
    path = "/" + "/".join(segments)
    request = Request("HEAD" if head else "GET", path, path, "", "1.1", Headers([]), b"", Peer("127.0.0.1"))
    router.dispatch(SimpleNamespace(request=request, answer=answers.append, answered=False))
    assert [answer.status in (200, 404) for answer in answers] == [True]


async def test_a_route_whose_first_segment_is_open_is_refused():
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError, match="must be fixed"):
            Router([Route("/{name}", {"GET": echo})], nursery, print)
