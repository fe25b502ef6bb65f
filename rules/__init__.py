"""oclaw's WHEN/THEN rule language: a pure library that knows nothing of gateways.

ruleset = load({"main.rules": text}, vocabulary, loader)
match ruleset:
    case Rejected(problems): …
    case Ruleset(): decision = ruleset.decide("routing", facts, moment)
"""

from __future__ import annotations

from rules.core import FieldRef, Rate
from rules.decision import Action, Decision, Mismatch, RuleRef
from rules.errors import Problem, Rejected, Unavailable
from rules.load import load
from rules.ruleset import ROUTING, Ruleset
from rules.vocabulary import ActionSpec, Field, Loader, Param, Scope, Vocabulary

__all__ = [
    "ROUTING",
    "Action",
    "ActionSpec",
    "Decision",
    "Field",
    "FieldRef",
    "Loader",
    "Mismatch",
    "Param",
    "Problem",
    "Rate",
    "Rejected",
    "RuleRef",
    "Ruleset",
    "Scope",
    "Unavailable",
    "Vocabulary",
    "load",
]
