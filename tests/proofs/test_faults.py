"""Faults around the real daemon: destinations, descriptors, signals; each time the account comes out even."""

from __future__ import annotations

import resource
import signal
import textwrap
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from gateway.testing.proof import open_scene
from gateway.testing.proof.life import open_life
from gateway.testing.proof.rounds import finished
from gateway.testing.proof.sender import Sender
from tests.proofs.talk import QUITE, accepts_more, talking, until

# -- destinations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["down", "garbage", "half-open", "slow", "hangs up"])
async def test_a_destination_in_trouble_gets_everything_once_it_is_well_again(manner, folder, survived):
    troubled = [True]

    async def answer(request):
        await trio.sleep(0.01)
        if not troubled[0]:
            return "200 OK"
        match manner:
            case "down":
                return "503 Service Unavailable"
            case "garbage":
                return "999 \x00\x01 no status at all"
            case "half-open":
                await trio.sleep(3600)
            case "slow":
                await trio.sleep(0.4)
                return "200 OK"
        return None

    async with open_scene(folder) as scene:
        scene.sink.manner = answer
        async with open_life(scene) as life, talking(scene, life):
            await accepts_more(scene, 100)
            troubled[0] = False
            await accepts_more(scene, 50)
        survived(f"destination: {manner}", scene.account.tally())


# -- what operators plug in -------------------------------------------------------------------------


async def test_a_hook_that_blocks_the_loop_is_named_and_moved_aside(folder, survived):
    hook = """
        import time

        def stare(message):
            if message.content.endswith("/5"):
                time.sleep(0.3)
    """
    more = '[hooks]\ninbound = [{ use = "staring:stare", policy = "skip" }]\n'
    async with open_scene(folder, more=more) as scene:
        (scene.folder / "hooks" / "staring.py").write_text(textwrap.dedent(hook))
        async with open_life(scene) as life:
            async with talking(scene, life):
                await accepts_more(scene, 200)
            assert life.events("HookOverran")
        survived("a hook that blocks the loop", scene.account.tally())


# `step` gets a message's text, "room/number".
TROUBLES = {
    "crashes": """
        def step(user_message):
            if int(user_message.rpartition("/")[2]) % 3 == 0:
                raise RuntimeError("a bug")
            return user_message
        """,
    "hangs": """
        import trio

        async def step(user_message):
            if int(user_message.rpartition("/")[2]) % 7 == 0:
                await trio.sleep_forever()
            return user_message
        """,
    "leaks": """
        import socket

        kept = []

        async def step(user_message):
            kept.append((bytearray(100_000), socket.socket()))
            return user_message
        """,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_pipeline_in_trouble_answers_all_the_same_and_holds_up_only_its_own(trouble, folder, survived):
    async with open_scene(folder) as scene:
        (scene.folder / "hooks" / "trouble.py").write_text(textwrap.dedent(TROUBLES[trouble]))
        step = "{name: it, function: 'trouble:step', deadline_seconds: 0.3, tries: 1}"
        (scene.folder / "pipelines.d" / "echo.yaml").write_text(f"pipeline: [{step}]\non_failure: Sorry.\n")
        async with open_life(scene) as life:
            async with talking(scene, life):
                await accepts_more(scene, 150)
            assert life.process.returncode is None
        survived(f"a pipeline that {trouble}", scene.account.tally())


# -- limits of the process --------------------------------------------------------------------------


async def test_a_daemon_without_descriptors_goes_on_when_it_has_some_again(folder, survived):
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    async with open_scene(folder) as scene, open_life(scene, limit=few) as life:
        async with talking(scene, life, rooms=4):
            await accepts_more(scene, 20)
            idle = [await trio.open_tcp_stream("127.0.0.1", life.port) for _ in range(60)]
            await trio.sleep(0.5)
            for stream in idle:
                await stream.aclose()
            await accepts_more(scene, 20)
        assert life.process.returncode is None
        survived("no file descriptors left", scene.account.tally())


@pytest.mark.parametrize("more_mib", [4, pytest.param(12, marks=pytest.mark.prove)])
async def test_a_daemon_without_memory_ends_with_a_sentence_and_the_next_one_delivers_everything(
    more_mib, folder, survived
):
    async def down(request):
        await trio.lowlevel.checkpoint()
        return "503 Service Unavailable"

    async with open_scene(folder) as scene:
        scene.sink.manner = down
        async with open_life(scene) as life, trio.open_nursery() as nursery:
            sender = Sender(scene.account, scene.secret, lambda: life.port, chance=Random(1))
            for number in range(40):
                nursery.start_soon(partial(sender.room, f"r{number}", pause=0))
            await accepts_more(scene, 300)  # every thread has its stack by now
            resource.prlimit(life.process.pid, resource.RLIMIT_AS, (taken(life, more_mib), resource.RLIM_INFINITY))
            with trio.fail_after(QUITE + 4 * more_mib):
                assert await life.process.wait() == 75
            nursery.cancel_scope.cancel()
        assert "memory" in str(life.log[-1])
        scene.sink.be_kind()
        async with open_life(scene):
            await finished(scene, QUITE)
        tally = scene.account.tally()
        assert tally.kept and tally.accepted > 300, tally
        survived("no memory left, then a start with enough", tally)


def taken(life, more_mib):
    pages = int(Path(f"/proc/{life.process.pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize() + more_mib * 2**20


# -- signals, and two at once -----------------------------------------------------------------------


async def test_sigterm_drains_exits_0_and_leaves_the_rest_in_the_journal(folder, survived):
    async def never(request):
        await trio.sleep_forever()

    async with open_scene(folder, gateway="") as scene:
        scene.sink.manner = never
        async with open_life(scene) as first:
            sender = Sender(scene.account, scene.secret, lambda: first.port, chance=Random(1))
            await sender.room("a", pause=0, messages=20)
            first.process.send_signal(signal.SIGTERM)
            with trio.fail_after(QUITE):
                assert await first.process.wait() == 0
        assert len(scene.account.waiting) == 20
        scene.sink.be_kind()
        async with open_life(scene):
            await finished(scene, QUITE)
        tally = scene.account.tally()
        assert tally.kept and tally.delivered == 20, tally
        survived("SIGTERM with a destination that hangs, then a start", scene.account.tally())


async def test_a_second_sigterm_ends_it_now(folder):
    async def never(request):
        await trio.sleep_forever()

    async with open_scene(folder) as scene:
        scene.sink.manner = never
        async with open_life(scene) as life:
            sender = Sender(scene.account, scene.secret, lambda: life.port, chance=Random(1))
            await sender.room("a", pause=0, messages=3)
            life.process.send_signal(signal.SIGTERM)
            await until(lambda: bool(life.events("GatewayDraining")))
            life.process.send_signal(signal.SIGTERM)
            with trio.fail_after(QUITE):
                assert await life.process.wait() == 128 + signal.SIGTERM


async def test_a_second_daemon_on_the_same_state_is_refused_with_75_and_harms_nothing(folder, survived):
    async with open_scene(folder) as scene, open_life(scene) as life:
        async with open_life(scene, wait_ready=False) as second:
            with trio.fail_after(QUITE):
                assert await second.process.wait() == 75
        async with talking(scene, life):
            await accepts_more(scene, 20)
        survived("a second daemon on the same state", scene.account.tally())


def test_the_account_of_a_proof_finds_what_is_wrong():
    from gateway.testing.proof import Account

    account = Account()
    for number in (1, 2, 3):
        account.sends(("a", number))
        account.acknowledges(("a", number))
    account.arrives(("a", 2), "x")
    account.arrives(("a", 1), "y")
    account.arrives(("a", 1), "y")
    account.arrives(("a", 2), "z")
    tally = account.tally()
    assert (tally.lost, tally.reordered, tally.repeated, tally.duplicated, tally.kept) == (1, 1, 1, 1, False)
