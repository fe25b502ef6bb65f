"""Facts → rules → plan: what is to be done with one message.

The rules engine is pure and knows no gateway; here its decision is put into the gateway's own
words. State that actions need (throttle) lives in `memory.py`, never in conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.flow.actions import InstalledAction
from gateway.flow.memory import RuleMemory
from gateway.flow.plan import Plan
from gateway.flow.planning import PlanDraft
from gateway.flow.vocabulary import MODELS, StepFacts
from gateway.message.envelope import Envelope
from gateway.notices import Report, RuleFailed, RuleMismatch
from rules import ROUTING, Action, Decision, Ruleset

# Wide enough for text as people write it; one line in a trace.
SHOWN = 80


class Router:
    """Plans the way of messages by the ruleset of the moment; `ruleset` may be replaced between two decisions."""

    def __init__(
        self,
        ruleset: Ruleset,
        default_pipeline: str,
        report: Report,
        now: Callable[[], float],
        *,
        memory: RuleMemory | None = None,
        installed: Mapping[str, InstalledAction] = {},
    ) -> None:
        self.ruleset, self.default_pipeline = ruleset, default_pipeline
        self._report, self._now, self._installed = report, now, installed
        self._memory = memory or RuleMemory()

    def plan(self, envelope: Envelope) -> Plan:
        """Decide once for a message, on the facts as they came in."""
        now = self._now()
        decision = self._decide(ROUTING, envelope, now)
        draft = self._drafted(decision, envelope, now)
        parts = draft.parts
        if "kind" not in parts:
            takes = envelope.message.action == "new" and envelope.message.type not in ("reaction", "event")
            if self.default_pipeline and takes:
                parts |= {"kind": "pipeline", "pipeline": self.default_pipeline}
            else:
                parts["kind"] = "nothing"
        return Plan(
            rules=tuple([rule.name for rule in decision.matched]),
            actions=shown_actions(decision),
            **parts,
        )

    def model_for(self, facts: StepFacts, chosen: str) -> str:
        """Name the model for a step that names none: the rules' choice for this input, else what routing chose."""
        decision = self._decide(MODELS, facts, self._now())
        for action in decision.actions:
            if action.name == "use_model":
                return str(action.args["model"])
        return chosen

    def _decide(self, name: str, facts: Envelope | StepFacts, now: float) -> Decision:
        decision = self.ruleset.decide(name, facts, now)
        self._memory.counters.note(decision, now)
        for mismatch in decision.mismatches:
            for rule in mismatch.rules:
                self._report(RuleMismatch(rule.name))
        return decision

    def _drafted(self, decision: Decision, envelope: Envelope, now: float) -> PlanDraft:
        def admit(action: Action) -> bool:
            rate, key = action.args["rate"], str(action.per or "")
            return self._memory.throttle.admit(action.rule.name, key, rate.count, rate.seconds, now)

        draft = PlanDraft(envelope, now, admit, self._installed, self.ruleset.vocabulary.names)
        for action in _still_to_do(decision, envelope):
            draft.add(action)
            if draft.over:
                break
        for undone in draft.undone:
            rule = undone.action.rule
            self._memory.counters.note_error(rule)
            self._report(RuleFailed(envelope.id, rule.name, undone.action.name, undone.why))
        return draft


def shown_actions(decision: Decision) -> tuple[str, ...]:
    """Return a decision's actions as a person reads them, in short."""
    return tuple([_shown(action) for action in decision.actions])


def _still_to_do(decision: Decision, envelope: Envelope) -> tuple[Action, ...]:
    """Return the decision's actions; for a message that was set aside before, what comes behind that.

    Its rate was counted when it came in, and is not counted again.
    """
    if not envelope.passed:
        return decision.actions
    over = ("hold", "delay", "throttle")
    kept = tuple([action for action in decision.actions if action.name not in over])
    if not any(action.name == "hold" for action in decision.actions):
        return kept
    return kept + tuple([action for action in decision.conflicts if action.name != "hold"])[:1]


def _shown(action: Action) -> str:
    text = f"{action.name}({', '.join(repr(value) for value in action.args.values())})"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
