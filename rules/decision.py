"""What the engine answers: which rules matched a message, and what is to be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # argument values of every type, facts of the host

import msgspec

from rules import core
from rules.values import raw, read


class RuleRef(msgspec.Struct, frozen=True, gc=False):
    """A rule as decisions, counters and log lines name it. `name` is `file:line` if it has none."""

    ruleset: str
    name: str
    file: str
    line: int
    start: int
    end: int
    priority: int = 0
    shadow: bool = False
    stops: bool = True
    named: bool = True


class Action(msgspec.Struct, frozen=True):
    """A typed action: durations in seconds, sizes in bytes, `core.Rate`, `core.FieldRef`.

    `args` holds what was given, by parameter name. An argument read from the message is None
    where the message lacks it. `per` is the value of PER.
    """

    name: str
    args: Mapping[str, Any]
    rule: RuleRef
    per: Any = None


class Mismatch(msgspec.Struct, frozen=True):
    """A dynamic field held another type than the rules that test it want."""

    field: str
    wanted: str
    found: str
    rules: tuple[RuleRef, ...]


class Decision(msgspec.Struct, frozen=True):
    """The answer of one ruleset for one message.

    `matched` are the rules that fired, in rank order, `stopped` the one that ended the ruleset
    (None: it ran to its end, and OTHERWISE applied). `conflicts` are terminal actions that lost
    to a higher-ranked one; they are not in `actions`. `shadows` matched but only count.
    `fixed`: nothing in it was read from the facts, so whenever the same rules match it is handed
    out again, mostly the same object; a host may keep what it made of it.
    """

    actions: tuple[Action, ...] = ()
    matched: tuple[RuleRef, ...] = ()
    stopped: RuleRef | None = None
    conflicts: tuple[Action, ...] = ()
    shadows: tuple[RuleRef, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    fixed: bool = False


class Ready(msgspec.Struct, frozen=True, gc=False):
    """A rule once compiled: its reference and its checked actions, and the block of its file it was read in."""

    ref: RuleRef
    calls: tuple[core.Call, ...]
    block: int = 0


def decision_of(
    matched: list[Ready],
    otherwise: tuple[core.Call, ...],
    origin: RuleRef | None,
    facts: Any,
    mismatches: tuple[Mismatch, ...] = (),
) -> Decision:
    """The decision for the rules that matched, in rank order, up to the one that stops."""
    actions: list[Action] = []
    conflicts: list[Action] = []
    ended = stopped_by(matched)
    terminal, fixed = False, not mismatches
    firing = [(ready.ref, ready.calls) for ready in matched if not ready.ref.shadow]
    if ended is None and origin is not None:
        firing.append((origin, otherwise))
    for ref, calls in firing:
        for call in calls:
            lost = call.terminal and terminal
            terminal = terminal or call.terminal
            fixed = fixed and call.fixed
            (conflicts if lost else actions).append(action_of(call, ref, facts))
    return Decision(
        tuple(actions),
        tuple([ready.ref for ready in matched if not ready.ref.shadow]),
        ended,
        tuple(conflicts),
        tuple([ready.ref for ready in matched if ready.ref.shadow]),
        mismatches,
        fixed,
    )


def stopped_by(matched: list[Ready]) -> RuleRef | None:
    """The rule that ended the ruleset: only the last one can have."""
    last = matched[-1].ref if matched else None
    return last if last is not None and last.stops and not last.shadow else None


def action_of(call: core.Call, ref: RuleRef, facts: Any) -> Action:
    """The action with its computed arguments read from the facts."""
    args = {
        name: read(value.reading, facts) if isinstance(value, core.Computed) else value
        for name, value in call.arguments
    }
    per = None if call.per is None else raw(call.per, facts) if call.per.transform == "" else read(call.per, facts)
    return Action(call.name, args, ref, per)
