"""Say why a message was decided as it was: every leaf of every candidate, with the value it saw."""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

import msgspec

from rules import core
from rules.decision import Decision, RuleRef
from rules.interpret import holds
from rules.reread import Reader
from rules.ruleset import Ruleset
from rules.tokens import quote
from rules.values import GUARDS, raw
from rules.written import written

# Rules that did not match are shown in rank order up to this many; a matching one is always shown.
SHOWN_MISSES = 50
_SHOWN_VALUE = 60


class Answer(msgspec.Struct, frozen=True):
    """One leaf: as written, the value it saw, whether it held, and a note on a wrong type."""

    source: str
    value: str
    held: bool
    note: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """One rule: `outcome` is fired, shadow, late (it matches, but another stopped before) or no match."""

    rule: RuleRef
    outcome: str
    answers: tuple[Answer, ...]


class Explanation(msgspec.Struct, frozen=True):
    """A decision, its actions as they would be written, and the verdict on its candidates; `hidden` rules did not
    match either."""

    ruleset: str
    decision: Decision
    verdicts: tuple[Verdict, ...]
    hidden: int = 0
    actions: tuple[str, ...] = ()

    def render(self) -> str:
        stopped = self.decision.stopped
        end = f'stopped by "{stopped.name}"' if stopped else "ran to its end"
        lines = [f"{self.ruleset}: {end}"]
        for text, action in zip(self.actions, self.decision.actions, strict=True):
            lines.append(f'  {text} by "{action.rule.name}"')
        for verdict in self.verdicts:
            rule = verdict.rule
            lines.append(f'{verdict.outcome}: "{rule.name}" ({rule.file}:{rule.line})')
            for answer in verdict.answers:
                sign = "✓" if answer.held else "✗"
                lines.append(f"  {sign} {answer.source}   {answer.value}{answer.note and f'   ({answer.note})'}")
        if self.hidden:
            lines.append(f"and {self.hidden} more rules that do not match")
        return "\n".join(lines)


def explain(ruleset: Ruleset, name: str, facts: Any, moment: float, *, misses: int = SHOWN_MISSES) -> Explanation:
    """Why the ruleset `name` decides as it does on these facts."""
    decision = ruleset.decide(name, facts, moment)
    engine = ruleset.engines.get(name)
    if engine is None:
        return Explanation(name, decision, ())
    reader = Reader(ruleset)
    matching = set(engine.every(facts, moment))
    verdicts: list[Verdict] = []
    left = misses
    for rank in engine.rules:
        if rank not in matching:
            left -= 1
            if left < 0:
                continue
        ref = engine.rules[rank].ref
        outcome = _outcome(ref, decision) if rank in matching else "no match"
        verdicts.append(Verdict(ref, outcome, _answers(reader, ref, facts, moment)))
    actions = tuple([written(action, engine.scope) for action in decision.actions])
    return Explanation(name, decision, tuple(verdicts), max(0, -left), actions)


def _outcome(ref: RuleRef, decision: Decision) -> str:
    if ref in decision.matched:
        return "fired"
    return "shadow" if ref in decision.shadows else "late"


def _answers(reader: Reader, ref: RuleRef, facts: Any, moment: float) -> tuple[Answer, ...]:
    read = reader.read(ref)
    answers: list[Answer] = []

    def witness(leaf: core.Leaf | core.Window | core.Constant, value: Any, held: bool) -> None:  # noqa: FBT001
        source = " ".join(read.text[leaf.start : leaf.end].split())
        if isinstance(leaf, core.Leaf):
            answers.append(Answer(source, _shown(value), held, _note(leaf.reading, facts)))
        else:
            answers.append(Answer(source, "", held))

    holds(read.condition, facts, moment, witness)
    return tuple(answers)


def _note(reading: core.Reading, facts: Any) -> str:
    value = raw(reading, facts)
    if value is None:
        return "missing"
    if GUARDS[reading.wanted](value) is None:
        return f"wrong type: {type(value).__name__}, wanted {reading.wanted}"
    return ""


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    text = quote(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_VALUE else text[:_SHOWN_VALUE] + "…"
