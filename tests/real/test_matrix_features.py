"""What Matrix has besides text, both ways, between a real Synapse and a real gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.real.matrix_town import BOT, text_is, town
from tests.real.synapse import SERVER

pytestmark = pytest.mark.real

# The smallest picture: one white pixel, as PNG.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe"
    "0def46b80000000049454e44ae426082"
)
SLOW = '[models.slow]\nprovider = "slow"\nseconds = 0.3\n'


async def test_formatted_text_and_pictures_go_both_ways(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        with trio.fail_after(150):
            anna = await place.person("anna")
            room, gallery = await anna.room(BOT), await anna.room(BOT)
            for each in (room, gallery):
                await anna.joined(each, BOT)
            html = {"format": "org.matrix.custom.html", "formatted_body": "<em>so</em> <code>x &lt; y</code>"}
            await anna.say(room, "so x < y", **html)
            answer = await anna.sees(text_is("you said: *so* `x < y`"))
            assert answer["content"]["formatted_body"] == "you said: <em>so</em> <code>x &lt; y</code>"

            rule = f'RULE "pictures"\nWHEN message.type == "image"\nTHEN forward("matrix", "{gallery}")\n'
            place.gateway.write("rules.d/pictures.rules", rule)
            assert "yes" in (told := place.gateway.command("reload")), told
            uri = await anna.upload(PIXEL, "image/png", "pixel.png")
            info = {"mimetype": "image/png", "size": len(PIXEL)}
            await anna.say(room, "pixel.png", msgtype="m.image", url=uri, info=info)
            picture = await anna.sees(
                lambda event: event["room_id"] == gallery and event["content"].get("msgtype") == "m.image"
            )
            content = picture["content"]
            assert content["url"] != uri, "the file went through the gateway's own store"
            assert (content["body"], content["info"]) == ("pixel.png", info)
            assert await anna.download(content["url"]) == PIXEL
            stored = list((tmp_path / "state" / "media").glob("*/*"))
            assert stored and all(PIXEL not in path.read_bytes() for path in stored), "sealed at rest"


async def test_a_reply_grows_by_edits_while_the_bot_types(tmp_path: Path) -> None:
    async with town(tmp_path, models=SLOW, model="slow", more="edit_seconds = 0.5") as place:
        with trio.fail_after(120):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            await anna.say(room, "one two three four five six")

            def final(event: dict[str, Any]) -> bool:
                return bool(event["content"].get("m.new_content", {}).get("body") == "one two three four five six")

            await anna.sees(final)
            ours = [event for event in anna.timeline if event["sender"] == BOT and event["type"] == "m.room.message"]
            first, *edits = ours
            assert first["content"]["body"].startswith("one") and len(edits) >= 2
            assert {edit["content"]["m.relates_to"]["event_id"] for edit in edits} == {first["event_id"]}
            assert any(BOT in users for _, users in anna.typing), "typing was shown"


async def test_a_stream_that_a_kill_cut_is_made_whole_in_the_same_message(tmp_path: Path) -> None:
    async with town(tmp_path, models=SLOW, model="slow", more="edit_seconds = 0.3") as place:
        with trio.fail_after(150):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            await anna.say(room, "one two three four five six seven eight")
            await anna.sees(lambda event: event["sender"] == BOT and event["content"].get("body", "").startswith("one"))
            await place.gateway.kill()
            await place.gateway.start()
            whole = "one two three four five six seven eight"
            await anna.sees(lambda event: event["content"].get("m.new_content", {}).get("body") == whole)
            await anna.say(room, "and")
            await anna.sees(lambda event: event["sender"] == BOT and "and" in event["content"].get("body", ""))
            assert len(anna.said_by(BOT, room)) == 2, "one message for each question"


async def test_in_groups_it_answers_when_mentioned_and_says_who_asked(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        with trio.fail_after(120):
            anna, bert = await place.person("anna"), await place.person("bert")
            room = await anna.room(BOT, bert.id, direct=False)
            await anna.joined(room, BOT)
            await bert.call("POST", f"/_matrix/client/v3/join/{room}", {})
            await anna.say(room, "not for you", **{"m.mentions": {}})
            await anna.say(room, "for you", **{"m.mentions": {"user_ids": [BOT]}})
            answer = await anna.sees(text_is("you said: for you"))
            assert answer["content"]["m.mentions"] == {"user_ids": [anna.id]}
            reply = {"m.relates_to": {"m.in_reply_to": {"event_id": answer["event_id"]}}}
            await bert.say(room, "and this", **reply)
            await anna.sees(text_is("you said: and this"))
            assert anna.said_by(BOT, room) == ["you said: for you", "you said: and this"]


async def test_an_encrypted_room_is_declined_once(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        with trio.fail_after(120):
            anna = await place.person("anna")
            encryption = {
                "type": "m.room.encryption",
                "state_key": "",
                "content": {"algorithm": "m.megolm.v1.aes-sha2"},
            }
            room = await anna.room(BOT, initial_state=[encryption])
            await anna.joined(room, BOT)
            sealed = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "sender_key": "y", "session_id": "z"}
            for _ in range(3):
                await anna.send(room, "m.room.encrypted", sealed)
            await anna.sees(lambda event: event["content"].get("msgtype") == "m.notice")
            other = await anna.room(BOT)
            await anna.joined(other, BOT)
            await anna.say(other, "in clear")
            await anna.sees(text_is("you said: in clear"))
            assert len(anna.said_by(BOT, room)) == 1


async def test_invitations_of_others_are_turned_down(tmp_path: Path) -> None:
    more = f'join = "listed"\ninviters = ["@anna:{SERVER}"]'
    async with town(tmp_path, more=more) as place:
        with trio.fail_after(120):
            anna, eve = await place.person("anna"), await place.person("eve")
            refused = await eve.room(BOT)
            welcome = await anna.room(BOT)
            await anna.joined(welcome, BOT)
            path = f"/_matrix/client/v3/rooms/{refused}/state/m.room.member/{BOT}"
            while (await eve.call("GET", path))["membership"] != "leave":
                await trio.sleep(0.1)


async def test_a_ghost_speaks_where_a_hook_says_so(tmp_path: Path) -> None:
    ghosts = (f"@_oclaw_.*:{SERVER}",)
    more = f"ghosts = {json.dumps(ghosts)}\n" + '[[hooks.outbound]]\nuse = "my_hooks:as_helper"'
    async with town(tmp_path, ghosts=ghosts, more=more, hook=AS_HELPER) as place:
        with trio.fail_after(120):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            await anna.say(room, "who are you?")
            answer = await anna.sees(text_is("you said: who are you?"))
            assert answer["sender"] == f"@_oclaw_helper:{SERVER}"


async def test_the_doctor_finds_what_is_right_and_what_is_wrong(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        told = place.gateway.command("doctor")
        assert f"we are {BOT}" in told and "reaches this gateway in" in told, told
        await place.gateway.stop()
        told = place.gateway.command("doctor")
        assert "The gateway must be running" in told, told
        await place.synapse.stop()
        told = place.gateway.command("doctor")
        assert "Nobody" in told or "refused" in told.lower(), told


async def test_status_tells_whether_the_homeserver_is_there_and_replies_wait_for_it(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        with trio.fail_after(150):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            while f"as {BOT}" not in place.gateway.command("status"):
                await trio.sleep(0.2)
            await place.synapse.stop()
            where = ("--channel", "matrix", "--conversation", room)
            await trio.to_thread.run_sync(place.gateway.command, "send", "are you there?", *where)
            while "disconnected" not in place.gateway.command("status"):
                await trio.sleep(0.5)
            await place.synapse.start()
            await anna.sees(text_is("you said: are you there?"))
            assert "disconnected" not in place.gateway.command("status")


async def test_many_long_messages_at_once_and_odd_bytes_do_not_stop_the_queue(tmp_path: Path) -> None:
    """After a pause the homeserver sends up to 100 events in one call: more than [listen] max_body_bytes."""
    async with town(tmp_path) as place:
        with trio.fail_after(120):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            await place.gateway.kill()
            for number in range(40):
                await anna.say(room, f"{number} " + "long " * 12_000 if number % 2 else f"{number} \x00\u202e\ufeff")
            await place.gateway.start()
            await anna.say(room, "last")
            await anna.sees(text_is("you said: last"))
            answers = [text for text in anna.said_by(BOT, room) if text.startswith("you said: ")]
            assert [int(text.split()[2]) for text in answers[:-1]] == list(range(40))


AS_HELPER = f"""
def as_helper(message):
    message.sender.id = "@_oclaw_helper:{SERVER}"
    return message
"""
