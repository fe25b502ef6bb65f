"""The chat page: what it allows itself, who gets it, and that it speaks the socket's frames."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from gateway.channels.webchat import Settings, WebchatChannel
from gateway.config.secret import Secret
from gateway.errors import SettingError
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred
from gateway.testing.channels import MOMENT, bench, delivery, request
from tests.channels.house import open_house


def channel(**given: object) -> WebchatChannel:
    return WebchatChannel("chat", Settings(**given), bench().kit)  # type: ignore[arg-type]


def page(it: WebchatChannel, **given: object):
    return it.front_page(request("GET", "/", **given), MOMENT)  # type: ignore[arg-type]


def test_the_policy_allows_the_page_s_own_script_and_style_and_nothing_else():
    got = page(channel())
    policy = dict(got.headers)["Content-Security-Policy"]
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", got.body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_page_needs_no_other_address():
    html = page(channel()).body.decode()
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", html)
    assert "{{" not in html


def test_the_script_is_read_by_browsers_of_the_years_before():
    """An expression that looks behind is a syntax error for Safari before 16.4 (2023), and then nothing of it runs."""
    (script,) = re.findall(r"<script>(.*?)</script>", page(channel()).body.decode(), re.DOTALL)
    assert "(?<=" not in script and "(?<!" not in script


def test_words_of_the_operator_are_text_and_not_markup():
    html = page(channel(title="<b>Desk</b>", greeting='"Hi" & welcome')).body
    assert b"&lt;b&gt;Desk&lt;/b&gt;" in html
    assert b"<b>Desk" not in html


@pytest.mark.parametrize(
    "given, asked, status, needed",
    [
        ({}, {}, 200, b'data-token="no"'),
        ({}, {"peer": "192.0.2.1"}, 403, b""),
        ({}, {"headers": (("Host", "evil.example"),)}, 403, b""),
        ({}, {"headers": (("X-Forwarded-For", "192.0.2.1"),)}, 403, b""),
        ({}, {"version": "1.0"}, 403, b""),
        ({"tokens": {"ada": Secret("env:T", "t")}}, {"peer": "192.0.2.1"}, 200, b'data-token="needed"'),
        ({"tokens": {"ada": Secret("env:T", "t")}, "local": False}, {}, 200, b'data-token="needed"'),
    ],
)
def test_the_page_is_for_this_machine_or_asks_for_a_token(given, asked, status, needed):
    got = page(channel(**given), **asked)
    assert got.status == status
    assert needed in got.body


def test_a_chat_that_nobody_could_use_is_refused():
    with pytest.raises(SettingError):
        Settings(local=False)


@pytest.mark.parametrize("path", ["/", "/chat"])
async def test_the_page_is_served_and_its_socket_answers(path):
    it = channel()
    async with open_house(it) as house:
        got = await house.get(path)
        assert got.status == 200
        assert b'data-socket="/channels/chat"' in got.body
        async with house.dial("chat", Origin=house.url) as client:
            assert (await client.hello(conversation="c1", acks=True))["type"] == "welcome"
            await client.say("message", id="m1", data={"text": "hello"})
            assert (await client.hear())["type"] == "ack"
            assert house.inlet("chat").messages[0].platform == "webchat"
            assert house.inlet("chat").woken == [Conversation("local/c1")]


async def test_a_page_that_is_closed_has_its_reply_deferred():
    reply = Message(channel="chat", content="x", conversation=Conversation("local/c1"))
    assert isinstance(await channel().deliver(delivery(reply)), Deferred)
