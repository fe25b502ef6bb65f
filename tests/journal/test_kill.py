"""kill -9 at any moment: everything whose callback ran is there, in order, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journal import open_journal
from gateway.message.lifecycle import InboundState

KILLS = 6

CHILD = """
import os, sys, trio
from gateway.journal import open_journal
from gateway.records import Accept, Stored
from gateway.testing.journal_words import a_message, a_reply, done_with

async def main(path, start):
    async with open_journal(path) as journal:
        number = start
        while True:
            name = f"m{number}"
            def accepted(outcome, name=name):
                if type(outcome[0]) is Stored:
                    os.write(1, f"accepted {name}\\n".encode())
                journal.submit(done_with(name, a_reply(f"{name}.0")), lambda _: os.write(1, f"done {name}\\n".encode()))
            journal.submit(Accept((a_message(name, key=name),)), accepted)
            number += 1
            await trio.sleep(0.0002)

trio.run(main, sys.argv[1], int(sys.argv[2]))
"""


@pytest.mark.parametrize("seed", range(KILLS))
async def test_what_was_called_back_survives_a_kill(seed: int, tmp_path: Path) -> None:
    chance, path, said = random.Random(seed), tmp_path / "journal.sqlite", []
    for start in (0, 1_000_000):
        said += _run_and_kill(path, start, commits=chance.randrange(1, 400))
    accepted = [line.split()[1] for line in said if line.startswith("accepted")]
    done = [line.split()[1] for line in said if line.startswith("done")]
    async with open_journal(path) as journal:
        finished = {row.id: row for row in await journal.inbound_in(InboundState.DONE, limit=10**6)}
        waiting = {row.id: row for row in await journal.inbound_in(InboundState.ACCEPTED, limit=10**6)}
        stored = finished | waiting
        assert set(accepted) <= set(stored)
        assert set(done) <= set(finished)
        numbers = [stored[name].seq for name in accepted]
        assert numbers == sorted(numbers)
        for name in finished:
            assert [reply.id for reply in await journal.deliveries_of(name)] == [f"{name}.0"]
        tally = await journal.tally()
        assert (tally["inbound.done"], tally["inbound.accepted"]) == (len(finished), len(waiting))


def _run_and_kill(path: Path, start: int, commits: int) -> list[str]:
    """Let a child write until it has said so many lines, then kill it in the middle of whatever it does."""
    command = [sys.executable, "-c", CHILD, str(path), str(start)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(commits)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]
