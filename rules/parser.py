"""Parse a rule file into statements, one at a time, going on after every mistake.

`statements` yields each statement as soon as it is read, so that a caller can check it, compile
it and drop it. A mistake is handed to the `report` callback; the parser then goes on at the
next WHEN, RULE, RULESET, LET, TEST, OTHERWISE or END.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rules import syntax as s
from rules.conditions import TESTS, condition, listed, literal, operand, value
from rules.cursor import Cursor, Mistake
from rules.tokens import KEYWORDS

STATEMENTS = ("WHEN", "RULE", "RULESET", "LET", "TEST", "OTHERWISE", "END")
_STARTS = frozenset(STATEMENTS)
Report = Callable[[int, int, str, str], None]


def statements(text: str, report: Report) -> Iterator[s.Statement]:
    """The statements of `text` in order; `report(start, end, message, hint)` for each mistake."""
    cursor = Cursor(text)
    while cursor.kind != "end":
        begin = cursor.start
        try:
            yield statement(cursor)
        except Mistake as mistake:
            report(mistake.start, mistake.end, mistake.message, mistake.hint)
            recover(cursor, begin)


def statement(c: Cursor) -> s.Statement:
    """The statement that starts at the cursor. Raises `Mistake`."""
    c.depth = 0
    match c.word:
        case "WHEN" | "RULE":
            return _rule(c)
        case "LET":
            return _let(c)
        case "RULESET":
            return _open(c)
        case "END":
            c.advance()
            return s.Close(c.last - 3, c.last)
        case "OTHERWISE":
            return _otherwise(c)
        case "TEST":
            return _test(c)
        case "IF":
            raise c.mistake("a rule", "a rule starts with WHEN")
        case "AND" | "OR":
            raise c.mistake("the start of a statement", "a condition ends at THEN")
        case _:
            raise c.mistake("WHEN, RULE, RULESET, LET, OTHERWISE, END or TEST", keywords=STATEMENTS)


def recover(c: Cursor, begin: int) -> None:
    """After a mistake in a statement that began at `begin`, skip to the next one, past at least one token."""
    before = ""
    if c.start == begin:
        before = c.word
        c.advance()
    while c.kind != "end":
        # In `EXPECT NO RULE` and `EXPECT RULE` the word starts nothing.
        if c.kind == "name" and c.word in _STARTS and not (c.word == "RULE" and before in ("NO", "EXPECT")):
            return
        before = c.word
        c.advance()


def _rule(c: Cursor) -> s.Rule:
    start = c.start
    name, note, priority, shadow, disabled, named = "", "", 0, False, False, False
    if c.take("RULE"):
        name, named = c.string("the rule's name"), True
        while c.word != "WHEN":
            match c.word:
                case "PRIORITY":
                    c.advance()
                    priority = _priority(c)
                case "SHADOW":
                    c.advance()
                    shadow = True
                case "DISABLED":
                    c.advance()
                    disabled = True
                case "NOTE":
                    c.advance()
                    note = c.string("a note")
                case _:
                    known = ("WHEN", "PRIORITY", "SHADOW", "DISABLED", "NOTE")
                    raise c.mistake("PRIORITY, SHADOW, DISABLED, NOTE or WHEN", keywords=known)
    c.advance()
    when = condition(c)
    if c.word != "THEN":
        raise c.mistake("AND, OR or THEN", _missing_then(c), keywords=("AND", "OR", "THEN"))
    c.advance()
    done = _actions(c)
    outcome = c.word if c.word in ("STOP", "CONTINUE") else ""
    if outcome:
        c.advance()
    return s.Rule(name, named, priority, shadow, disabled, note, when, done, outcome, start, c.last)  # type: ignore[arg-type]


def _missing_then(c: Cursor) -> str:
    if c.word in _STARTS or c.kind == "end":
        return "a rule needs THEN and at least one action"
    return "use == to compare" if c.word == "=" else ""


def _priority(c: Cursor) -> int:
    if c.kind != "int" or len(c.value) > 7:
        raise c.mistake("a whole number of at most six digits after PRIORITY")
    number = int(c.value)
    c.advance()
    return number


def _actions(c: Cursor) -> tuple[s.Action, ...]:
    first = _action(c)
    if c.word != "," and c.word != "AND":
        return (first,)
    done = [first]
    while c.take(",") or c.take("AND"):
        done.append(_action(c))
    return tuple(done)


def _action(c: Cursor) -> s.Action:
    start = c.start
    # An action may be called like a keyword (`priority(2)`), for only an action is followed by `(`.
    keyword = c.word in KEYWORDS and not c.precedes("(")
    if c.kind != "name" or keyword or "." in c.value:
        raise c.mistake('an action such as route_to("pipeline")')
    name = c.value
    c.advance()
    c.want("(", f"`(` after the action {name}")
    arguments: list[s.Argument] = []
    while c.word != ")":
        arguments.append(_argument(c))
        if not c.take(",") and c.word != ")":
            raise c.mistake("`,` or `)`")
    c.advance()
    per = operand(c) if c.take("PER") else None
    return s.Action(name, tuple(arguments), per, start, c.last)


def _argument(c: Cursor) -> s.Argument:
    start, name = c.start, ""
    given: s.Value = listed(c) if c.word in ("[", "FILE") else value(c)
    if c.word == "=" and isinstance(given, s.Operand) and not given.function and not given.keys:
        name = given.field
        c.advance()
        given = listed(c) if c.word in ("[", "FILE") else value(c)
    return s.Argument(name, given, start, c.last)


def _otherwise(c: Cursor) -> s.Otherwise:
    start = c.start
    c.advance()
    c.take("THEN")
    return s.Otherwise(_actions(c), start, c.last)


def _let(c: Cursor) -> s.Let:
    start = c.start
    c.advance()
    name = c.name("a name after LET")
    c.want("=", f"`=` after LET {name}")
    made: s.Literal | s.Listed | s.FileList | s.Condition
    if c.word in ("[", "FILE"):
        made = listed(c)
    elif c.kind in ("name", "op") and c.word not in ("TRUE", "FALSE"):
        made = condition(c)
    else:
        made = literal(c)
    return s.Let(name, made, start, c.last)


def _open(c: Cursor) -> s.Open:
    start = c.start
    c.advance()
    name, mode = c.string("the ruleset's name"), ""
    if c.take("MODE"):
        if c.word not in ("FIRST", "ALL"):
            raise c.mistake("FIRST or ALL after MODE", keywords=("FIRST", "ALL"))
        mode = c.word
        c.advance()
    return s.Open(name, mode, start, c.last)  # type: ignore[arg-type]


def _test(c: Cursor) -> s.Test:
    start = c.start
    c.advance()
    name = c.string("the test's name")
    c.want("GIVEN", "GIVEN and the fields of a message")
    given = [_binding(c)]
    while c.take(","):
        given.append(_binding(c))
    at = c.string('a moment such as "2026-03-02T09:00:00Z"') if c.take("AT") else ""
    expected: list[s.Expectation] = []
    while c.word == "EXPECT":
        expected.append(_expectation(c))
    if not expected:
        raise c.mistake("`,`, AT or EXPECT", keywords=("EXPECT", "AT"))
    return s.Test(name, tuple(given), at, tuple(expected), start, c.last)


def _binding(c: Cursor) -> s.Binding:
    field = operand(c)
    if c.word == "==":
        raise c.mistake("`=`", "GIVEN sets a field, with one =")
    c.want("=", f"`=` after {field.field}")
    if c.take("MISSING"):
        return s.Binding(field, None, field.start, c.last)
    given = listed(c) if c.word in ("[", "FILE") else literal(c)
    return s.Binding(field, given, field.start, c.last)


def _expectation(c: Cursor) -> s.Expectation:
    start = c.start
    c.advance()
    if c.take("RULE"):
        return s.Expectation(None, rule=c.string("the rule's name"), start=start, end=c.last)
    if c.take("NO"):
        c.want("RULE", "RULE after NO")
        return s.Expectation(None, negated=True, start=start, end=c.last)
    negated = c.take("NOT")
    return s.Expectation(_action(c), negated, "", start, c.last)


__all__ = ["TESTS", "Report", "recover", "statement", "statements"]
