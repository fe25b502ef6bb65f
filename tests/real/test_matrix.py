"""A person on a real Synapse talks to a real gateway: everything arrives once and in order, whoever is killed."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.real.matrix_town import BOT, Town, text_is, town
from tests.real.matrix_user import User

pytestmark = pytest.mark.real


async def test_a_conversation(tmp_path: Path) -> None:
    """Invitation, text and answer, edit, reaction, thread, redaction; in one room with one person."""
    async with town(tmp_path) as place:
        with trio.fail_after(120):
            anna = await place.person("anna")
            room = await anna.room(BOT)
            await anna.joined(room, BOT)
            said = await anna.say(room, "hello **world** 漢字 🎉")
            answer = await anna.sees(text_is("you said: hello **world** 漢字 🎉"))
            assert answer["sender"] == BOT

            new = {"msgtype": "m.text", "body": "hello all"}
            relation = {"rel_type": "m.replace", "event_id": said}
            await anna.say(room, "* hello all", **{"m.new_content": new, "m.relates_to": relation})
            reaction = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
            await anna.send(room, "m.reaction", {"m.relates_to": reaction})
            thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": said}}
            await anna.say(room, "in a thread", **thread)
            threaded = await anna.sees(text_is("you said: in a thread"))
            assert threaded["content"]["m.relates_to"]["event_id"] == said
            await anna.redact(room, said)
            await anna.say(room, "still there?")
            await anna.sees(text_is("you said: still there?"))
            assert len(anna.said_by(BOT, room)) == 3, "edits, reactions and redactions are no questions"
            status = place.gateway.command("status")
            assert "connected" in status or "ready" in status, status


ROOMS, SAYINGS, BLOWS = 3, 30, 5


async def test_whoever_is_killed_nothing_is_lost_repeated_or_out_of_order(tmp_path: Path) -> None:
    """Homeserver and gateway are killed and stopped at random moments while people talk in several rooms."""
    seed = int(os.environ.get("OCLAW_SEED", random.randrange(1_000_000)))
    sys.stdout.write(f"OCLAW_SEED={seed}\n")  # shown when it fails
    chance = random.Random(seed)
    async with town(tmp_path) as place:
        with trio.fail_after(240):
            anna = await place.person("anna")
            rooms = [await anna.room(BOT) for _ in range(ROOMS)]
            for room in rooms:
                await anna.joined(room, BOT)
            async with trio.open_nursery() as nursery:
                for room in rooms:
                    nursery.start_soon(_talk, anna, room)
                nursery.start_soon(_strike, place, chance)
            for room in rooms:
                await anna.say(room, "last")
                await anna.sees(lambda event, room=room: event["room_id"] == room and text_is("you said: last")(event))
            for room in rooms:
                wanted = [*(f"you said: {number}" for number in range(SAYINGS)), "you said: last"]
                assert anna.said_by(BOT, room) == wanted


async def _talk(anna: User, room: str) -> None:
    for number in range(SAYINGS):
        await anna.say(room, str(number))
        await trio.sleep(0.15)


async def _strike(place: Town, chance: random.Random) -> None:
    for _ in range(BLOWS):
        await trio.sleep(chance.uniform(0.2, 1.5))
        victim: Any = chance.choice((place.gateway, place.gateway, place.synapse))
        await chance.choice((victim.kill, victim.stop))()
        await trio.sleep(chance.uniform(0, 0.5))
        await victim.start()
