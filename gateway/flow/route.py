"""Facts → rules → plan: what is to be done with one message.

The rules engine is pure and knows no gateway; here its decision is put into the gateway's own
words. State that actions need (throttle) lives in `memory.py`, never in conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.flow.actions import InstalledAction
from gateway.flow.memory import RuleMemory
from gateway.flow.plan import Plan
from gateway.flow.planning import PlanDraft
from gateway.flow.vocabulary import MODELS, StepFacts
from gateway.message.envelope import Envelope
from gateway.notices import Report, RuleFailed, RuleMismatch
from rules import ROUTING, Action, Decision, RuleRef, Ruleset, written

# Wide enough for text as people write it; one line in a trace.
SHOWN = 80
# One for each decision of a large set of rules; about 1 KB each.
MOST_KEPT = 4096


class Router:
    """Plans the way of messages by the ruleset of the moment; `ruleset` may be replaced between two decisions.

    Plans that depend on the decision alone are kept beside it, as the rules keep the decision.
    """

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
        self._ruleset, self._default_pipeline = ruleset, default_pipeline
        self._report, self._now, self._installed = report, now, installed
        self._memory = memory or RuleMemory()
        # By the decision's id, which is its own as long as it stands here.
        self._kept: dict[int, tuple[Decision, Plan]] = {}
        # What rates of rules without a name are counted under, by file and place.
        self._written: dict[tuple[str, int], str] = {}

    @property
    def ruleset(self) -> Ruleset:
        """The rules of the moment."""
        return self._ruleset

    @ruleset.setter
    def ruleset(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._kept, self._written = {}, {}

    def plan(self, envelope: Envelope) -> Plan:
        """Decide once for a message, on the facts as they came in."""
        now = self._now()
        decision = self._decide(ROUTING, envelope, now)
        message = envelope.message
        takes = message.action == "new" and message.type not in ("reaction", "event")
        usual = decision.fixed and takes and not _was_set_aside(envelope)
        if usual and (kept := self._kept.get(id(decision))) is not None:
            return kept[1]
        draft = self._drafted(decision, envelope, now)
        plan = self._finished(draft.parts, decision, takes=takes)
        if usual and draft.lasting and len(self._kept) < MOST_KEPT:
            self._kept[id(decision)] = (decision, plan)
        return plan

    def model_for(self, facts: StepFacts, chosen: str) -> str:
        """Name the model for a step that names none: the rules' choice for this input, else what routing chose."""
        decision = self._decide(MODELS, facts, self._now())
        for action in decision.actions:
            if action.name == "use_model":
                return str(action.args["model"])
        return chosen

    def _decide(self, name: str, facts: Envelope | StepFacts, now: float) -> Decision:
        decision = self._ruleset.decide(name, facts, now)
        self._memory.counters.note(decision, now)
        for mismatch in decision.mismatches:
            for rule in mismatch.rules:
                self._report(RuleMismatch(rule.name))
        return decision

    def _drafted(self, decision: Decision, envelope: Envelope, now: float) -> PlanDraft:
        def admit(action: Action) -> bool:
            rate, key = action.args["rate"], "" if action.per is None else str(action.per)
            return self._memory.throttle.admit(self._counted_as(action.rule), key, rate.count, rate.seconds, now)

        draft = PlanDraft(envelope, now, admit, self._installed, self._ruleset.vocabulary.names)
        for action in _still_to_do(decision, envelope):
            draft.add(action)
            if draft.over:
                break
        for undone in draft.undone:
            rule = undone.action.rule
            self._memory.counters.note_error(rule)
            self._report(RuleFailed(envelope.id, rule.name, undone.action.name, undone.why))
        return draft

    def _counted_as(self, rule: RuleRef) -> str:
        """Return what a rule's rates are counted under: its name, or its text, which no edit above it changes."""
        if rule.named:
            return rule.name
        at = (rule.file, rule.start)
        if at not in self._written:
            text = self._ruleset.sources[rule.file][rule.start : rule.end]
            self._written[at] = f"{rule.file}: {' '.join(text.split())}"
        return self._written[at]

    def _finished(self, parts: dict[str, Any], decision: Decision, *, takes: bool) -> Plan:
        """Make a plan of its parts; where no rule said where to go, the default pipeline `takes` it."""
        if "kind" not in parts:
            default = self._default_pipeline if takes else ""
            parts |= {"kind": "pipeline", "pipeline": default} if default else {"kind": "nothing"}
        rules = tuple([rule.name for rule in decision.matched])
        return Plan(rules=rules, actions=shown_actions(decision, self._ruleset), **parts)


def shown_actions(decision: Decision, ruleset: Ruleset) -> tuple[str, ...]:
    """Return a decision's actions as a rule file has them, in short; without PER, which is another for each sender."""
    scope = ruleset.vocabulary.scopes.get(ROUTING)
    return tuple([_short(written(action, scope, per=False)) for action in decision.actions])


def _still_to_do(decision: Decision, envelope: Envelope) -> tuple[Action, ...]:
    """Return the decision's actions; for a message that was set aside before, what comes behind that.

    After a delay other rules may match, by the time or by an edit: what they hold waits for a person all the same.

    Its rate was counted when it came in, or could not be, and is not counted now: who lets go many at once is no flood.
    """
    if not _was_set_aside(envelope):
        return decision.actions
    over = ["throttle"]  # alone for what a hook failed on before any rule was asked
    if envelope.passed or envelope.delayed:
        over += ["hold", "delay"] if envelope.passed else ["delay"]
    kept = tuple([action for action in decision.actions if action.name not in over])
    if not envelope.passed or not any(action.name == "hold" for action in decision.actions):
        return kept
    return kept + tuple([action for action in decision.conflicts if action.name != "hold"])[:1]


def _was_set_aside(envelope: Envelope) -> bool:
    return envelope.passed or envelope.delayed or envelope.release is not None


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
