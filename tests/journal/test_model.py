"""Random works against a model of twenty lines: same states, same order, same answers, also over crashes."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.journal import Memory, open_memory_journal
from gateway.message.lifecycle import DELIVERY, INBOUND, DeliveryState, InboundState
from gateway.records import Accept, HandOver, Impossible, Known, Moved, Revive, Settle, Stored, Work
from gateway.testing.journal_words import a_message, a_reply, committed, done_with, recovered

NAMES = [f"m{n}" for n in range(6)]
SENDS = [f"{name}.0" for name in NAMES]
BLAMED = NAMES[:3]
BORN = [DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STREAMING, DeliveryState.DELIVERED]
CRASH = "crash"

accepts = st.builds(
    lambda name, key, lane: Accept((a_message(name, key=key, lane=lane),)),
    st.sampled_from(NAMES),
    st.sampled_from(["", "k1", "k2"]),
    st.sampled_from(["one", "two"]),
)
hand_overs = st.builds(
    lambda name, state, born: HandOver(
        id=name, state=state, at=5.0, deliveries=(a_reply(f"{name}.0", state=born),) if born else ()
    ),
    st.sampled_from(NAMES),
    st.sampled_from(InboundState),
    st.sampled_from([None, *BORN]),
)
# Messages that were walked before they were accepted: both ends are one work, and end in any state a walk may end in.
walked = st.builds(
    lambda accept, state, born: Accept(
        accept.records,
        end=HandOver(
            id=accept.records[0].id,
            state=state,
            at=5.0,
            deliveries=(a_reply(f"{accept.records[0].id}.0", state=born),) if born else (),
        ),
    ),
    accepts,
    st.sampled_from(sorted(INBOUND[InboundState.ACCEPTED])),
    st.sampled_from([None, *BORN]),
)
settles = st.builds(
    lambda name, state, attempt: Settle(id=name, state=state, at=6.0, attempt=attempt, note=b"n"),
    st.sampled_from(SENDS),
    st.sampled_from(DeliveryState),
    st.integers(1, 3),
)
revives = st.builds(
    lambda name, to: Revive(id=name, to=to, at=7.0), st.sampled_from(NAMES), st.sampled_from(InboundState)
)
resends = st.builds(
    lambda name, to: Revive(id=name, to=to, at=7.0), st.sampled_from(SENDS), st.sampled_from(DeliveryState)
)
histories = st.lists(st.one_of(accepts, walked, hand_overs, settles, revives, resends, st.just(CRASH)), max_size=40)


class Model:
    """Dictionaries in order of their numbers; a row that re-enters moves to the end."""

    def __init__(self) -> None:
        self.inbound: dict[str, list[Any]] = {}  # id: state, attempt
        self.sends: dict[str, list[Any]] = {}  # id: state, attempt
        self.keys: dict[bytes, str] = {}

    def apply(self, work: Work) -> type:
        match work:
            case Accept(records=(record,)):
                if record.dedupe and record.dedupe in self.keys:
                    return Known
                if record.id in self.inbound:
                    return type(None)
                if record.dedupe:
                    self.keys[record.dedupe] = record.id
                self.inbound[record.id] = [InboundState.ACCEPTED, 1]
                if work.end is not None:
                    assert self.apply(work.end) is Moved
                return Stored
            case HandOver():
                row = self.inbound.get(work.id)
                clash = any(reply.id in self.sends for reply in work.deliveries)
                if not row or row[0] is not InboundState.ACCEPTED or work.state is InboundState.ACCEPTED or clash:
                    return Impossible
                row[0] = work.state
                self.sends |= {reply.id: [reply.state, 0] for reply in work.deliveries}
            case Settle():
                row = self.sends.get(work.id)
                if not row or work.state not in DELIVERY[row[0]]:
                    return Impossible
                row[0] = work.state
                if work.state not in (DeliveryState.SENDING, DeliveryState.STREAMING):
                    row[1] = work.attempt
            case Revive():
                inbound = isinstance(work.to, InboundState)
                rows, table = (self.inbound, INBOUND) if inbound else (self.sends, DELIVERY)
                row = rows.get(work.id)
                if not row or work.to not in table[row[0]]:
                    return Impossible
                row[0] = work.to
                if work.to in (InboundState.ACCEPTED, DeliveryState.PENDING):
                    row[1] = 1 if inbound else 0
                    rows[work.id] = rows.pop(work.id)
        return Moved

    def recover(self) -> None:
        for name, row in self.inbound.items():
            if row[0] is InboundState.ACCEPTED and name in BLAMED:
                row[1] += 1
        for row in self.sends.values():
            if row[0] in (DeliveryState.SENDING, DeliveryState.STREAMING):
                row[1] += 1


@settings(max_examples=100, deadline=None)
@given(histories)
@example([Accept((a_message("m0", key="k"),)), Accept((a_message("m0", key="k"),)), done_with("m0")])
def test_any_history_leaves_what_the_model_says(history: list[Work | str]) -> None:
    trio.run(run, history, clock=trio.testing.MockClock(autojump_threshold=0))


async def run(history: list[Work | str]) -> None:
    memory, model, rest = Memory(), Model(), [*history, CRASH]
    while rest:
        until = rest.index(CRASH)
        works, rest = rest[:until], rest[until + 1 :]
        async with open_memory_journal(memory) as journal:
            model.recover()
            inbound, sends = await recovered(journal, BLAMED)
            assert [row.id for row in inbound] == unfinished(model.inbound, {"accepted", "delayed"})
            assert [row.id for row in sends] == unfinished(model.sends, {"pending", "sending", "streaming", "deferred"})
            outcomes = await committed(journal, *works) if works else []
            for work, outcome in zip(works, outcomes, strict=True):
                expected = model.apply(work)
                answer = outcome[0] if isinstance(outcome, tuple) else outcome
                assert expected is type(None) or type(answer) is expected, (work, answer)
            await compare(journal, model)
            memory.pause_commits()
            journal.submit(Accept((a_message("lost"),)))
            memory.crash()
        memory.resume_commits()


def unfinished(rows: dict[str, list[Any]], states: set[str]) -> list[str]:
    return [name for name, row in rows.items() if row[0] in states]


async def compare(journal: Any, model: Model) -> None:
    tally = await journal.tally()
    for state in InboundState:
        rows = await journal.inbound_in(state, limit=99)
        assert [(row.id, row.attempt) for row in rows] == [(n, r[1]) for n, r in model.inbound.items() if r[0] is state]
        assert tally[f"inbound.{state}"] == len(rows)
    for send in DeliveryState:
        found = await journal.deliveries_in(send, limit=99)
        assert [(row.id, row.attempt) for row in found] == [(n, r[1]) for n, r in model.sends.items() if r[0] is send]
        assert tally[f"delivery.{send}"] == len(found)
