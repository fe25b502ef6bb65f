"""WebSocket clients: who may speak, and what is answered to frames that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.frames import BadFrame, NotAFrame, read_frame, read_hello, read_say
from gateway.channels.websocket import WebSocketChannel
from gateway.channels.websocket_settings import Settings
from gateway.config.secret import Secret
from gateway.errors import SettingError, Unsealable
from gateway.testing.channels import bench
from protocols.errors import HandshakeRefused
from tests.channels.house import open_house

BEARER = {"Authorization": "Bearer t0ken"}


def channel(**given: object) -> WebSocketChannel:
    given = {"tokens": {"ada": Secret("env:T", "t0ken")}, **given}
    return WebSocketChannel("it", Settings(**given), bench().kit)  # type: ignore[arg-type]


async def test_the_token_may_come_in_the_first_frame_instead():
    async with open_house(channel()) as house:
        async with house.dial() as client:
            assert (await client.hello(token="t0ken"))["type"] == "welcome"
        async with house.dial() as client:
            await client.say("hello", data={"token": "wrong"})
            assert await client.end() == 1008


async def test_a_client_that_says_nothing_is_sent_away():
    async with open_house(channel(hello_seconds=0.05)) as house, house.dial() as client:
        assert await client.end() == 1008


@pytest.mark.parametrize(
    "given, headers, status",
    [
        ({}, {"Authorization": "Bearer wrong"}, 401),
        ({}, {**BEARER, "Origin": "https://evil.example"}, 403),
        ({"origins": ("https://app.example",)}, {**BEARER, "Origin": "https://app.example"}, 101),
        ({"tokens": {}, "local": True}, {}, 101),
        ({"tokens": {}, "local": True}, {"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"tokens": {}, "local": True}, {"Origin": "https://evil.example"}, 403),
    ],
)
async def test_who_may_not_connect_hears_it_before_the_upgrade(given, headers, status):
    async with open_house(channel(**given)) as house:
        try:
            async with house.dial(**headers) as client:
                assert (await client.hello())["type"] == "welcome"
                assert status == 101
        except HandshakeRefused as refused:
            assert refused.status == status


@pytest.mark.parametrize(
    "frame, code",
    [
        (b"\x00", 1003),
        ("{", 1007),
        ('{"v":1,"type":"x","data":{"a":' + "[" * 3000, 1007),
        ('{"v":1,"type":"ping","x":"' + "a" * 2000 + '"}', 1009),
    ],
)
async def test_what_is_no_frame_closes_the_connection_with_the_code_for_it(frame, code):
    async with open_house(channel(frame_bytes=1024 if code == 1009 else 4096)) as house, house.dial(**BEARER) as client:
        await client.hello()
        await client.connection.send(frame)
        assert await client.end() == code


@pytest.mark.parametrize(
    "frame, why",
    [
        ({"v": 2, "type": "ping"}, "$.v"),
        ({"v": 1, "type": "shout"}, "shout"),
        ({"v": 1, "type": "message", "data": {"text": "x"}}, "id of its own"),
        ({"v": 1, "type": "message", "id": "m", "data": {"text": 5}}, "$.text"),
        ({"v": 1, "type": "message", "id": "m", "data": {}}, "text"),
    ],
)
async def test_a_frame_with_a_wrong_field_is_answered_with_an_error_that_names_it(frame, why):
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        await client.connection.send(json.dumps(frame))
        error = await client.hear()
        assert error["type"] == "error"
        assert why in error["data"]["why"]


async def test_who_keeps_sending_bad_frames_is_sent_away():
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        for _ in range(11):
            await client.say("shout")
        assert await client.end() == 1008


async def test_a_value_that_no_record_can_hold_is_an_error_of_that_frame():
    it = channel()
    async with open_house(it) as house, house.dial(**BEARER) as client:
        await client.hello()

        def unsealable(*_given):
            raise Unsealable("envelope 1 holds a value that cannot be stored.")

        house.inlet().offer = unsealable
        await client.say("message", id="m1", data={"text": "x", "metadata": {"n": 2**80}})
        assert (await client.hear())["id"] == "m1"


def test_settings_that_would_let_nobody_in_are_refused():
    with pytest.raises(SettingError):
        Settings()
    with pytest.raises(SettingError):
        Settings(tokens={"a/b": Secret("env:T", "x")})


FRAME = st.fixed_dictionaries(
    {"v": st.sampled_from([1, 1, 1, 2, "1"]), "type": st.sampled_from(["hello", "message", "ack"]) | st.text()},
    optional={
        "id": st.text() | st.none(),
        "seq": st.integers() | st.floats(),
        "ts": st.floats() | st.text(),
        "data": st.dictionaries(
            st.sampled_from(["text", "token", "last", "acks", "attachments", "metadata", "conversation"]),
            st.none() | st.text() | st.integers() | st.booleans() | st.lists(st.dictionaries(st.text(), st.text())),
        ),
    },
)


@given(st.text() | st.binary() | FRAME.map(json.dumps))
@settings(max_examples=100)
def test_any_frame_is_read_or_refused_by_name(received):
    try:
        frame = read_frame(received)
    except (BadFrame, NotAFrame):
        return
    for read in (read_hello, read_say):
        try:
            read(frame)
        except BadFrame:
            pass
