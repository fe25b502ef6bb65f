"""An isolated hook works like any other, and takes nothing down when it crashes or hangs."""

from __future__ import annotations

import gc
import os
import signal
import threading
from typing import Any

import pytest
import trio

from gateway.errors import Hold, HookCrashed, Reject, SettingError
from gateway.hooks.isolated import Isolated, isolated
from gateway.hooks.isolated_hop import FOR_THE_DAEMON, Ask, framed
from gateway.message.draft import Draft
from gateway.message.message import Message
from gateway.message.seal import RecordKind
from gateway.ports import HookContext, Kit

CONTEXT = HookContext("e-1", "inbound", "web", 1, 0.0)
CODE = """
import os
import subprocess
import sys
import time

import trio

from gateway.errors import Hold, Reject


def by_word(message, context):
    print("not an answer")
    match message.content:
        case "reject":
            raise ValueError("Invalid content")
        case "tell":
            raise Reject("no", tell="Not today.")
        case "hold":
            raise Hold("look at this")
        case "odd bytes":
            raise Reject("no file \\udcff", tell="Not \\udcff.")
        case "raise":
            raise KeyError("lost")
        case "wrong":
            message.content = 5
        case "die":
            os._exit(3)
        case "hang":
            while True:
                pass
        case "program":
            program = subprocess.Popen(["sleep", "3600"])
            program.terminate()
            message.content = str(program.wait())
        case "read":
            message.content = sys.stdin.read() + subprocess.check_output(["cat"], text=True)
        case "change":
            message.content = f"{context.envelope_id} {os.getpid()}"


async def waiting(message):
    await trio.sleep(0)
    if message.content == "hold":
        async with trio.open_nursery():
            raise Hold("look at this")
    message.metadata["waited"] = True
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    folder = tmp_path_factory.mktemp("config")
    (folder / "hooks").mkdir()
    (folder / "hooks" / "mine.py").write_text(CODE, "utf-8")
    (folder / "hooks" / "broken.py").write_text("import nothing_of_that_name\n", "utf-8")
    (folder / "hooks" / "deadly.py").write_text("import os\nos._exit(1)\n", "utf-8")
    return Kit(report=lambda notice: None, now=float, random=bytes, http=None, config_dir=str(folder))


@pytest.fixture(scope="module")
def hook(kit: Kit) -> Any:
    made = isolated("mine:by_word", kit)
    yield made
    made.close()


async def ask(hook: Isolated, content: str) -> Message | None:
    return await hook(Draft(Message(channel="web", content=content)), CONTEXT)


async def process_of(hook: Isolated) -> str:
    """Wait for a fresh process if need be, as messages with a long deadline do."""
    answer = await ask(hook, "change")
    assert answer is not None
    return answer.content.removeprefix("e-1 ")


async def test_it_changes_passes_and_rejects_like_any_hook(hook):
    assert await ask(hook, "pass") is None
    assert (await ask(hook, "change")).content.startswith("e-1 ")
    with pytest.raises(Reject, match="Invalid content"):
        await ask(hook, "reject")
    with pytest.raises(Reject) as refused:
        await ask(hook, "tell")
    assert refused.value.tell == "Not today."
    with pytest.raises(Hold, match="look"):
        await ask(hook, "hold")


async def test_what_it_raises_is_told_and_its_process_goes_on(hook):
    before = await process_of(hook)
    with pytest.raises(HookCrashed, match="KeyError: 'lost'"):
        await ask(hook, "raise")
    with pytest.raises(HookCrashed, match=r"DraftError.*message\.content"):
        await ask(hook, "wrong")
    assert await process_of(hook) == before


async def test_a_verdict_in_words_that_no_utf_8_can_hold_is_one_all_the_same(hook):
    with pytest.raises(Reject, match="no file \ufffd") as refused:
        await ask(hook, "odd bytes")
    assert refused.value.tell == "Not \ufffd."


async def test_nothing_over_there_reads_the_questions_away(hook):
    before = await process_of(hook)
    with trio.fail_after(30):
        answer = await ask(hook, "read")
    assert answer is not None
    assert answer.content == ""
    assert await process_of(hook) == before


async def test_a_process_that_dies_fails_one_message_and_is_replaced(hook):
    before = await process_of(hook)
    with pytest.raises(HookCrashed, match="ended"):
        await ask(hook, "die")
    assert await process_of(hook) != before


async def test_a_hook_that_hangs_is_killed_at_the_deadline_and_replaced(hook):
    before = await process_of(hook)
    with trio.move_on_after(0.05) as scope:
        await ask(hook, "hang")
    assert scope.cancelled_caught
    assert await process_of(hook) != before


async def test_the_loop_does_not_wait_for_a_process_to_be_gone(hook):
    await process_of(hook)
    process, waiting = hook._child.process, list[threading.Thread]()
    wait = process.wait
    process.wait = lambda: (waiting.append(threading.current_thread()), wait())
    with trio.move_on_after(0.05):
        await ask(hook, "hang")
    await process_of(hook)
    (thread,) = waiting
    assert thread is not threading.main_thread()
    await trio.to_thread.run_sync(thread.join)
    assert process.returncode == -signal.SIGKILL


async def test_a_deadline_that_passes_while_it_loads_leaves_it_loading(hook):
    with pytest.raises(HookCrashed):
        await ask(hook, "die")
    loading = hook._child
    with trio.move_on_after(0):
        await ask(hook, "pass")
    assert hook._child is loading
    assert await ask(hook, "pass") is None


@pytest.mark.parametrize("number", FOR_THE_DAEMON, ids=lambda number: number.name)
async def test_a_signal_to_every_process_of_the_gateway_does_not_end_it(hook, number):
    process = await process_of(hook)
    os.kill(int(process), number)
    assert await process_of(hook) == process


async def test_nor_does_one_that_comes_while_it_loads(hook):
    with pytest.raises(HookCrashed):
        await ask(hook, "die")
    loading = hook._child.process.pid
    os.kill(loading, signal.SIGTERM)
    assert await process_of(hook) == str(loading)


async def test_a_program_that_the_hook_starts_can_be_terminated(hook):
    answer = await ask(hook, "program")
    assert answer is not None
    assert answer.content == str(-signal.SIGTERM)


def test_one_that_hangs_ends_when_the_daemon_is_gone(kit):
    child = isolated("mine:by_word", kit)._child
    hanging = Ask(Message(channel="web", content="hang"), CONTEXT)
    os.write(child.asks, framed(child.sealer.seal(RecordKind.HOP, "ask-1", hanging)))
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(60) == 0


async def test_messages_take_their_turns(hook):
    answers: list[Message | None] = []

    async def one(number: int) -> None:
        answers.append(await ask(hook, "change" if number % 2 else "pass"))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    assert sum(answer is not None for answer in answers) == 10


async def test_an_async_hook_runs_on_trio_over_there(kit):
    made = isolated("mine:waiting", kit)
    answer = await ask(made, "x")
    assert answer is not None
    assert answer.metadata == {"waited": True}
    with pytest.raises(Hold, match="look at this"):  # which a nursery wraps
        await ask(made, "hold")
    process = made._child.process
    del made, answer
    gc.collect()
    assert process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("broken:hook", "nothing_of_that_name"),
        ("mine:missing", "by_word"),
        ("deadly:hook", "ended while loading"),
        ("sensitive_words", '"loop" or "slow"'),
    ],
)
def test_a_hook_that_cannot_be_isolated_is_told_when_it_is_built(kit, reference, told):
    with pytest.raises(SettingError, match=told):
        isolated(reference, kit)
