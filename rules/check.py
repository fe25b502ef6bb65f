"""Check conditions against the vocabulary: resolve every name, know every type.

`Checker` turns a syntax tree into core conditions and reports each mistake with its place. It
holds what one load shares: the vocabulary, the loader, the LETs and the readings made so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any  # LET values and literals of any kind

import msgspec

from rules import core
from rules import syntax as s
from rules.breath import Breathe, empty
from rules.composing import nfc
from rules.errors import Unavailable, meant
from rules.lets import Definition, nesting
from rules.unfit import Unfit, an, is_perl, let_hint, mistyped, wrong_pattern
from rules.values import fold_text
from rules.vocabulary import Field, Loader, Scope

Report = Callable[[int, int, str, str], None]
_KINDS = {"number": "number", "duration": "number", "size": "number", "text": "text", "boolean": "boolean"}
_TRANSFORMS: dict[str, core.Transform] = {"LENGTH": "length", "LOWER": "lower", "COUNT": "count"}
# LETs may name one another; a chain this long is a machine's doing and would exhaust the stack.
MAX_LET_DEPTH = 60
# What each of them nests comes together in the rule: more would exhaust the stack, too.
MAX_LET_NESTING = 60
# LETs that each use the one before twice would double sixty times over; a rule has no use for more.
MAX_LET_USES = 500


class Checker:
    """Checks the rules of one load. `lets` must be complete before a rule that uses one."""

    def __init__(self, loader: Loader, lets: dict[str, Definition]) -> None:
        self.loader = loader
        self.lets = lets
        self.used: set[str] = set()
        # LETs whose own mistakes are reported where they stand; using one is no further mistake.
        self.broken: set[str] = set()
        # The FILE lists asked for so far, each read once, for all rules to mean the same.
        self.lists: dict[str, tuple[str, ...]] = {}
        # The same in NFC, as they are compared, and as the one set that all rules share.
        self._lines_of: dict[str, tuple[str, ...]] = {}
        self._sets: dict[str, frozenset[str]] = {}
        self._readings: dict[tuple[int, str, tuple[str, ...], str, str], core.Reading] = {}
        self._patterns: dict[str, str] = {}
        self._depth = 0
        self._nesting = 0
        self._uses = 0

    def forget(self, breathe: Breathe) -> None:
        """Let go of what rules shared."""
        empty(self._readings, breathe)

    def condition(self, tree: s.Condition, scope: Scope, report: Report) -> core.Core:
        """The core condition; mistakes are reported and stand as `Constant`s in the result."""
        match tree:
            case s.And(items=items):
                return core.All(tuple([self.condition(i, scope, report) for i in items]), tree.start, tree.end)
            case s.Or(items=items):
                made = tuple([self.condition(i, scope, report) for i in items])
                return core.Some(made, tree.start, tree.end)
            case s.Not(item=item):
                return core.Inverse(self.condition(item, scope, report), tree.start, tree.end)
            case s.Group(item=item):
                return self.condition(item, scope, report)
            case _:
                try:
                    return self._leaf(tree, scope, report)
                except Unfit as unfit:
                    report(unfit.start, unfit.end, unfit.message, unfit.hint)
                    return core.Constant(start=tree.start, end=tree.end, holds=False)

    def definition(self, let: s.Let, scope: Scope, report: Report) -> None:
        """Report what is wrong with a LET itself, as `scope` sees it."""
        try:
            if isinstance(let.value, s.FileList):
                self._lines(let.value, let.value)
            elif isinstance(let.value, s.Listed):
                kinds = {item.kind for item in self._items(let.value)}
                if len(kinds) > 1:
                    raise Unfit(let.value, f"found a list of {' and '.join(sorted(kinds))}", "a list holds one type")
            elif isinstance(let.value, s.Operand):
                raise AssertionError(let)
            elif not isinstance(let.value, s.Literal):
                self.condition(let.value, scope, report)
        except Unfit as unfit:
            report(unfit.start, unfit.end, unfit.message, unfit.hint)

    def _leaf(self, tree: s.Condition, scope: Scope, report: Report) -> core.Core:
        match tree:
            case s.Compare():
                return self._compare(tree, scope)
            case s.TextTest():
                made = self._text_test(tree, scope)
            case s.Within():
                made = self._within(tree, scope)
            case s.Exists(operand=operand):
                reading = self.reading(operand, scope, "any")
                made = core.Leaf(reading, "exists", None, None, tree.start, tree.end)
            case s.TimeIn():
                return self._time(tree)
            case s.Use():
                return self._use(tree, scope, report)
            case _:
                raise AssertionError(tree)
        return core.Inverse(made, tree.start, tree.end) if tree.negated else made

    def reading(
        self, operand: s.Operand, scope: Scope, wanted: core.Wanted, transform: core.Transform = ""
    ) -> core.Reading:
        """How `operand` is read when the test wants a value of type `wanted`."""
        field, name, keys = self.field(operand, scope)
        own = _TRANSFORMS.get(operand.function, "")
        if own:
            wanted = self._source_of(operand, field, wanted, own)
            transform = _combined(own, transform)
        elif field.kind != "dynamic" and wanted not in (field.kind, "any"):
            raise Unfit(operand, *mistyped(name, field, wanted))
        elif field.kind == "dynamic" and not keys and wanted != "any":
            raise Unfit(operand, f"{name} holds keys of its own", f'test one of them: {name}["key"]')
        shown = name + "".join(f'["{key}"]' for key in keys)
        known = (id(field), name, keys, wanted, transform)
        made = self._readings.get(known)
        if made is None:
            key = "|".join((shown, wanted, transform))
            made = self._readings[known] = core.Reading(key, shown, field, keys, wanted, transform)
        return made

    def field(self, operand: s.Operand, scope: Scope) -> tuple[Field, str, tuple[str, ...]]:
        """The vocabulary's field, its name, and the keys below it if it is dynamic."""
        name, keys = operand.field, operand.keys
        field = scope.fields.get(name)
        if field is not None and (not keys or field.kind == "dynamic"):
            return field, name, keys
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            prefix = ".".join(parts[:cut])
            field = scope.fields.get(prefix)
            if field is not None and field.kind == "dynamic":
                return field, prefix, (*parts[cut:], *keys)
        if name in self.lets:
            hint = f"${name} uses a LET condition" if _is_condition(self.lets[name].let.value) else ""
            raise Unfit(operand, f"{name} is a LET, not a field", hint)
        raise Unfit(operand, f"there is no field {name}", meant(name, scope.fields))

    def constant(self, value: s.Value) -> s.Literal | s.Listed | s.FileList | s.Operand:
        """`value`, or what it stands for if it is the name of a LET list or literal."""
        if not isinstance(value, s.Operand) or value.function or value.keys or value.field not in self.lets:
            return value
        self.used.add(value.field)
        found: Any = self.lets[value.field].let.value
        for _ in range(MAX_LET_DEPTH):
            if not isinstance(found, s.Operand) or found.field not in self.lets:
                break
            found = self.lets[found.field].let.value
        if value.field in self.broken:
            found = s.Listed((), value.start, value.end)
        if _is_condition(found):
            raise Unfit(value, f"{value.field} is a LET condition, not a value", f"write ${value.field} to use it")
        return found  # type: ignore[no-any-return]

    def texts(self, value: s.Value, *, fold: bool = False) -> tuple[str, ...]:
        """The texts of a literal or list. A number among them is a mistake."""
        found = self.constant(value)
        if isinstance(found, s.FileList):
            texts = self._lines(found, value)
        else:
            texts = tuple([self._text(literal) for literal in self._items(value)])
        return tuple([fold_text(text) for text in texts]) if fold else texts

    def _text(self, literal: s.Literal) -> str:
        if literal.kind != "text":
            raise Unfit(literal, f"found {an(literal.kind)}, wanted text", "texts stand in double quotes")
        return str(literal.value)

    def _items(self, value: s.Value) -> tuple[s.Literal, ...]:
        found = self.constant(value)
        if isinstance(found, s.Literal):
            return (_at(found, value),)
        if isinstance(found, s.Listed):
            return found.items if found is value else tuple([_at(item, value) for item in found.items])
        if isinstance(found, s.FileList):
            lines = self._lines(found, value)
            return tuple([s.Literal("text", line, value.start, value.end) for line in lines])
        raise Unfit(value, f"found {found.field}, wanted a list", let_hint(found.field, self.lets))

    def _lines(self, listed: s.FileList, at: s.Value) -> tuple[str, ...]:
        try:
            if listed.name not in self.lists:
                self.lists[listed.name] = tuple(self.loader.lines(listed.name))
        except Unavailable as why:
            raise Unfit(at, f'the list file "{listed.name}" cannot be read: {why}') from None
        if listed.name not in self._lines_of:
            self._lines_of[listed.name] = tuple([nfc(line) for line in self.lists[listed.name]])
        return self._lines_of[listed.name]

    def _source_of(self, operand: s.Operand, field: Field, wanted: str, own: core.Transform) -> core.Wanted:
        gives = "text" if own == "lower" else "number"
        if wanted not in (gives, "any"):
            raise Unfit(operand, f"{operand.function} gives {an(gives)}, the test wants {an(wanted)}")
        takes: core.Wanted = "list" if own == "count" else "text"
        if field.kind not in (takes, "dynamic"):
            other = "COUNT counts a list" if field.kind == "list" else ""
            shown = f"{operand.function} takes {an(takes)}, {operand.field} is {an(field.kind)}"
            raise Unfit(operand, shown, other)
        return takes

    def _compare(self, tree: s.Compare, scope: Scope) -> core.Core:
        value = self.constant(tree.value)
        operator = tree.operator
        if isinstance(value, (s.Listed, s.FileList)):
            raise Unfit(tree.value, f"found a list after {operator}", "write IN to test for one of a list")
        if isinstance(value, s.Operand):
            return self._compare_fields(tree, value, scope)
        if value.kind == "regex":
            raise Unfit(tree.value, f"found a regular expression after {operator}", "write MATCHES /…/")
        wanted: Any = _KINDS[value.kind]
        if operator not in ("==", "!=") and wanted != "number":
            raise Unfit(tree.value, f"found {an(wanted)} after {operator}, wanted a number")
        reading = self.reading(tree.operand, scope, wanted)
        if operator == "!=":
            leaf = core.Leaf(reading, "==", value.value, None, tree.start, tree.end)
            return core.Inverse(leaf, tree.start, tree.end)
        return core.Leaf(reading, operator, value.value, None, tree.start, tree.end)

    def _compare_fields(self, tree: s.Compare, other: s.Operand, scope: Scope) -> core.Core:
        wanted: Any = self._kind(tree.operand, scope) or self._kind(other, scope) or "text"
        if tree.operator not in ("==", "!="):
            wanted = "number"
        if wanted == "list":
            raise Unfit(tree.operand, "two lists cannot be compared", "test with CONTAINS or COUNT")
        left, right = self.reading(tree.operand, scope, wanted), self.reading(other, scope, wanted)
        operator = "==" if tree.operator == "!=" else tree.operator
        leaf = core.Leaf(left, operator, None, right, tree.start, tree.end)
        return core.Inverse(leaf, tree.start, tree.end) if tree.operator == "!=" else leaf

    def _kind(self, operand: s.Operand, scope: Scope) -> Any:
        if operand.function:
            return "text" if operand.function == "LOWER" else "number"
        kind = self.field(operand, scope)[0].kind
        return None if kind == "dynamic" else kind

    def _within(self, tree: s.Within, scope: Scope) -> core.Core:
        found = self.constant(tree.value)
        if isinstance(found, s.FileList):
            return self._within_file(tree, found, scope)
        items = self._items(tree.value)
        if not items:
            return core.Constant(start=tree.start, end=tree.end, holds=False)
        kinds = {_KINDS.get(item.kind, "regex") for item in items}
        if len(kinds) > 1 or "regex" in kinds:
            odd = next((item for item in items if item.kind != items[0].kind), items[0])
            raise Unfit(odd, f"found {an(odd.kind)} in a list of {items[0].kind}s", "a list holds one type")
        wanted: Any = kinds.pop()
        reading = self.reading(tree.operand, scope, wanted)
        values = frozenset([item.value for item in items])
        return core.Leaf(reading, "in", values, None, tree.start, tree.end)

    def _within_file(self, tree: s.Within, listed: s.FileList, scope: Scope) -> core.Core:
        lines = self._lines(listed, tree.value)
        if not lines:
            return core.Constant(start=tree.start, end=tree.end, holds=False)
        reading = self.reading(tree.operand, scope, "text")
        # A list of 100,000 lines is a set of 4 MB, and often many rules ask for the same one.
        if listed.name not in self._sets:
            self._sets[listed.name] = frozenset(lines)
        return core.Leaf(reading, "in", self._sets[listed.name], None, tree.start, tree.end)

    def _text_test(self, tree: s.TextTest, scope: Scope) -> core.Core:
        operator = tree.operator.lower()
        # A pattern ignores case by itself; of a folded text (straße is strasse) it would find less.
        transform: core.Transform = "fold" if tree.folded and operator != "matches" else ""
        wanted: Any = "text"
        if operator in ("contains", "includes"):
            kind = self._kind(tree.operand, scope)
            wanted = {"list": "list", None: "text or list"}.get(kind, "text")
            operator = "member" if wanted == "list" else "contains"
        reading = self.reading(tree.operand, scope, wanted, transform)
        value = self.constant(tree.value)
        if isinstance(value, s.Operand):
            return self._text_test_fields(tree, operator, reading, value, scope)
        if operator == "matches":
            patterns = tuple([self._pattern(item, folded=tree.folded) for item in self._items(tree.value)])
            return core.Leaf(reading, operator, patterns, None, tree.start, tree.end)
        if isinstance(value, s.Literal) and value.kind == "regex":
            raise Unfit(tree.value, "found a regular expression, wanted text", "write MATCHES /…/")
        texts = self.texts(tree.value, fold=tree.folded)
        if not texts:
            return core.Constant(start=tree.start, end=tree.end, holds=False)
        found = frozenset(texts) if operator == "member" else tuple(dict.fromkeys(texts))
        return core.Leaf(reading, operator, found, None, tree.start, tree.end)

    def _text_test_fields(
        self, tree: s.TextTest, operator: str, left: core.Reading, other: s.Operand, scope: Scope
    ) -> core.Core:
        if operator == "matches":
            raise Unfit(tree.value, "found a field, wanted a regular expression", "write MATCHES /…/")
        right = self.reading(other, scope, "text", "fold" if tree.folded else "")
        return core.Leaf(left, operator, None, right, tree.start, tree.end)

    def _pattern(self, literal: s.Literal, *, folded: bool) -> str:
        if literal.kind not in ("regex", "text"):
            raise Unfit(literal, f"found {an(literal.kind)}, wanted a regular expression", "write /…/")
        pattern = nfc(str(literal.value))
        pattern = f"(?i){pattern}" if folded else pattern
        wrong = self._patterns.get(pattern)
        if wrong is None:
            wrong = self._patterns[pattern] = wrong_pattern(pattern)
        if wrong:
            hint = "RE2 has no look-around and no back-references" if is_perl(pattern) else ""
            raise Unfit(literal, f"this regular expression does not compile: {wrong}", hint)
        return pattern

    def _use(self, tree: s.Use, scope: Scope, report: Report) -> core.Core:
        definition = self.lets.get(tree.name)
        if definition is None:
            raise Unfit(tree, f"there is no LET {tree.name}", meant(tree.name, self.lets))
        self.used.add(tree.name)
        if tree.name in self.broken:
            return core.Constant(start=tree.start, end=tree.end, holds=False)
        value = definition.let.value
        if not _is_condition(value):
            raise Unfit(tree, f"{tree.name} is a value, not a condition", f"write {tree.name} without $")
        self._uses = self._uses + 1 if self._depth else 0
        if self._uses > MAX_LET_USES:
            if self._uses > MAX_LET_USES + 1:
                return core.Constant(start=tree.start, end=tree.end, holds=False)
            raise Unfit(tree, f"LETs use one another more than {MAX_LET_USES} times here")
        if self._depth >= MAX_LET_DEPTH:
            raise Unfit(tree, f"LETs use one another more than {MAX_LET_DEPTH} deep")
        deeper = nesting(value)
        if self._nesting + deeper > MAX_LET_NESTING:
            raise Unfit(tree, f"LETs nest conditions more than {MAX_LET_NESTING} deep together")
        self._depth += 1
        self._nesting += deeper
        try:
            made = self.condition(value, scope, _moved_to(tree, report))  # type: ignore[arg-type]
        finally:
            self._depth -= 1
            self._nesting -= deeper
        return made if self._depth else _respanned(made, tree.start, tree.end)

    def _time(self, tree: s.TimeIn) -> core.Core:
        if tree.first == tree.until:
            raise Unfit(tree, "this window is empty", "a whole day is 00:00..24:00")
        try:
            zone = self.loader.zone(tree.zone)
        except Unavailable as why:
            raise Unfit(tree, f'the time zone "{tree.zone}" is not known: {why}') from None
        days = frozenset(tree.days) or frozenset(range(7))
        return core.Window(tree.first, tree.until, days, zone, tree.start, tree.end)


def _is_condition(value: object) -> bool:
    return not isinstance(value, (s.Literal, s.Listed, s.FileList, s.Operand))


def _combined(own: core.Transform, asked: core.Transform) -> core.Transform:
    return asked if own == "lower" and asked == "fold" else own


def _moved_to(place: s.Use, report: Report) -> Report:
    # The LET may stand in another file; its own mistakes are reported there, here it is enough to point.
    # Of LETs that use one another the innermost is named: the mistake is there, unless it is their number.
    def moved(_start: int, _end: int, message: str, hint: str) -> None:
        named = message.startswith(("$", "LETs "))
        report(place.start, place.end, message if named else f"${place.name}: {message}", hint)

    return moved


def _respanned(made: core.Core, start: int, end: int) -> core.Core:
    """The condition of a LET, placed where it is used: that is what the rule's reader sees."""
    match made:
        case core.All(items=items):
            return core.All(tuple([_respanned(item, start, end) for item in items]), start, end)
        case core.Some(items=items):
            return core.Some(tuple([_respanned(item, start, end) for item in items]), start, end)
        case core.Inverse(item=item):
            return core.Inverse(_respanned(item, start, end), start, end)
        case _:
            return msgspec.structs.replace(made, start=start, end=end)


def _at(literal: s.Literal, place: s.Value) -> s.Literal:
    return s.Literal(literal.kind, literal.value, place.start, place.end)
