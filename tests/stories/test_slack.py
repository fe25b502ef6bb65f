"""A workspace and the whole daemon over real sockets: said once, answered once, in order, whoever is killed."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import pytest
import trio

from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient
from tests.channels.slack_words import COMMAND, SECRET, callback, post, told
from tests.support.daemon import Daemon, daemon, scratch_folder
from tests.support.ports import held_port
from tests.support.slack_stub import APP_TOKEN, BOT_TOKEN, SlackStub

CONFIG = """
[gateway]
default_pipeline = "echo"
log_format = "json"
[listen]
addresses = ["127.0.0.1:0"]
[flow]
in_groups = "always"
[delivery]
first_backoff_seconds = 0.2
max_backoff_seconds = 1.0
[models.echo]
provider = "echo"
template = "re: {{text}}"
[channels.slack]
type = "slack"
mode = "{mode}"
bot_token = "file:bot"
signing_secret = "file:signing"
app_token = "file:app"
base_url = "{base_url}"
stream = {stream}
message_seconds = 0.0
edit_seconds = 0.1
file_hosts = ["{host}"]
"""
# Ten times what the longest takes on a quiet machine.
LONG_SECONDS = 200
ROOMS = ("C1", "C2", "C3")
EACH = 10


class Town:
    """A workspace with a gateway in it that can be killed; `people` say things and repeat them until they are taken."""

    def __init__(self, stub: SlackStub, folder: Any) -> None:
        self.stub, self.folder, self._http = stub, folder, HttpClient()
        self.gateway: Daemon | None = None
        self._running: AbstractContextManager[Daemon] | None = None
        self.last_life = trio.Event()

    async def start(self) -> None:
        """Bring the gateway up."""
        self._running = daemon(self.folder)
        self.gateway = await trio.to_thread.run_sync(self._running.__enter__)

    async def kill(self) -> None:
        """SIGKILL."""
        running, self.gateway, self._running = self._running, None, None
        if running is not None:
            await trio.to_thread.run_sync(running.__exit__, None, None, None)

    async def knock(self, event: dict[str, Any]) -> None:
        """Tell of an event by HTTP, as Slack does: again until it is acknowledged, with the same ts."""
        while True:
            gateway = self.gateway
            if gateway is not None and await self._knocked(gateway, event):
                return
            await trio.sleep(0.1)

    async def _knocked(self, gateway: Daemon, event: dict[str, Any]) -> bool:
        import time

        asked = told(event, at=time.time())
        fields = tuple(each for each in asked.headers if each[0] != "Host")
        with trio.move_on_after(3):
            try:
                url = f"{gateway.url}/channels/slack"
                return (await self._http.request("POST", url, headers=fields, body=asked.body)).status == 200
            except HttpClientError:
                return False
        return False


@asynccontextmanager
async def town(mode: str, *, stream: bool = False, rules: str = "") -> AsyncIterator[Town]:
    with held_port() as port:
        async with _town(SlackStub(again_seconds=0.5, port=port), mode, stream=stream, rules=rules) as place:
            yield place


@asynccontextmanager
async def _town(stub: SlackStub, mode: str, *, stream: bool, rules: str) -> AsyncIterator[Town]:
    text = CONFIG.format(
        mode=mode, base_url=stub.base_url, stream=str(stream).lower(), host=f"http://127.0.0.1:{stub.port}"
    )
    files = {
        "oclaw.toml": text, "bot": BOT_TOKEN, "app": APP_TOKEN, "signing": SECRET,
        "pipelines.d/echo.yaml": 'pipeline: [{name: say, model: echo, input_mapping: ["user_message"]}]\n',
        "rules.d/main.rules": rules,
    }  # fmt: skip
    with scratch_folder(files) as folder:
        place = Town(stub, folder)
        try:
            yield place
        finally:
            with trio.CancelScope(shield=True):
                await place.kill()


def said(room: str, number: int) -> dict[str, Any]:
    return post(f"{room} {number}", channel=room, ts=f"1700000000.{ROOMS.index(room):03d}{number:03d}")


@pytest.mark.parametrize("mode", ["events", "socket"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_said_is_answered_where_it_was_said(mode, stream):
    with trio.fail_after(LONG_SECONDS):
        async with town(mode, stream=stream) as place, place.stub.open() as stub:
            await place.start()
            thread = post("in a thread", channel="C1", ts="1700000001.000100", thread_ts="1699999999.000100")
            for event in (post("hello there", channel="C1"), thread):
                if mode == "events":
                    await place.knock(event)
                else:
                    stub.tell(callback(event))
            await stub.until(lambda: sorted(stub.texts("C1")) == ["re: hello there", "re: in a thread"])
            threads = {each["text"]: each.get("thread_ts", "") for each in stub.posts}
            assert threads == {"re: hello there": "", "re: in a thread": "1699999999.000100"}


async def test_what_is_said_while_the_gateway_is_dead_and_slack_tells_nobody_is_answered_once():
    with trio.fail_after(LONG_SECONDS):
        async with town("socket") as place, place.stub.open() as stub:
            await place.start()
            first, second = (post(text, channel="C1", ts=f"{time.time():.6f}") for text in ("one", "two"))
            stub.tell(callback(first))
            await stub.until(lambda: stub.texts("C1") == ["re: one"])
            await place.kill()
            for event in (first, second):
                stub.stands(event)
            await stub.until(lambda: not stub.sockets)
            await place.start()
            await stub.until(lambda: "re: two" in stub.texts("C1"))
            stub.tell(callback(post("three", channel="C1", ts=f"{time.time():.6f}")))
            await stub.until(lambda: "re: three" in stub.texts("C1"))
            answers = [text for text in stub.texts("C1") if text.startswith("re: ")]
            assert answers == ["re: one", "re: two", "re: three"]


RULES = """
WHEN message.type == "image" THEN reply("a picture")
WHEN message.type == "reaction" THEN reply("thanks")
WHEN message.type == "command" THEN reply("at your command")
WHEN message.action == "delete" THEN reply("forgotten")
WHEN message.action == "edit" THEN reply("changed")
"""


async def test_a_picture_a_reaction_a_command_an_edit_and_a_delete_reach_the_rules_as_what_they_are():
    with trio.fail_after(LONG_SECONDS):
        async with town("socket", rules=RULES) as place, place.stub.open() as stub:
            await place.start()
            stub.files["F1"] = b"PNG"
            url = f"http://127.0.0.1:{stub.port}/files-pri/F1"
            file = {"id": "F1", "name": "cat.png", "mimetype": "image/png", "size": 3, "url_private": url}
            item = {"type": "message", "channel": "C2", "ts": "1700000000.000100"}
            before = {"type": "message", "user": "U0ANN00001", "text": "helo", "ts": "1700000000.000100"}
            changed = post("", channel="C4", subtype="message_changed", previous_message=before)
            events = [
                post("look", channel="C1", subtype="file_share", files=[file]),
                {"type": "reaction_added", "user": "U1", "reaction": "eyes", "item": item, "event_ts": "1.2"},
                {**changed, "message": {**before, "text": "hello"}},
                post("", channel="C5", subtype="message_deleted", deleted_ts="1.1", previous_message=before),
            ]
            for event in events:
                stub.tell(callback(event))
            stub.tell({**COMMAND, "channel_id": "C3"}, "slash_commands")
            heard = {"C1": "a picture", "C2": "thanks", "C3": "at your command", "C4": "changed", "C5": "forgotten"}
            await stub.until(lambda: {each["channel"]: each["text"] for each in stub.posts} == heard)
            assert [each.stat().st_size for each in (place.folder / "state" / "media").rglob("*") if each.is_file()]


@pytest.mark.parametrize("mode, stream", [("events", False), ("socket", False), ("events", True)])
async def test_killed_at_random_moments_nothing_is_lost_repeated_or_out_of_order(mode, stream):
    chance = random.Random(f"slack {mode} {stream}")
    with trio.fail_after(LONG_SECONDS):
        async with town(mode, stream=stream) as place, trio.open_nursery() as nursery:
            stub = place.stub
            nursery.start_soon(_up_and_down, stub, chance)
            nursery.start_soon(_lives, place, chance)
            for room in ROOMS:
                nursery.start_soon(_talk, place, room, mode, chance)
            expected = {room: [f"re: {room} {number}" for number in range(EACH)] for room in ROOMS}
            while any(stub.texts(room)[-1:] != expected[room][-1:] for room in ROOMS):
                await trio.sleep(0.1)
            # What would come twice comes now.
            await trio.sleep(1.5)
            assert {room: stub.texts(room) for room in ROOMS} == expected
            nursery.cancel_scope.cancel()


async def _talk(place: Town, room: str, mode: str, chance: random.Random) -> None:
    for number in range(EACH):
        if number == EACH - 1:
            # Every kill falls between the first word and the last.
            await place.last_life.wait()
        if mode == "events":
            await place.knock(said(room, number))
        else:
            place.stub.tell(callback(said(room, number)))
        if chance.random() < 0.2:
            place.stub.hangs_up("chat.postMessage", after=chance.random() < 0.5)
        await trio.sleep(chance.uniform(0.0, 0.6))


async def _lives(place: Town, chance: random.Random) -> None:
    for _ in range(2):
        await place.start()
        await trio.sleep(chance.uniform(0.2, 0.9))
        await place.kill()
    await place.start()
    place.last_life.set()
    await trio.sleep_forever()


async def _up_and_down(stub: SlackStub, chance: random.Random) -> None:
    while True:
        async with stub.open():
            await trio.sleep(chance.uniform(1.0, 2.0))
        await trio.sleep(chance.uniform(0.05, 0.4))
