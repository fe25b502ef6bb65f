"""oclaw's WHEN/THEN rule language: a pure library that knows nothing of gateways.

ruleset = load({"main.rules": text}, vocabulary, loader)
match ruleset:
    case Rejected(problems): …
    case Ruleset(): decision = ruleset.decide("routing", facts, moment)
"""

from __future__ import annotations

from rules.core import FieldRef, Rate
from rules.counters import Counters, RuleCount
from rules.decision import Action, Decision, Mismatch, RuleRef
from rules.errors import Problem, Rejected, Unavailable
from rules.explain import Explanation, explain
from rules.format import format_text
from rules.lint import Finding, lint
from rules.load import load
from rules.reload import Reloaded, reload
from rules.ruleset import ROUTING, Ruleset
from rules.trial import Outcome, run_tests
from rules.vocabulary import ActionSpec, Field, Loader, Param, Scope, Vocabulary

__all__ = [
    "ROUTING",
    "Action",
    "ActionSpec",
    "Counters",
    "Decision",
    "Explanation",
    "Field",
    "FieldRef",
    "Finding",
    "Loader",
    "Mismatch",
    "Outcome",
    "Param",
    "Problem",
    "Rate",
    "Rejected",
    "Reloaded",
    "RuleCount",
    "RuleRef",
    "Ruleset",
    "Scope",
    "Unavailable",
    "Vocabulary",
    "explain",
    "format_text",
    "lint",
    "load",
    "reload",
    "run_tests",
]
