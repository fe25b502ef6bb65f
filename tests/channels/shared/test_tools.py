"""Tokens, pace, loops, webhook calls, markup: the small shared pieces."""

from __future__ import annotations

import re

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels.shared.calls import Checks, busy, check, hmac_is, refusal, stale
from gateway.channels.shared.loops import LoopGuard
from gateway.channels.shared.markup import HTML, PLAIN, Style, addressed, rendered, with_names
from gateway.channels.shared.pace import Bucket, Pace, Rate
from gateway.channels.shared.tokens import AccessToken, TokenCache
from gateway.channels.signatures import Forged, Genuine
from gateway.message.message import Message, Sender
from gateway.message.receipt import Deferred
from gateway.ports import Accepted, Arrived, Refused
from gateway.testing.channels import MOMENT, request
from protocols.http1.messages import Response

SLACK = Style(
    bold=("*", "*"),
    italic=("_", "_"),
    code=lambda t: f"`{t}`",
    fence=lambda t, _: f"```\n{t}\n```\n",
    link=lambda label, url: f"<{url}|{label}>",
    escape=lambda t: t.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
)


class Mint:
    """Gives tokens that last an hour, slowly."""

    def __init__(self):
        self.given, self.error = 0, None

    async def __call__(self):
        await trio.sleep(1)
        if self.error:
            raise self.error
        self.given += 1
        return AccessToken(f"t{self.given}", trio.current_time() + 3600)


async def test_many_who_need_a_token_cause_one_request(autojump_clock):
    mint = Mint()
    cache, got = TokenCache(mint, trio.current_time), []
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(lambda: note(cache, got))
    assert (got, mint.given) == (["t1"] * 20, 1)


async def note(cache, got):
    got.append(await cache.get())


async def test_a_token_is_renewed_before_it_ends_and_the_old_one_serves_meanwhile(autojump_clock):
    mint = Mint()
    cache = TokenCache(mint, trio.current_time)
    await cache.get()
    await trio.sleep(3400)
    got = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, cache, got)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(note, cache, got)
    assert sorted(got) == ["t1", "t2"]
    mint.error = OSError("down")
    await trio.sleep(3400)
    assert await cache.get() == "t2", "while it is valid, a failing renewal costs nothing"


async def test_a_failure_reaches_everybody_who_waits_and_the_next_caller_tries_again(autojump_clock):
    mint = Mint()
    mint.error = OSError("down")
    cache = TokenCache(mint, trio.current_time)
    with pytest.RaisesGroup(OSError, OSError):
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(survives, cache)
            nursery.start_soon(survives, cache)
    mint.error = None
    assert await cache.get() == "t1"


async def survives(cache):
    with trio.CancelScope(shield=True):
        await cache.get()


async def test_when_the_one_who_fetches_is_cancelled_another_fetches(autojump_clock, nursery):
    mint, got = Mint(), []
    cache = TokenCache(mint, trio.current_time)
    with trio.move_on_after(0.5):
        async with trio.open_nursery() as inner:
            inner.start_soon(cache.get)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(note, cache, got)
            await trio.sleep_forever()
    await trio.sleep(2)
    assert got == ["t1"]


async def test_a_refused_token_is_asked_for_anew(autojump_clock):
    cache = TokenCache(Mint(), trio.current_time)
    cache.forget(await cache.get())
    assert await cache.get() == "t2"
    assert "t2" not in repr(cache._token)


async def test_a_burst_goes_at_once_and_the_rest_at_its_pace(autojump_clock):
    pace, times = Pace(each=Rate(2.0, burst=4)), []
    for _ in range(6):
        assert await pace.turn("#room") is None
        times.append(trio.current_time())
    assert times == [0, 0, 0, 0, 2, 4]
    assert await pace.turn("#other") is None and trio.current_time() == 4


async def test_a_long_wait_goes_back_to_the_outbox_and_takes_nothing(autojump_clock):
    pace = Pace(all=Rate(10.0))
    assert await pace.turn("a") is None
    assert await pace.turn("b") == Deferred("The platform's rate limit is reached.", 10.0, offline=True)
    pace.hold(60.0)
    assert (await pace.turn("b")).after_seconds == 60.0


async def test_a_platform_that_throttles_one_conversation_holds_only_that(autojump_clock):
    pace = Pace(each=Rate(0.1, burst=3))
    pace.hold(30.0, "a")
    assert (await pace.turn("a")).after_seconds == 30.0
    assert await pace.turn("b") is None


@given(st.lists(st.floats(0, 10), max_size=50), st.floats(0.1, 5), st.integers(1, 5))
def test_no_window_ever_holds_more_than_the_rate_allows(gaps, seconds, burst):
    bucket, now, used = Bucket(Rate(seconds, burst)), 0.0, []
    for gap in gaps:
        now += gap
        used.append(now + bucket.take(now))
    for first, last in zip(used, used[burst:], strict=False):
        assert last - first >= seconds - 1e-6


def test_ourselves_programs_and_echoes_are_not_answered():
    guard = LoopGuard(["U1", ""])
    guard.sent("m9")
    said = Message(channel="c", id="m1", sender=Sender("U2"))
    assert guard.objection(said) == ""
    assert guard.objection(Message(channel="c", sender=Sender("U1"))) == "own"
    assert guard.objection(Message(channel="c", id="m9", sender=Sender("U2"))) == "echo"
    assert guard.objection(Message(channel="c", sender=Sender("B2", is_bot=True))) == "bot"
    assert LoopGuard(answer_bots=True).objection(Message(channel="c", sender=Sender("B2", is_bot=True))) == ""
    assert guard.objection(Message(channel="c")) == "", "nobody's message is not ours"


def checks(log, **changes):
    def step(name, value):
        def run(*_):
            log.append(name)
            return value

        return run

    steps = {"prove": Genuine("e1"), "handshake": None, "parse": [Message(channel="it")], "answer": Response(200)}
    return Checks(**{name: step(name, changes.get(name, value)) for name, value in steps.items()}, body_bytes=10)


def call(made, **fields):
    return check(request(**{"body": b"{}", **fields}), MOMENT, made, channel="it", report=lambda _: None)


def test_a_call_is_checked_in_the_one_order():
    log = []
    arrived = call(checks(log))
    assert isinstance(arrived, Arrived) and log == ["prove", "handshake", "parse"]
    assert arrived.answer([Accepted("x")]).status == 200


@pytest.mark.parametrize(
    ("changes", "fields", "status", "seen"),
    [
        ({}, {"method": "GET"}, 405, []),
        ({}, {"body": b"x" * 11}, 413, []),
        ({"prove": Forged("stale", "old")}, {}, 401, ["prove"]),
        ({"handshake": Response(299)}, {}, 299, ["prove", "handshake"]),
        ({"parse": Response(422)}, {}, 422, ["prove", "handshake", "parse"]),
        ({"parse": []}, {}, 200, ["prove", "handshake", "parse", "answer"]),
    ],
)
def test_the_first_objection_ends_a_call(changes, fields, status, seen):
    log = []
    assert call(checks(log, **changes), **fields).status == status
    assert log == seen


def test_macs_and_stamps():
    mac = b"v0=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert hmac_is(b"key", b"The quick brown fox jumps over the lazy dog", mac, prefix=b"v0=")
    assert not hmac_is(b"key", b"The quick brown fox jumps over the lazy dog.", mac, prefix=b"v0=")
    assert not hmac_is(b"key", b"", b"\xff")
    assert not stale(b"100", 399.0, 300) and stale(b"100", 401.0, 300) and stale(b"100", -201.0, 300)
    assert stale(b"-1", 0, 300) and stale(b"", 0, 300) and stale(b"9" * 12, 0, 300)


def test_a_full_gateway_asks_the_platform_to_come_again():
    refused = Refused("full", 4.6)
    assert refusal([Accepted("x"), refused]) is refused
    answer = busy(refused)
    assert answer.status == 503 and dict(answer.headers)["Retry-After"] == "5"


MARKDOWN = (
    "# Hi\n**bold** and *it* _it2_ `a < b` [site](https://e.org/?a=1&b) \\*kept\\*\n```py\nx < 1  # **no**\n```\nend"
)


def test_markdown_becomes_the_platforms_own():
    assert rendered(MARKDOWN, SLACK) == (
        "Hi\n*bold* and _it_ _it2_ `a &lt; b` <https://e.org/?a=1&b|site> *kept*\n```\nx &lt; 1  # **no**\n```\n\nend"
    )
    assert rendered(MARKDOWN, HTML) == (
        "<h4>Hi</h4><br>\n<strong>bold</strong> and <em>it</em> <em>it2</em> <code>a &lt; b</code> "
        '<a href="https://e.org/?a=1&amp;b">site</a> *kept*<br>\n'
        '<pre><code class="language-py">x &lt; 1  # **no**</code></pre><br>\nend'
    )


@pytest.mark.parametrize("text", ["snake_case_name and 2 * 3 * 4", "a ** b", "`open", "5*3*2", "__init__.py", "[x](y)"])
def test_what_only_looks_like_markup_stays(text):
    assert rendered(text, PLAIN) in (text, "init.py")


@pytest.mark.parametrize("mark", ["`", "~", "*", "_", "[", "# ", "```a", "[a](", "<", "\\"])
def test_a_long_run_of_marks_is_rendered_in_one_pass(mark):
    """A million of them; an expression that tries again after each would take hours."""
    assert rendered(mark * 1_000_000, HTML)


@given(st.text(alphabet="*_`~[]()\\# ab\n<&https://", max_size=200))
def test_any_text_can_be_rendered_and_html_is_always_escaped(text):
    made = rendered(text, HTML)
    assert "<" not in re.sub(r"</?(strong|em|del|h4|code|pre|a|br)\b[^<>]*>", "", made)


def test_mentions_become_names_and_addresses_are_understood():
    assert with_names("hi <@U1>", re.compile(r"<@(\w+)>"), lambda m: "@" + m[1].lower()) == "hi @u1"
    assert addressed("Oclaw: hello", ("oclaw",)) == "hello"
    assert addressed("@oclaw hello", ("oclaw",)) == "hello"
    assert addressed("oclaw hello", ("oclaw",)) is None
    assert addressed("oclawed: hello", ("oclaw",)) is None
