"""Facts → rules → plan: what is to be done with one message.

The rules engine is pure and knows no gateway; here its decision is put into the gateway's own
words. State that actions need (throttle) lives here, never in conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.flow.plan import Plan
from gateway.flow.throttle import Throttle
from gateway.flow.vocabulary import MODELS, StepFacts
from gateway.message.envelope import Envelope
from gateway.notices import Report, RuleMismatch
from rules import ROUTING, Action, Decision, FieldRef, Ruleset

# Wide enough for text as people write it; one line in a trace.
SHOWN = 80


class Router:
    """Plans the way of messages by the ruleset of the moment; `ruleset` may be replaced between two messages."""

    def __init__(self, ruleset: Ruleset, default_pipeline: str, report: Report, now: Callable[[], float]) -> None:
        self.ruleset, self.default_pipeline = ruleset, default_pipeline
        self._report, self._now, self._throttle = report, now, Throttle()

    def plan(self, envelope: Envelope) -> Plan:
        """Decide once for a message, on the facts as they came in."""
        now = self._now()
        decision = self.ruleset.decide(ROUTING, envelope, now)
        for mismatch in decision.mismatches:
            for rule in mismatch.rules:
                self._report(RuleMismatch(rule.name))
        return self._planned(envelope, decision, now)

    def model_for(self, facts: StepFacts, chosen: str) -> str:
        """Name the model for a step that names none: the rules' choice for this input, else what routing chose."""
        decision = self.ruleset.decide(MODELS, facts, self._now())
        for action in decision.actions:
            if action.name == "use_model":
                return str(action.args["model"])
        return chosen

    def _planned(self, envelope: Envelope, decision: Decision, now: float) -> Plan:
        parts: dict[str, Any] = {"tags": (), "forwards": (), "sets": {}}
        for action in _still_to_do(decision, envelope):
            refused = self._add(parts, action, envelope, now)
            if refused:
                parts.update(refused)
                break
        if "kind" not in parts:
            takes = envelope.message.action == "new" and envelope.message.type not in ("reaction", "event")
            if self.default_pipeline and takes:
                parts |= {"kind": "pipeline", "pipeline": self.default_pipeline}
            else:
                parts["kind"] = "nothing"
        return Plan(
            rules=tuple([rule.name for rule in decision.matched]),
            actions=tuple([_shown(action) for action in decision.actions]),
            **parts,
        )

    def _add(self, parts: dict[str, Any], action: Action, envelope: Envelope, now: float) -> dict[str, Any]:
        """Put one action into the plan; what it returns ends the plan at once (a throttle that is exceeded)."""
        args, rule = action.args, action.rule.name
        match action.name:
            case "route_to":
                parts |= {"kind": "pipeline", "pipeline": args["pipeline"], "by": rule}
            case "reply":
                parts |= {"kind": "reply", "text": str(args["text"] or ""), "by": rule}
            case "reject":
                parts |= {"kind": "reject", "why": args["reason"], "tell": args.get("tell") or "", "by": rule}
            case "drop":
                parts |= {"kind": "drop", "why": args["reason"], "by": rule}
            case "hold":
                parts |= {"kind": "hold", "why": args["reason"], "by": rule}
            case "delay":
                seconds = float(args["duration"])
                parts |= {"kind": "delay", "delay_seconds": seconds, "why": f"delayed {seconds:g} s", "by": rule}
            case "forward":
                parts["forwards"] += ((args["channel"], str(args.get("to") or "")),)
            case "tag":
                parts["tags"] += tuple(args["names"])
            case "set":
                reference: FieldRef = args["field"]
                if reference.field == "message.metadata" and reference.keys:
                    parts["sets"] = {**parts["sets"], reference.keys[0]: args["value"]}
            case "priority":
                parts["priority"] = int(args["n"])
            case "deadline":
                parts["deadline_seconds"] = float(args["duration"])
            case "use_model":
                parts["model"] = args["model"]
            case "throttle":
                rate = args["rate"]
                if not self._throttle.admit(rule, str(action.per or ""), rate.count, rate.seconds, now):
                    return {"kind": "reject", "why": "throttled", "by": rule}
        return {}


def _still_to_do(decision: Decision, envelope: Envelope) -> tuple[Action, ...]:
    """Return the decision's actions; for a message that was set aside before, what comes behind that."""
    if not envelope.passed:
        return decision.actions
    kept = tuple([action for action in decision.actions if action.name not in ("hold", "delay")])
    if len(kept) == len(decision.actions):
        return kept
    return kept + tuple([action for action in decision.conflicts if action.name not in ("hold", "delay")][:1])


def _shown(action: Action) -> str:
    text = f"{action.name}({', '.join(repr(value) for value in action.args.values())})"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
