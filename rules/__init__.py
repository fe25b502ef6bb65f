"""oclaw's WHEN/THEN rule language: a pure library that knows nothing of gateways.

    made = load({"main.rules": text}, vocabulary, loader)
    match made:
        case Rejected(): print(made.render())
        case Ruleset(): decision = made.decide("routing", facts, moment)

The operator's tools are imported when they are first asked for: a daemon that only decides does
not pay for them at its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any  # a lazily imported name may be anything

from rules.core import FieldRef, Rate
from rules.counters import Counters, RuleCount
from rules.decision import Action, Decision, Mismatch, RuleRef
from rules.errors import Problem, Rejected, Unavailable
from rules.load import load
from rules.ruleset import ROUTING, Ruleset
from rules.vocabulary import ActionSpec, Field, Loader, Param, Scope, Vocabulary
from rules.written import written

if TYPE_CHECKING:
    from rules.explaining import Explanation, explain
    from rules.format import format_text
    from rules.linting import Finding, lint
    from rules.reloading import Reloaded, reload
    from rules.trial import Outcome, run_tests

_LAZY = {
    "Explanation": "rules.explaining",
    "Finding": "rules.linting",
    "Outcome": "rules.trial",
    "Reloaded": "rules.reloading",
    "explain": "rules.explaining",
    "format_text": "rules.format",
    "lint": "rules.linting",
    "reload": "rules.reloading",
    "run_tests": "rules.trial",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rules' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return found


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
    "written",
]
