"""Turn a core condition into a Python function of (facts, moment).

The source of a function consists of template text alone: attribute paths come from the host's
vocabulary, everything an operator wrote is a constant bound to a name `K0`, `K1`, …. Conditions
of one shape share one code object, whatever their constants, so 100,000 rules compile a few
dozen sources. Equal conditions share one function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never  # constants of every type

from rules import core, values
from rules.breath import Breathe, at_once, empty
from rules.interpret import in_window
from rules.matchers import any_pattern, any_word

Test = Callable[[Any, float], bool]
# A function of more leaves than this is split; past MAX_SHAPES only leaves are compiled, so that
# a file in which no two rules look alike costs no more than a bounded number of compilations.
MAX_LEAVES = 32
MAX_SHAPES = 2000
_SYMBOLS = {"==": "==", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
NAMESPACE: dict[str, Any] = {
    "as_text": values.as_text,
    "as_number": values.as_number,
    "as_boolean": values.as_boolean,
    "as_list": values.as_list,
    "as_text_or_list": values.as_text_or_list,
    "lower": values.lower,
    "fold": values.fold,
    "casefold": values.casefold,
    "size": values.size,
    "dig": values.dig,
}
_GUARD_NAMES = {
    "text": "as_text",
    "number": "as_number",
    "boolean": "as_boolean",
    "list": "as_list",
    "text or list": "as_text_or_list",
}
_TRANSFORM_NAMES = {"lower": "lower", "fold": "fold", "casefold": "casefold", "length": "size", "count": "size"}


class Names:
    """The constants of one piece of generated code, and its temporary variables."""

    def __init__(self) -> None:
        self.constants: list[Any] = []
        self.temporaries = 0

    def constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"K{len(self.constants) - 1}"

    def temporary(self) -> str:
        self.temporaries += 1
        return f"v{self.temporaries}"


class Residuals:
    """Makes and shares test functions."""

    def __init__(self) -> None:
        self._shapes: dict[str, Callable[..., Test]] = {}
        self._made: dict[object, Test] = {}

    def test(self, condition: core.Core) -> Test:
        """The function for `condition`; equal conditions get the same one."""
        known = shape_key(condition)
        made = self._made.get(known)
        if made is None:
            names = Names()
            source = self._expression(condition, names, whole=True)
            made = self._made[known] = self._factory(source, names)(*names.constants)
        return made

    def forget(self, breathe: Breathe = at_once) -> None:
        """Drop the table of equal conditions once a build is over; the functions live on."""
        empty(self._made, breathe)

    def _factory(self, source: str, names: Names) -> Callable[..., Test]:
        factory = self._shapes.get(source)
        if factory is None:
            params = ", ".join(f"K{number}" for number in range(len(names.constants)))
            text = f"def make({params}):\n def test(f, m):\n  return {source}\n return test\n"
            scope = dict(NAMESPACE)
            exec(compile(text, "<rule condition>", "exec"), scope)
            factory = self._shapes[source] = scope["make"]
        return factory

    def _expression(self, condition: core.Core, names: Names, *, whole: bool = False) -> str:
        limit = MAX_LEAVES if len(self._shapes) < MAX_SHAPES else 1
        if not whole and _leaves(condition) > limit:
            return f"{names.constant(self.test(condition))}(f, m)"
        match condition:
            case core.All(items=items):
                return self._joined(items, " and ", names)
            case core.Some(items=items):
                return self._joined(items, " or ", names)
            case core.Inverse(item=item):
                return f"not {self._expression(item, names)}"
            case core.Constant():
                return "True" if condition.holds else "False"
            case core.Window():
                return f"{names.constant(lambda moment: in_window(condition, moment))}(m)"
            case core.Leaf():
                return leaf_source(condition, names)
            case never:
                assert_never(never)

    def _joined(self, items: tuple[core.Core, ...], word: str, names: Names) -> str:
        if len(items) * 2 > MAX_LEAVES:
            half = len(items) // 2
            kind = core.All if word == " and " else core.Some
            items = (kind(items[:half], 0, 0), kind(items[half:], 0, 0))
        return "(" + word.join([self._expression(item, names) for item in items]) + ")"


def reading_source(reading: core.Reading, names: Names) -> str:
    """An expression for the value `reading` gives: what `values.read` does, without the calls."""
    field = reading.field
    source = _path_source(reading, names)
    if reading.keys:
        source = _below(source, reading.keys, names)
    trusted = field.exact and not reading.keys and reading.wanted == field.kind
    if not trusted or (reading.wanted in ("text", "list") and not field.nfc):
        guard = _GUARD_NAMES.get(reading.wanted)
        source = f"{guard}({source})" if guard else source
    if reading.transform in ("length", "count") and trusted and field.always and field.nfc:
        return f"len({source})"
    if reading.transform:
        source = f"{_TRANSFORM_NAMES[reading.transform]}({source})"
    return source


def _below(source: str, keys: tuple[str, ...], names: Names) -> str:
    """`values.dig`; one key below a plain dictionary, which most rules read, is looked up at once."""
    path = names.constant(keys)
    if len(keys) > 1:
        return f"dig({source}, {path})"
    held, key = names.temporary(), names.constant(keys[0])
    return f"({held}.get({key}) if ({held} := {source}).__class__ is dict else dig({held}, {path}))"


def _path_source(reading: core.Reading, names: Names) -> str:
    if not reading.field.path:
        return f"f.get({names.constant(reading.name.partition('[')[0])})"
    source = "f"
    for position, part in enumerate(reading.field.path):
        last = position == len(reading.field.path) - 1
        if part.endswith("?") and not last:
            held = names.temporary()
            rest = ".".join(p.removesuffix("?") for p in reading.field.path[position + 1 :])
            return f"(None if ({held} := {source}.{part[:-1]}) is None else {held}.{rest})"
        source = f"{source}.{part.removesuffix('?')}"
    return source


def leaf_source(leaf: core.Leaf, names: Names) -> str:
    """An expression that is true if the leaf holds."""
    source = reading_source(leaf.reading, names)
    operator, value = leaf.operator, leaf.value
    if leaf.other is not None:
        return _pair_source(leaf, source, names)
    if operator == "==":
        return f"({source} == {names.constant(value)})"
    if operator == "in":
        return f"({source} in {names.constant(value)})"
    if operator == "exists":
        return f"({source} is not None)"
    held, test = _present(leaf.reading, source, names)
    if operator in _SYMBOLS:
        return f"({test}{held} {operator} {names.constant(value)})"
    if operator == "member":
        return f"({test}not {names.constant(value)}.isdisjoint({held}))"
    if operator == "matches":
        return f"({test}{names.constant(any_pattern(value))}({held}))"
    if operator == "contains":
        if len(value) == 1:
            return f"({test}{names.constant(value[0])} in {held})"
        return f"({test}{names.constant(any_word(value))}({held}))"
    method = "startswith" if operator == "starts" else "endswith"
    return f"({test}{held}.{method}({names.constant(value)}))"


def _present(reading: core.Reading, source: str, names: Names) -> tuple[str, str]:
    """The name that holds the value in the test, and what proves first that it is there."""
    field = reading.field
    if field.always and field.exact and not reading.keys:
        return source, ""
    held = names.temporary()
    return held, f"({held} := {source}) is not None and "


def _pair_source(leaf: core.Leaf, source: str, names: Names) -> str:
    assert leaf.other is not None
    left, right = names.temporary(), names.temporary()
    other = reading_source(leaf.other, names)
    both = f"({left} := {source}) is not None and ({right} := {other}) is not None and "
    match leaf.operator:
        case "contains" | "member":
            return f"({both}{right} in {left})"
        case "starts":
            return f"({both}{left}.startswith({right}))"
        case "ends":
            return f"({both}{left}.endswith({right}))"
        case operator:
            return f"({both}{left} {_SYMBOLS[operator]} {right})"


def shape_key(condition: core.Core) -> object:
    """What makes two conditions the same: everything but their place in the file."""
    match condition:
        case core.All(items=items):
            return ("&", *[shape_key(item) for item in items])
        case core.Some(items=items):
            return ("|", *[shape_key(item) for item in items])
        case core.Inverse(item=item):
            return ("!", shape_key(item))
        case core.Constant():
            return condition.holds
        case core.Window():
            return (condition.first, condition.until, condition.days, id(condition.zone))
        case core.Leaf():
            other = condition.other.key if condition.other else ""
            # 1, 1.0 and TRUE are equal in Python, but the reading's key names the type.
            return (condition.reading.key, condition.operator, condition.value, other)
        case never:
            assert_never(never)


def _leaves(condition: core.Core) -> int:
    match condition:
        case core.All(items=items) | core.Some(items=items):
            return sum(_leaves(item) for item in items)
        case core.Inverse(item=item):
            return _leaves(item)
        case _:
            return 1
