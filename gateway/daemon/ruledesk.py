"""What a person asks of the rules in force: how many, what each did, and why a message was decided as it was."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from gateway.api.control import Explained, Loaded, RuleLine, RulesStatus
from gateway.flow.route import shown_actions
from gateway.flow.story import Story
from gateway.flow.vocabulary import MODELS, StepFacts
from gateway.message.envelope import Envelope
from rules import ROUTING, RuleCount, RuleRef, Ruleset

if TYPE_CHECKING:
    from gateway.daemon.serving import Serving
    from rules import Explanation

_NEVER = RuleCount()
Key = tuple[str, str]  # ruleset and rule
# Rules with a series of their own at /metrics: those that matched first. A hundred thousand would be no help.
MOST_SERIES = 200


def rules_status(serving: Serving) -> RulesStatus:
    """Tell which rules are in force, what the last reload changed, and why a newer one was refused."""
    parts, state = serving.parts, serving.rules.state
    loaded = Loaded(
        path=str(parts.settings.rules_dir),
        generation=state.generation,
        loaded_at=state.loaded_at,
        refused=state.refused,
    )
    return RulesStatus(
        files=len(parts.rule_files), rules=rule_count(parts.ruleset), loaded=loaded, changes=state.changes
    )


def rule_count(ruleset: Ruleset) -> int:
    """Count the rules that are switched on."""
    return sum(len(engine.rules) for engine in ruleset.engines.values())


def rule_lines(ruleset: Ruleset, counted: dict[Key, RuleCount], limit: int) -> list[RuleLine]:
    """Return up to `limit` rules: those that did something, busiest first, then the others in rank order."""
    busy = sorted(counted, key=lambda key: counted[key].matched + counted[key].shadowed, reverse=True)[:limit]
    wanted = dict.fromkeys(busy)
    rest: list[RuleRef] = []
    found: dict[Key, RuleRef] = {}
    for engine in ruleset.engines.values():
        for ready in engine.rules.values():
            key = (ready.ref.ruleset, ready.ref.name)
            if key in wanted:
                found[key] = ready.ref
            elif len(rest) < limit:
                rest.append(ready.ref)
    refs = [*(found[key] for key in busy if key in found), *rest]
    return [_line(ref, counted.get((ref.ruleset, ref.name), _NEVER)) for ref in islice(refs, limit)]


def explained(envelope: Envelope, story: Story | None, ruleset: Ruleset, moment: float = 0.0) -> Explained:
    """Explain a message as it came in, at the moment it came in or another one."""
    explanations = explain_all(ruleset, envelope, moment or envelope.received_at)
    decision = explanations[0].decision
    changed = [hook.name for hook in story.hooks if hook.verdict == "replace" and not hook.outbound] if story else []
    note = (
        f"the hook {changed[0]} changed it before the rules saw it; explained is the message as it came"
        if changed
        else ""
    )
    return Explained(
        id=envelope.id,
        text="\n\n".join(explanation.render() for explanation in explanations),
        actions=shown_actions(decision, ruleset),
        rules=tuple(ref.name for ref in decision.matched),
        then_actions=story.actions if story else (),
        then_rules=story.rules if story else (),
        note=note,
        verdicts=tuple(verdict for each in explanations for verdict in plain(each)),
    )


def explain_all(ruleset: Ruleset, envelope: Envelope, moment: float) -> list[Explanation]:
    """Explain "routing", and "models" as for a step whose input is the message's text."""
    from rules import explain

    explanations = [explain(ruleset, ROUTING, envelope, moment)]
    if MODELS in ruleset.engines:
        facts = StepFacts(envelope.message.content, "", "", envelope.message, envelope.tags)
        explanations.append(explain(ruleset, MODELS, facts, moment))
    return explanations


def plain(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the verdicts as JSON has them."""
    return [
        {
            "ruleset": explanation.ruleset,
            "rule": verdict.rule.name,
            "place": f"{verdict.rule.file}:{verdict.rule.line}",
            "outcome": verdict.outcome,
            "conditions": [
                {"source": answer.source, "value": answer.value, "held": answer.held, "note": answer.note}
                for answer in verdict.answers
            ],
        }
        for verdict in explanation.verdicts
    ]


def series(counted: dict[Key, RuleCount]) -> dict[tuple[str, ...], float]:
    """Return matches by ruleset, rule and kind; rules beyond `MOST_SERIES` share one series."""
    values: dict[tuple[str, ...], float] = {}
    for number, ((ruleset, rule), count) in enumerate(counted.items()):
        place = (ruleset, rule if number < MOST_SERIES else "(others)")
        for what, times in (("matched", count.matched), ("shadow", count.shadowed), ("conflict", count.conflicts)):
            if times:
                values[(*place, what)] = values.get((*place, what), 0.0) + times
    return values


def _line(ref: RuleRef, count: RuleCount) -> RuleLine:
    return RuleLine(
        rule=ref.name,
        ruleset=ref.ruleset,
        place=f"{ref.file}:{ref.line}",
        priority=ref.priority,
        shadow=ref.shadow,
        matched=count.matched,
        shadow_matched=count.shadowed,
        conflicts=count.conflicts,
        mismatches=count.mismatches,
        errors=count.errors,
        last_match_at=count.last_match,
    )
