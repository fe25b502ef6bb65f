"""Warn of rules that load but cannot be meant: what no message matches, what another rule hides,
what costs every message time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any  # keys made of conditions

import msgspec

from rules import core
from rules import syntax as s
from rules.access import positive, ways
from rules.calls import ActionChecker
from rules.decision import RuleRef
from rules.errors import Problem, problem_at
from rules.lets import uses
from rules.parser import statements
from rules.reread import Read, Reader
from rules.residual import shape_key
from rules.ruleset import Ruleset

# Of a conjunction of more parts, not every subset is looked up.
MAX_PARTS = 7


class Finding(msgspec.Struct, frozen=True):
    """`code` names the kind: never-true, duplicate, hidden, unindexed, optional-negation,
    unused-let, mixed-and-or or terminal-conflict."""

    code: str
    problem: Problem

    def render(self) -> str:
        return f"{self.problem.render()} [{self.code}]"


def lint(ruleset: Ruleset) -> list[Finding]:
    """Every finding, by file and line."""
    found = list(_Linter(ruleset).run())
    return sorted(found, key=lambda finding: (finding.problem.file, finding.problem.line, finding.code))


class _Linter:
    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._reader = Reader(ruleset)
        self._calls = ActionChecker(self._reader.checker, dict(ruleset.vocabulary.names))

    def run(self) -> Iterator[Finding]:
        for engine in self._ruleset.engines.values():
            stopping: dict[frozenset[Any], RuleRef] = {}
            seen: dict[object, RuleRef] = {}
            for rank in engine.rules:
                ready = engine.rules[rank]
                read = self._reader.read(ready.ref)
                yield from self._rule(ready.ref, read)
                yield from self._hidden(ready.ref, read, stopping, seen)
                if sum(call.terminal for call in ready.calls) > 1:
                    message = "of several terminal actions only the first counts"
                    yield self._finding("terminal-conflict", ready.ref, read.rule.actions[-1], message)
        yield from self._lets()

    def _rule(self, ref: RuleRef, read: Read) -> Iterator[Finding]:
        condition = positive(read.condition)
        if _never(condition):
            yield self._finding("never-true", ref, read.rule.condition, "this condition is never true")
        elif ways(read.condition)[0] and ways(read.condition)[0][0].kind == "always":
            hint = "an ==, IN, CONTAINS, STARTS WITH or number test beside it would be found by index"
            message = "no index serves this condition: it is tried on every message"
            yield self._finding("unindexed", ref, read.rule.condition, message, hint)
        yield from self._optional(ref, condition)
        if mixed := _mixed(read.rule.condition):
            hint = "AND binds more tightly than OR"
            yield self._finding("mixed-and-or", ref, mixed, "AND and OR without parentheses", hint)

    def _hidden(
        self, ref: RuleRef, read: Read, stopping: dict[frozenset[Any], RuleRef], seen: dict[object, RuleRef]
    ) -> Iterator[Finding]:
        parts = _parts(positive(read.condition))
        same = seen.setdefault((parts, _actions(read)), ref)
        if same is not ref:
            where = f"{same.file}:{same.line}"
            yield self._finding("duplicate", ref, read.rule, "this rule says the same as another", where)
        elif (first := _covering(parts, stopping)) is not None:
            message = f'this rule is never reached: "{first.name}" ({first.file}:{first.line}) stops before it'
            yield self._finding("hidden", ref, read.rule, message)
        if ref.stops and not ref.shadow:
            stopping.setdefault(parts, ref)

    def _optional(self, ref: RuleRef, condition: core.Core) -> Iterator[Finding]:
        tested = {leaf.reading.name for leaf in _leaves(condition) if leaf.operator == "exists"}
        for leaf in _inverted(condition):
            field = leaf.reading.field
            if field.always or leaf.operator == "exists" or leaf.reading.name in tested:
                continue
            message = f"this negated test is true where {leaf.reading.name} is missing"
            hint = f"add {leaf.reading.name} EXISTS if that is not meant"
            yield self._finding("optional-negation", ref, leaf, message, hint)

    def _lets(self) -> Iterator[Finding]:
        used: set[str] = set()
        defined: list[tuple[str, str, s.Let]] = []
        for file, text in self._ruleset.sources.items():
            for made in statements(text, _ignore):
                used |= uses(made)
                if isinstance(made, s.Let):
                    defined.append((file, text, made))
        for file, text, let in defined:
            if let.name not in used:
                message = f"nothing uses LET {let.name}"
                yield Finding("unused-let", problem_at(file, text, let.start, let.end, message))

    def _finding(self, code: str, ref: RuleRef, place: Any, message: str, hint: str = "") -> Finding:
        text = self._ruleset.sources[ref.file]
        inside = ref.start <= place.start and place.end <= ref.end
        start, end = (place.start, place.end) if inside else (ref.start, ref.end)
        return Finding(code, problem_at(ref.file, text, start, end, message, hint))


def _ignore(*_mistake: object) -> None:
    pass


def _parts(condition: core.Core) -> frozenset[Any]:
    items = condition.items if isinstance(condition, core.All) else (condition,)
    return frozenset([shape_key(item) for item in items])


def _covering(parts: frozenset[Any], stopping: dict[frozenset[Any], RuleRef]) -> RuleRef | None:
    """An earlier rule that stops and asks for a part of what this one asks for."""
    sizes = range(1, len(parts) + 1) if len(parts) <= MAX_PARTS else (1, len(parts))
    for size in sizes:
        for some in combinations(parts, size):
            if (found := stopping.get(frozenset(some))) is not None:
                return found
    return None


def _never(condition: core.Core) -> bool:
    match condition:
        case core.Constant():
            return not condition.holds
        case core.Some(items=items):
            return all(_never(item) for item in items)
        case core.All(items=items):
            return any(_never(item) for item in items) or _contradiction(items)
        case core.Leaf(reading=reading, operator="==", value=value) if reading.transform == "lower":
            return isinstance(value, str) and value != value.lower()
        case _:
            return False


def _contradiction(items: tuple[core.Core, ...]) -> bool:
    allowed: dict[str, frozenset[Any]] = {}
    shapes = {shape_key(item) for item in items}
    for item in items:
        if isinstance(item, core.Inverse) and shape_key(item.item) in shapes:
            return True
        if isinstance(item, core.Leaf) and item.other is None and item.operator in ("==", "in"):
            values = item.value if item.operator == "in" else frozenset([item.value])
            allowed[item.reading.key] = allowed.get(item.reading.key, values) & values
    return any(not values for values in allowed.values()) or _empty_range(items)


def _empty_range(items: tuple[core.Core, ...]) -> bool:
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    for item in items:
        if not isinstance(item, core.Leaf) or item.other is not None:
            continue
        key = item.reading.key
        if item.operator in (">", ">="):
            lowest[key] = max(lowest.get(key, item.value), item.value)
        elif item.operator in ("<", "<="):
            highest[key] = min(highest.get(key, item.value), item.value)
    return any(low > highest[key] for key, low in lowest.items() if key in highest)


def _leaves(condition: core.Core) -> list[core.Leaf]:
    match condition:
        case core.All(items=items) | core.Some(items=items):
            return [leaf for item in items for leaf in _leaves(item)]
        case core.Inverse(item=item):
            return _leaves(item)
        case core.Leaf():
            return [condition]
        case _:
            return []


def _inverted(condition: core.Core) -> list[core.Leaf]:
    match condition:
        case core.All(items=items) | core.Some(items=items):
            return [leaf for item in items for leaf in _inverted(item)]
        case core.Inverse(item=core.Leaf() as leaf):
            return [leaf]
        case _:
            return []


def _mixed(tree: s.Condition) -> s.Condition | None:
    match tree:
        case s.Or(items=items) if any(isinstance(item, s.And) for item in items):
            return tree
        case s.Or(items=items) | s.And(items=items):
            return next((found for item in items if (found := _mixed(item))), None)
        case s.Not(item=item) | s.Group(item=item):
            return _mixed(item)
        case _:
            return None


def _actions(read: Read) -> str:
    return " ".join(read.text[read.rule.actions[0].start : read.rule.end].split())
