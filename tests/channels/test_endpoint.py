"""`/channels/…` over a real hub: what is answered at once, what after the commit, what after the reply."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable
from datetime import UTC, datetime

import pytest
import standardwebhooks
import trio

from gateway.api.channels import door_to
from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings
from gateway.channels.websocket import Settings as WebSocketSettings
from gateway.channels.websocket import WebSocketChannel
from gateway.config.secret import Secret
from gateway.errors import Unsealable
from gateway.message.lifecycle import InboundState
from gateway.message.message import Message
from gateway.ports import Arrived, Refused, Result, Traits
from gateway.testing.channels import MOMENT, FakeInlet, bench
from protocols.http1.messages import Request, Response
from tests.channels.house import open_house

FIRST = "00000000-0000-7000-8000-000000000001"


def webhook(**given: object) -> WebhookChannel:
    given = {"auth": "none", "reply_body": {"id": "$id", "reply": "$text"}, **given}
    return WebhookChannel("it", Settings(**given), bench().kit, outside=lambda: bench().http)  # type: ignore[arg-type]


def result(state: InboundState, channel: str = "it", tell: str = "") -> Result:
    reply = Message(channel=channel, content="hi", metadata={"id": 7})
    return Result(envelope_id=FIRST, state=state, channel=channel, tell=tell, why="a secret rule", replies=(reply,))


async def test_a_message_is_answered_after_its_commit_with_its_id():
    async with open_house(webhook()) as house, trio.open_nursery() as nursery:
        house.inlet().held = True
        answers = []

        async def post():
            answers.append(await house.post("/channels/it", {"text": "x", "id": "a"}))

        nursery.start_soon(post)
        while not house.inlet().waiting:
            await trio.sleep(0.001)
        assert answers == []
        house.inlet().commit()
        house.inlet().held = False
        again = await house.post("/channels/it", {"text": "x", "id": "a"})
    assert (answers[0].status, json.loads(answers[0].body)) == (202, {"id": FIRST})
    assert json.loads(again.body) == {"id": FIRST, "duplicate": True}


class Routed(WebhookChannel):
    """A webhook on a path that its platform chose; it claims the requests that name it."""

    paths = ("/platform/",)
    body_bytes = 0

    def claims(self, request: Request) -> bool:
        return request.query == self.name

    def front_page(self, request: Request, now: float) -> Response:
        return Response(200, (), b"a page")


def routed(name: str) -> Routed:
    settings = Settings(auth="none", reply_body={"id": "$id", "reply": "$text"})
    return Routed(name, settings, bench().kit, outside=lambda: bench().http)


async def test_a_channel_that_is_being_changed_says_when_to_come_again_wherever_it_is_called():
    async with open_house(routed("it"), routed("other")) as house:
        house.changing["it"] = house.doors.pop("it")
        for path in ("/channels/it", "/platform/x?it"):
            busy = await house.post(path, {"text": "x"})
            assert (busy.status, busy.headers.get("Retry-After")) == (503, "1"), path
        assert (await house.post("/platform/x?other", {"text": "x"})).status == 202
        assert (await house.post("/channels/nobody", {"text": "x"})).status == 404
        del house.doors["other"]
        assert [(await house.get(path)).status for path in ("/", "/platform/x", "/channels/it")] == [503] * 3
        house.changing.clear()
        assert [(await house.get(path)).status for path in ("/", "/platform/x", "/channels/it")] == [404] * 3


async def test_a_gateway_that_is_full_says_when_to_come_again():
    async with open_house(webhook()) as house:
        house.inlet().refusing = Refused("overloaded", 1.2)
        got = await house.post("/channels/it", {"text": "x"})
        assert (got.status, got.headers.get("Retry-After")) == (503, "2")
        assert got.headers.get("Content-Type") == "application/problem+json"


async def test_a_full_gateway_refuses_before_it_looks_at_what_came():
    async with open_house(webhook(), full=lambda: Refused("overloaded", 2.0)) as house:
        got = await house.post("/channels/it", "no message at all")
        assert (got.status, got.headers.get("Retry-After"), json.loads(got.body)["reason"]) == (503, "2", "overloaded")
        assert (await house.get("/channels/it")).status == 405


async def test_what_waited_unread_for_too_long_is_refused_and_looking_up_is_not():
    async with open_house(webhook(), reluctant=lambda: True) as house:
        got = await house.post("/channels/it", {"text": "x"})
        assert (got.status, got.headers.get("Retry-After")) == (503, "1")
        house.results.put(result(InboundState.DONE))
        assert (await house.get(f"/channels/it/messages/{FIRST}")).status == 200
        assert house.inlet().messages == []


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("POST", "/channels/nobody", 404),
        ("GET", "/channels/it", 405),
        ("PUT", "/channels/it", 405),
        ("GET", "/channels/it/else", 404),
        ("POST", f"/channels/it/messages/{FIRST}", 405),
        ("GET", f"/channels/it/messages/{FIRST}", 404),
        ("GET", "/channels/it/messages/", 404),
        ("GET", "/", 404),
    ],
)
async def test_what_is_not_there_or_not_meant_so_is_a_problem_document(method, path, status):
    async with open_house(webhook()) as house:
        got = await house.http.request(method, house.url + path)
        assert got.status == status
        assert json.loads(got.body)["status"] == status
        assert (got.headers.get("Allow") != "") == (status == 405)


async def test_a_channel_that_was_replaced_or_removed_gets_nothing_more():
    async with open_house(webhook()) as house:
        await house.post("/channels/it", {"text": "x", "id": 1})
        old = house.inlet()
        house.doors["it"] = door_to(webhook(), FakeInlet())
        await house.post("/channels/it", {"text": "y", "id": 2})
        assert ([m.content for m in old.messages], [m.content for m in house.inlet().messages]) == (["x"], ["y"])
        del house.doors["it"]
        assert (await house.post("/channels/it", {"text": "z", "id": 3})).status == 404


async def test_a_caller_that_waits_gets_the_replies_in_the_answer():
    async with open_house(webhook()) as house:
        house.results.put(result(InboundState.DONE))
        got = await house.post("/channels/it", {"text": "x", "id": 7}, Prefer="wait=5")
        assert (got.status, got.headers.get("Preference-Applied")) == (200, "wait")
        assert json.loads(got.body) == {"id": FIRST, "state": "done", "replies": [{"id": 7, "reply": "hi"}]}
        again = await house.post("/channels/it", {"text": "x", "id": 7}, Prefer="wait=5")
        assert (again.status, again.body) == (200, got.body)
        assert len(house.inlet().messages) == 1


async def test_a_duplicate_attaches_to_the_message_that_is_still_under_way():
    async with open_house(webhook()) as house, trio.open_nursery() as nursery:
        await house.post("/channels/it", {"text": "x", "id": 7})

        async def wait_for_it():
            got = await house.post("/channels/it", {"text": "x", "id": 7}, Prefer="wait=5")
            assert (got.status, json.loads(got.body)["replies"]) == (200, [{"id": 7, "reply": "hi"}])

        nursery.start_soon(wait_for_it)
        await trio.sleep(0.02)
        house.results.put(result(InboundState.DONE))


@pytest.mark.parametrize("path", ["/channels/it", "/channels/it/"])
async def test_a_reply_that_is_not_ready_in_time_can_be_fetched_later(path):
    async with open_house(webhook(longest_wait_seconds=0.01)) as house:
        got = await house.post(path, {"text": "x", "id": 7}, Prefer="wait=30")
        assert (got.status, json.loads(got.body)) == (202, {"id": FIRST, "state": "accepted"})
        place = got.headers.get("Location")
        house.results.put(result(InboundState.ACCEPTED))
        assert (await house.get(place)).status == 202
        house.results.put(result(InboundState.DONE))
        assert json.loads((await house.get(place)).body)["replies"] == [{"id": 7, "reply": "hi"}]


async def test_a_rejected_message_is_a_problem_that_tells_what_was_meant_for_the_sender():
    async with open_house(webhook()) as house:
        house.results.put(result(InboundState.REJECTED, tell="Please be kind."))
        got = await house.post("/channels/it", {"text": "x", "id": 7}, Prefer="wait=5")
        assert got.status == 403
        assert json.loads(got.body)["detail"] == "Please be kind."
        assert b"secret" not in got.body


async def test_a_result_is_shown_only_to_callers_of_its_own_channel():
    async with open_house(webhook()) as house:
        house.results.put(result(InboundState.DONE, channel="other"))
        assert (await house.get(f"/channels/it/messages/{FIRST}")).status == 404
    async with open_house(webhook(auth="bearer", tokens=_tokens())) as house:
        house.results.put(result(InboundState.DONE))
        assert (await house.get(f"/channels/it/messages/{FIRST}")).status == 401


async def test_a_result_may_be_asked_for_with_a_signature_over_nothing():
    key = "whsec_" + base64.b64encode(bytes(32)).decode()
    now = datetime.fromtimestamp(MOMENT, UTC)
    async with open_house(webhook(auth="signature", secrets=(Secret("env:S", key),))) as house:
        house.results.put(result(InboundState.DONE))
        sign = standardwebhooks.Webhook(key).sign("ask_1", now, "")
        proof = (("webhook-id", "ask_1"), ("webhook-timestamp", str(int(MOMENT))), ("webhook-signature", sign))
        url = f"{house.url}/channels/it/messages/{FIRST}"
        assert (await house.http.request("GET", url, headers=proof)).status == 200
        assert (await house.http.request("GET", url, headers=proof[:2])).status == 401


@pytest.mark.parametrize(
    "value, pointer", [(f'{{"n":[0,{2**80}]}}', "/x~1y/n/1"), ("[" * 400 + "]" * 400, "/x~1y" + "/0" * 199)]
)
async def test_a_value_that_no_record_can_hold_is_named(value, pointer):
    async with open_house(webhook()) as house:
        house.inlet().offer = _unsealable
        body = f'{{"text":"x","x/y":{value}}}'.encode()
        headers = (("Content-Type", "application/json"),)
        got = await house.http.request("POST", house.url + "/channels/it", headers=headers, body=body)
        assert got.status == 422
        assert json.loads(got.body)["errors"][0]["pointer"] == pointer


async def test_a_door_that_fails_costs_one_request(monkeypatch):
    async with open_house(webhook()) as house:
        with monkeypatch.context() as broken:
            broken.setattr(house.inlet(), "offer", _breaks, raising=False)
            assert (await house.post("/channels/it", {"text": "x"})).status == 500
        assert [type(notice).__name__ for notice in house.notices] == ["RequestFailed"]
        assert (await house.post("/channels/it", {"text": "x"})).status == 202


def _breaks(*_given):
    raise KeyError("a bug of the door")


def _unsealable(*_given):
    raise Unsealable("envelope 1 holds a value that cannot be stored.")


class Slow:
    """A platform whose check needs the network, and whose answer to a commit is broken at will."""

    name, platform, traits = "it", "slow", Traits()

    def __init__(
        self,
        *,
        at_once: BaseException | None = None,
        check: BaseException | None = None,
        answer: BaseException | None = None,
    ) -> None:
        self.at_once, self.check, self.broken = at_once, check, answer

    async def run(self, inlet, *, task_status):
        task_status.started()
        await trio.sleep_forever()

    def receive(self, request: Request, now: float) -> Awaitable[Arrived | Response]:
        if self.at_once:
            raise self.at_once
        return self._receive()

    async def _receive(self) -> Arrived | Response:
        await trio.lowlevel.checkpoint()
        if self.check:
            raise self.check
        return Arrived((Message(channel="it", content="x"),), self._answer)

    def _answer(self, acceptances) -> Response:
        if self.broken:
            raise self.broken
        return Response(200)


EXIT = SystemExit(3)


@pytest.mark.parametrize(
    "channel, told",
    [
        (Slow(), ""),
        (Slow(check=ValueError("x")), "RequestFailed"),
        (Slow(answer=KeyError("x")), "RequestFailed"),
        (Slow(at_once=EXIT), "DispatchCrashed"),
        (Slow(at_once=asyncio.CancelledError()), "DispatchCrashed"),
        (Slow(check=EXIT), "RequestFailed"),
        (Slow(check=BaseExceptionGroup("a nursery's", [EXIT])), "RequestFailed"),
        (Slow(check=asyncio.CancelledError()), "RequestFailed"),
        (Slow(answer=EXIT), "RequestFailed"),
        (Slow(at_once=asyncio.CancelledError()), "DispatchCrashed"),
        (Slow(answer=asyncio.CancelledError()), "RequestFailed"),
    ],
)
async def test_a_check_that_waits_is_waited_for_and_a_broken_channel_harms_one_request(channel, told):
    async with open_house(channel) as house:
        status = 500 if told else 200
        got = await house.post("/channels/it", {})
        assert got.status == status
        assert b"ValueError" not in got.body
        assert [type(notice).__name__ for notice in house.notices] == ([told] if told else [])
        assert (await house.post("/channels/it", {})).status == status


class Dials:
    """A channel that connects by itself, and has nothing for HTTP."""

    name, platform, traits = "it", "dials", Traits()

    async def run(self, inlet, *, task_status):
        task_status.started()
        await trio.sleep_forever()


async def test_only_a_channel_that_speaks_websocket_says_so():
    async with open_house(Dials()) as house:
        for got in (await house.get("/channels/it"), await house.post("/channels/it", {})):
            assert (got.status, "Upgrade" in got.headers) == (404, False)
    settings = WebSocketSettings(tokens={"shop": Secret("env:T", "t0ken")})
    async with open_house(WebSocketChannel("it", settings, bench().kit)) as house:
        got = await house.get("/channels/it")
        assert (got.status, got.headers.get("Upgrade")) == (426, "websocket")
        assert got.headers.has_token("Connection", "Upgrade")


def _tokens():
    return (Secret("env:T", "t0ken"),)
