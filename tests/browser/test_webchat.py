"""What a person sees and does in the web chat: a real browser, a real daemon, nothing else of the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, does_not_start, open_tab, requested, there_is_none, trouble
from tests.support.daemon import Daemon, daemon, scratch_folder
from tests.support.ports import held_port

pytestmark = pytest.mark.skipif(bool(there_is_none()), reason=there_is_none())

CONFIG = """
[gateway]
default_pipeline = "chat"
log_format = "json"

[listen]
addresses = ["127.0.0.1:{port}"]

[models.parrot]
provider = "echo"
template = "You said: {{text}} and then there were many more words, so that it takes some pieces to say them all"

[channels.webchat]
type = "webchat"
title = "Test desk"
"""
CONNECTED = "document.getElementById('status-text').textContent === 'Connected'"
# The log tells every time an answer is being written, and what it looked like meanwhile.
WATCH = """
    window.seen = [];
    new MutationObserver(() => {
        const busy = document.querySelector('#log .heard[aria-busy="true"] .body');
        if (busy) seen.push(busy.textContent);
    }).observe(document.getElementById('log'), {childList: true, subtree: true, attributes: true})
"""
# A gateway of the test's own in the place of the page's, from the next conversation on.
PLAYED = """
    window.WebSocket = class {
        static OPEN = 1;
        readyState = 1;
        constructor() { window.played = this; }
        send() {}
        close() {}
    };
    window.hear = (type, data) => played.onmessage({data: JSON.stringify({v: 1, type, id: "r1", seq: 1, data})});
    document.getElementById('fresh').click()
"""


@pytest.fixture(scope="module", autouse=True)
def browser() -> None:
    if why := does_not_start():
        pytest.skip(why)


@pytest.fixture
def folder() -> Iterator[Path]:
    with held_port() as port:  # a restart must find the page where it was
        files = {
            "oclaw.toml": CONFIG.format(port=port),
            "pipelines.d/chat.yaml": "pipeline:\n  - name: answer\n    model: parrot\n",
        }
        with scratch_folder(files) as made:
            yield made


@pytest.fixture
def gateway(folder: Path) -> Iterator[Daemon]:
    with daemon(folder) as running:
        yield running


def answered(words: str) -> str:
    """The condition that the message with these words is on the page, and marked as answered."""
    said = "[...document.querySelectorAll('#log .said')]"
    return f"{said}.some(each => each.innerText.includes({words!r}) && each.dataset.is === 'answered')"


async def say(tab: Tab, words: str) -> None:
    await tab.js("document.getElementById('text').focus()")
    await tab.type(words)
    await tab.press("Enter")


async def test_a_message_is_answered_in_pieces_and_marked_and_nothing_else_is_asked_for(gateway: Daemon) -> None:
    async with open_tab() as tab:
        await tab.open(gateway.url)
        await tab.until(CONNECTED)
        await tab.js(WATCH)
        await say(tab, "is anybody home?")
        await tab.until(answered("is anybody home?"))
        await tab.until("document.querySelector('#log .heard[aria-busy=\"false\"]')")
        assert "You said: is anybody home?" in await tab.js("document.querySelector('#log .heard').innerText")
        pieces = await tab.js("seen")
        assert len(set(pieces)) > 1, pieces
        assert all("You said: is anybody home?".startswith(piece[:20]) for piece in pieces)
        assert "Answered" in await tab.js("document.querySelector('#log .said .state').textContent")
        await tab.shot("desktop")
        addresses = {address.split("/")[2] for address in requested(tab) if not address.startswith("data:")}
        assert addresses == {f"127.0.0.1:{gateway.port}"}
        assert trouble(tab) == []


async def test_a_restart_of_the_gateway_loses_nothing_and_repeats_nothing(folder: Path) -> None:
    async with open_tab() as tab:
        with ExitStack() as first:
            gateway = first.enter_context(daemon(folder))
            await tab.open(gateway.url)
            await tab.until(CONNECTED)
            await say(tab, "before")
            await tab.until(answered("before"))
            gateway.kill()
        await tab.until("document.getElementById('status').dataset.state !== 'open'")
        await say(tab, "in between")
        await tab.until("document.querySelector('#log .said:last-of-type').dataset.is === 'sending'")
        await tab.shot("down")
        with daemon(folder):
            await tab.js("dispatchEvent(new Event('online'))")
            await tab.until(CONNECTED)
            await tab.until(answered("in between"))
            heard = await tab.js("[...document.querySelectorAll('#log .heard .body')].map(each => each.innerText)")
            assert [words.split(" and then")[0] for words in heard] == ["You said: before", "You said: in between"]
            await tab.call("Page.reload")
            await tab.until(CONNECTED)
            assert await tab.js("document.querySelectorAll('#log .heard').length") == 2


async def test_everything_can_be_done_with_the_keyboard(gateway: Daemon) -> None:
    async with open_tab() as tab:
        await tab.open(gateway.url)
        await tab.until(CONNECTED)
        assert await tab.js("document.activeElement.id") == "text", "a person may write at once"
        await tab.type("first line")
        await tab.press("Enter", shift=True)
        await tab.type("second line")
        await tab.press("Tab")
        assert await tab.js("document.activeElement.id") == "send"
        await tab.press(" ")
        await tab.until(answered("second line"))
        assert await tab.js("document.activeElement.id") == "text", "and write on"
        reached = []
        for _ in range(6):
            await tab.press("Tab", shift=True)
            reached.append(await tab.js("document.activeElement.id"))
            if reached[-1] == "fresh":
                break
        assert reached[-1] == "fresh" and "scroll" in reached, reached
        outline = "getComputedStyle(document.activeElement)"
        assert await tab.js(f"{outline}.outlineStyle !== 'none' || {outline}.boxShadow !== 'none'")
        await tab.press("Enter")
        await tab.until("document.querySelectorAll('#log .said').length === 0")
        await tab.until(CONNECTED)


async def test_a_phone_shows_all_of_it_and_a_finger_is_enough(gateway: Daemon) -> None:
    async with open_tab() as tab:
        await tab.be_a_phone()
        await tab.open(gateway.url)
        await tab.until(CONNECTED)
        await tab.tap("#text")
        await tab.type("a long word: " + "x" * 300)
        await tab.tap("#send")
        await tab.until(answered("a long word"))
        await tab.shot("phone")
        assert await tab.js("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out at the side"
        bottom = "document.getElementById('composer').getBoundingClientRect().bottom"
        assert await tab.js(f"{bottom} <= innerHeight"), "where one writes is in sight"
        button = "document.getElementById('send').getBoundingClientRect()"
        assert await tab.js(f"Math.min({button}.width, {button}.height)") >= 40, "a finger finds the button"
        assert trouble(tab) == []


async def test_the_files_of_an_answer_are_shown_and_a_network_that_was_away_for_a_moment_is_back(
    gateway: Daemon,
) -> None:
    async with open_tab() as tab:
        await tab.open(gateway.url)
        await tab.until(CONNECTED)
        for name, shown in (("offline", "Offline"), ("online", "Connected")):
            await tab.js(f"dispatchEvent(new Event('{name}'))")
            assert await tab.js("document.getElementById('status-text').textContent") == shown
        await tab.js(PLAYED)
        file = {"name": "plan.pdf", "url": "https://files.example/plan.pdf"}
        await tab.js(
            f"hear('welcome', {{recovered: true}}); hear('reply', {{text: 'Here.', attachments: [{json.dumps(file)}]}})"
        )
        heard = "document.querySelector('#log .heard .body')"
        assert (
            await tab.js(f"{heard}.innerText.replace(/\\s+/g, ' ')") == "Here. plan.pdf https://files.example/plan.pdf"
        )
        assert await tab.js(f"{heard}.querySelector('a').href") == file["url"]
        assert trouble(tab) == []


async def test_a_phone_that_slept_finds_its_dead_connection_at_once_and_a_text_that_is_cut_is_said_to_be(
    gateway: Daemon,
) -> None:
    async with open_tab() as tab:
        await tab.be_a_phone()
        await tab.open(gateway.url)
        await tab.until(CONNECTED)
        await tab.js(PLAYED)
        await tab.js("hear('welcome', {recovered: true}); window.first = played")
        await tab.js("Date.now = ((now) => () => now() + 3_600_000)(Date.now)")
        await tab.js("document.dispatchEvent(new Event('visibilitychange'))")
        assert await tab.js("document.getElementById('status-text').textContent") == "Reconnecting"
        await tab.until("played !== first")
        hint = "document.getElementById('hint')"
        assert await tab.js(f"{hint}.offsetHeight") == 0
        await tab.js(
            "document.getElementById('text').focus(); document.execCommand('insertText', false, 'x'.repeat(30_000))"
        )
        assert await tab.js("document.getElementById('text').value.length") == 20_000
        assert "no longer" in await tab.js(f"{hint}.innerText")
        await tab.js("document.execCommand('undo')")
        await tab.until(f"{hint}.offsetHeight === 0")
        assert trouble(tab) == []
