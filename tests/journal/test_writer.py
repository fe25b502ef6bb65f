"""What a turn of the loop submitted stands in the transaction before the writer's thread comes to end it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gateway.journal import Memory
from gateway.journal.clerk import Clerk, Settled
from gateway.journal.ledger import Ledger
from gateway.journal.writer import FEW, Writer
from gateway.records import Accept, Failed, InboundRecord, Outcome, Stored
from gateway.testing.journal_words import a_message
from protocols.transport.bell import BellGone


class Desk:
    """A writer whose thread is the test's own: `comes` lets it commit what there is and end."""

    def __init__(self) -> None:
        self.memory, self.in_turn = Memory(), False
        self.ends: list[Callable[[], object]] = []
        self.ledger = Ledger(self.memory.db, self.memory.commit, uptime=time.monotonic)
        self.settled: list[Settled] = []
        self.heard: list[str] = []
        self.gone = False
        clerk = Clerk(self.ledger, time.monotonic)
        self.writer = Writer(
            clerk, self._announce, self._behind, lambda: self.heard.append("hush"), lambda: self.heard.append("hear")
        )

    def turn(self, *messages: InboundRecord) -> None:
        self.in_turn = True
        for message in messages:
            self.writer.submit(Accept((message,)), lambda outcome: None)
        self.in_turn = False
        (end,) = self.ends
        self.ends.clear()
        end()

    def _announce(self, settled: list[Settled], failing: str) -> None:
        if self.gone:
            raise BellGone
        self.settled.extend(settled)
        self.heard.append("commit")

    def _behind(self, work: Callable[[], object]) -> bool:
        if self.in_turn:
            self.ends.append(work)
        return self.in_turn

    def comes(self) -> list[Outcome]:
        self.writer.stop()
        self.writer.run()
        return [outcome for _, outcome in self.settled]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_two_turns_submitted_is_one_transaction_that_the_thread_only_ends(desk: Desk) -> None:
    desk.turn(a_message("a"), a_message("b"))
    desk.turn(a_message("c"))
    assert desk.ledger.ahead == 3
    assert desk.memory.commits == 0
    assert desk.comes() == [(Stored(1),), (Stored(2),), (Stored(3),)]
    assert desk.memory.commits == 1


def test_what_is_submitted_between_turns_joins_what_stands_in_the_transaction(desk: Desk) -> None:
    desk.turn(a_message("a"))
    desk.writer.submit(Accept((a_message("b"),)), lambda outcome: None)
    assert desk.ledger.ahead == 1
    assert desk.comes() == [(Stored(1),), (Stored(2),)]


def test_a_work_that_the_tables_refuse_takes_no_other_with_it(desk: Desk) -> None:
    desk.turn(a_message("a"))
    desk.turn(a_message("a"), a_message("b"))  # an id is given once
    desk.turn(a_message("c"))
    assert desk.ledger.ahead == 0
    assert [isinstance(outcome, Failed) for outcome in desk.comes()] == [False, True, False, False]
    assert desk.memory.db.execute("SELECT id FROM inbound ORDER BY seq").fetchall() == [("a",), ("b",), ("c",)]


def test_a_disk_that_refuses_gives_nobody_the_outcome_that_stood_ahead(desk: Desk) -> None:
    desk.memory.fail_commits()
    desk.turn(a_message("a"))
    assert desk.ledger.ahead == 1
    assert all(isinstance(outcome, Failed) for outcome in desk.comes())
    assert desk.memory.db.execute("SELECT count(*) FROM inbound").fetchone() == (0,)


@pytest.mark.parametrize(("count", "heard"), [(1, ["hush", "commit", "hear"]), (FEW + 1, ["commit", "hear"])])
def test_after_a_small_commit_the_loop_may_sleep_until_the_thread_has_rested(
    desk: Desk, count: int, heard: list[str]
) -> None:
    desk.turn(*(a_message(f"{number}") for number in range(count)))
    desk.comes()
    assert desk.heard == heard


def test_while_the_disk_refuses_the_loop_hears_everything(desk: Desk) -> None:
    desk.memory.fail_commits()
    desk.turn(a_message("a"))
    assert all(isinstance(outcome, Failed) for outcome in desk.comes())
    assert desk.heard == ["commit", "hear"]


def test_a_thread_that_dies_lets_the_loop_hear_again(desk: Desk) -> None:
    desk.gone = True
    desk.turn(a_message("a"))
    with pytest.raises(BellGone):
        desk.comes()
    assert desk.heard == ["hush", "hear"]
