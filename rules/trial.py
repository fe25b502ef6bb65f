"""Run TEST blocks: made-up messages against all rules of a directory together.

The moment of a test is its AT, or `DEFAULT_MOMENT`, so that a test says the same every day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any  # field values of every type

import msgspec

from rules import syntax as s
from rules.calls import ActionChecker
from rules.check import Checker
from rules.cursor import Cursor
from rules.decision import Action, Decision, RuleRef, action_of
from rules.errors import Problem, Rejected, meant, problem_at
from rules.parser import statement, statements
from rules.ruleset import Ruleset
from rules.unfit import Unfit
from rules.vocabulary import Field, Scope, Vocabulary
from rules.written import written

_NOBODY = RuleRef("", "", "", 0, 0, 0)
# Thursday, 1 January 2026, 12:00 UTC.
DEFAULT_MOMENT = 1_767_268_800.0
_EMPTY: dict[str, Any] = {"text": "", "number": 0, "boolean": False, "list": (), "dynamic": {}}
_FITS = {"text": ("text",), "number": ("number", "duration", "size"), "boolean": ("boolean",), "list": ()}


class Outcome(msgspec.Struct, frozen=True):
    """One test: passed if there is no failure. A failure says what was expected and what came."""

    name: str
    file: str
    line: int
    failures: tuple[str, ...]


def run_tests(ruleset: Ruleset, cases: Mapping[str, str] | None = None) -> list[Outcome] | Rejected:
    """Every TEST of the rule files and of `cases` (files of TEST blocks alone), in order."""
    runner = _Runner(ruleset)
    outcomes = [one for name, text in ruleset.sources.items() for one in runner.known(name, text)]
    for name, text in sorted((cases or {}).items()):
        outcomes.extend(runner.file(name, text))
    return Rejected(tuple(runner.problems)) if runner.problems else outcomes


class _Runner:
    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._checker = Checker(ruleset.loader, ruleset.lets)
        self._calls = ActionChecker(self._checker, dict(ruleset.vocabulary.names))
        self.problems: list[Problem] = []

    def known(self, name: str, text: str) -> Iterator[Outcome]:
        """The tests of a rule file, which stand where loading found them."""
        for start in self._ruleset.places[name].tests:
            yield from self._outcome(name, text, statement(Cursor(text, start)))

    def file(self, name: str, text: str) -> Iterator[Outcome]:
        """The tests of a file that was not loaded with the rules."""
        for made in statements(text, partial(self._report, name, text)):
            yield from self._outcome(name, text, made)

    def _outcome(self, name: str, text: str, made: s.Statement) -> Iterator[Outcome]:
        if not isinstance(made, s.Test):
            return
        line = problem_at(name, text, made.start, made.end, "").line
        try:
            yield Outcome(made.name, name, line, tuple(self._run(made)))
        except Unfit as unfit:
            self._report(name, text, unfit.start, unfit.end, unfit.message, unfit.hint)

    def _report(self, name: str, text: str, start: int, end: int, message: str, hint: str) -> None:
        self.problems.append(problem_at(name, text, start, end, message, hint))

    def _run(self, test: s.Test) -> Iterator[str]:
        moment = moment_of(test, self._ruleset)
        given = bindings(test, self._checker, self._ruleset.vocabulary)
        decisions = {
            name: self._ruleset.decide(name, facts_of(given, scope), moment)
            for name, scope in self._ruleset.vocabulary.scopes.items()
        }
        for expected in test.expected:
            yield from self._judge(expected, decisions, given)

    def _judge(self, expected: s.Expectation, decisions: dict[str, Decision], given: Given) -> Iterator[str]:
        matched = [ref.name for decision in decisions.values() for ref in decision.matched]
        if expected.action is None:
            if expected.negated and matched:
                yield f"expected no rule, but {_listed(matched)} matched"
            if not expected.negated and expected.rule not in matched:
                yield f'expected rule "{expected.rule}", but {_listed(matched) or "none"} matched'
            return
        wanted = self._wanted(expected.action, given)
        done = [action for decision in decisions.values() for action in decision.actions]
        if any(_same(wanted, action) for action in done) == expected.negated:
            shown = written(wanted, self._scope_of(wanted.name))
            came = ", ".join(written(action, self._scope_of(action.name)) for action in done) or "nothing"
            yield f"expected {'not ' if expected.negated else ''}{shown}, got {came}"

    def _wanted(self, action: s.Action, given: Given) -> Action:
        """The action with what it reads from the message, as the decision has it."""
        scope = self._scope_of(action.name)
        return action_of(self._calls.call(action, scope), _NOBODY, facts_of(given, scope))

    def _scope_of(self, action: str) -> Scope:
        scopes = list(self._ruleset.vocabulary.scopes.values())
        return next((scope for scope in scopes if action in scope.actions), scopes[0])


def moment_of(test: s.Test, ruleset: Ruleset) -> float:
    """The moment the test plays at; a time without offset is in the configured zone."""
    if not test.at:
        return DEFAULT_MOMENT
    try:
        at = datetime.fromisoformat(test.at)
        return (at if at.tzinfo else at.replace(tzinfo=ruleset.loader.zone(""))).timestamp()
    except (ValueError, OverflowError):
        hint = 'write it as "2026-03-02T09:00:00Z"'
        raise Unfit(test, f'"{test.at}" is no moment', hint) from None


Given = dict[tuple[str, tuple[str, ...]], Any]


def bindings(test: s.Test, checker: Checker, vocabulary: Vocabulary) -> Given:
    """The values a test gives, by field and keys. Raises `Unfit`."""
    given: Given = {}
    for binding in test.given:
        field, name, keys = _field(binding.operand, checker, vocabulary)
        value = binding.value
        if isinstance(value, s.Literal):
            if field.kind != "dynamic" and value.kind not in _FITS[field.kind]:
                raise Unfit(value, f"{name} is a {field.kind}, found a {value.kind}")
            given[name, keys] = value.value
        elif value is None:
            given[name, keys] = None
        else:
            given[name, keys] = list(checker.texts(value))
    return given


def facts_of(given: Given, scope: Scope) -> Any:
    """Facts for one scope: a mapping, or objects along the vocabulary's paths."""
    values: dict[str, Any] = {}
    for name, field in scope.fields.items():
        default = dict(_EMPTY["dynamic"]) if field.kind == "dynamic" else None
        values[name] = _EMPTY[field.kind] if field.always and default is None else default
    for (name, keys), value in given.items():
        if name in values and (value is not None or not scope.fields[name].always):
            _put(values, (name, *keys), value)
    for name, field in scope.fields.items():
        if field.stands_for and (name, ()) not in given:
            values[name] = values.get(field.stands_for)
    if not any(field.path for field in scope.fields.values()):
        return values
    root = SimpleNamespace()
    told = {name for name, _ in given}
    # Two fields may read the same path (`input` and `message.content`): what is given goes first.
    for name, field in sorted(scope.fields.items(), key=lambda pair: pair[0] not in told):
        if name in told or not _reaches(root, field.path):
            _place(root, field.path, values[name])
    return root


def _reaches(root: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        root = getattr(root, part.removesuffix("?"), None)
    return root is not None


def _place(root: Any, path: tuple[str, ...], value: Any) -> None:
    *parents, last = [part.removesuffix("?") for part in path]
    for part in parents:
        if not hasattr(root, part):
            setattr(root, part, SimpleNamespace())
        root = getattr(root, part)
    setattr(root, last, value)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    values[path[-1]] = value


def _field(operand: s.Operand, checker: Checker, vocabulary: Vocabulary) -> tuple[Field, str, tuple[str, ...]]:
    for scope in vocabulary.scopes.values():
        try:
            return checker.field(operand, scope)
        except Unfit:
            continue
    known = {name for scope in vocabulary.scopes.values() for name in scope.fields}
    raise Unfit(operand, f"there is no field {operand.field}", meant(operand.field, known))


def _same(wanted: Action, action: Action) -> bool:
    """Whether the action came; an expectation that says nothing of PER leaves it open."""
    same = wanted.name == action.name and dict(wanted.args) == dict(action.args)
    return same and wanted.per in (None, action.per)


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
