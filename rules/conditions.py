"""Parse conditions and the values they compare with.

Recursive descent over the grammar `cond → conj → neg → predicate`; parentheses and NOT may nest
`MAX_DEPTH` deep, so a hostile file cannot exhaust the stack.
"""

from __future__ import annotations

from rules import syntax as s
from rules.cursor import Cursor, Mistake
from rules.tokens import BYTES, DAYS, KEYWORDS, SECONDS

MAX_DEPTH = 60
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
TEXT_TESTS = frozenset({"CONTAINS", "INCLUDES", "MATCHES", "STARTS", "ENDS"})
FUNCTIONS = frozenset({"LENGTH", "LOWER", "COUNT"})
TESTS = "a test such as ==, IN, CONTAINS, MATCHES, STARTS WITH or EXISTS"
_TEST_WORDS = ("IN", "CONTAINS", "INCLUDES", "MATCHES", "STARTS", "ENDS", "EXISTS", "NOT")
# What is later has no date that a clock or a calendar could show.
MOST_DAYS = 36_500
_LITERALS = frozenset({"string", "int", "float", "duration", "size", "regex"})


def condition(c: Cursor) -> s.Condition:
    """`conj { OR conj }`, as one flat `Or`."""
    start = c.start
    first = _conjunction(c)
    if c.word != "OR":
        return first
    items = [first]
    while c.take("OR"):
        items.append(_conjunction(c))
    return s.Or(tuple(items), start, c.last)


def _conjunction(c: Cursor) -> s.Condition:
    start = c.start
    first = _negation(c)
    if c.word != "AND":
        return first
    items = [first]
    while c.take("AND"):
        items.append(_negation(c))
    return s.And(tuple(items), start, c.last)


def _negation(c: Cursor) -> s.Condition:
    word = c.word
    if word != "NOT" and word != "(" and word != "$":
        return _predicate(c)
    start = c.start
    c.advance()
    if word == "$":
        return s.Use(c.name("the name of a LET condition"), start, c.last)
    c.depth += 1
    if c.depth > MAX_DEPTH:
        raise Mistake(start, start + 1, f"conditions nest more than {MAX_DEPTH} deep", "name parts with LET")
    if word == "NOT":
        inverted = s.Not(_negation(c), start, c.last)
        c.depth -= 1
        return s.Not(inverted.item, start, c.last)
    item = condition(c)
    c.want(")", "`)`, AND or OR")
    c.depth -= 1
    return s.Group(item, start, c.last)


def _predicate(c: Cursor) -> s.Condition:
    start = c.start
    if c.word == "TIME":
        return _time(c)
    subject = operand(c)
    word = c.word
    if word in COMPARISONS:
        c.advance()
        return s.Compare(subject, word, _value_or_list(c), start, c.last)
    negated = c.take("NOT")
    word = c.word
    if word == "IN":
        c.advance()
        return s.Within(subject, negated, _list_or_name(c), start, c.last)
    if word in TEXT_TESTS:
        return _text_test(c, subject, negated, word, start)
    if word == "EXISTS":
        c.advance()
        return s.Exists(subject, negated, start, c.last)
    if word == "=":
        raise Mistake(c.start, c.end, f"found `=`, wanted {TESTS}", "use == to compare")
    raise c.mistake(TESTS, keywords=_TEST_WORDS)


def _text_test(c: Cursor, subject: s.Operand, negated: bool, word: str, start: int) -> s.Condition:  # noqa: FBT001
    c.advance()
    if word in ("STARTS", "ENDS"):
        c.want("WITH")
    any_of = word == "CONTAINS" and c.take("ANY")
    wanted = _list_or_name(c) if any_of else _value_or_list(c)
    folded = c.take("IGNORING")
    if folded:
        c.want("CASE")
    return s.TextTest(subject, negated, word, any_of, wanted, folded, start, c.last)


def operand(c: Cursor) -> s.Operand:
    """A field, or LENGTH, LOWER or COUNT of one."""
    start, word = c.start, c.word
    if c.kind != "name":
        raise c.mistake("a field such as message.content", _field_hint(c))
    if word in FUNCTIONS:
        c.advance()
        c.want("(", f"`(` after {word}")
        inner = operand(c)
        if inner.function:
            raise Mistake(inner.start, inner.end, f"found {inner.function}(…), wanted a field inside {word}")
        c.want(")")
        return s.Operand(word, inner.field, inner.keys, start, c.last)
    if word in KEYWORDS:
        raise c.mistake("a field such as message.content")
    return _field(c, start)


def _field(c: Cursor, start: int) -> s.Operand:
    field = c.value
    c.advance()
    keys: tuple[str, ...] = ()
    while c.word == "[" or (c.word == "." and keys):
        if c.take("["):
            keys = (*keys, c.string("a key"))
            c.want("]")
            continue
        c.advance()
        if c.kind != "name":
            raise c.mistake("a name after the dot")
        names = c.value.split(".")
        c.advance()
        keys = (*keys, *names)
    if keys and keys[-1] == "length" and c.text[c.last - 1] != "]":
        return s.Operand("LENGTH", field, keys[:-1], start, c.last)
    if not keys and field.endswith(".length"):
        return s.Operand("LENGTH", field[:-7], (), start, c.last)
    return s.Operand("", field, keys, start, c.last)


def value(c: Cursor) -> s.Literal | s.Operand:
    """A literal, a LET constant's name or an operand."""
    if c.kind in _LITERALS or c.word == "TRUE" or c.word == "FALSE":
        return literal(c)
    if c.kind != "name" or (c.word in KEYWORDS and c.word not in FUNCTIONS):
        raise c.mistake('a value such as "text", 42, TRUE or a field')
    return operand(c)


def literal(c: Cursor) -> s.Literal:
    """One literal; durations become seconds, sizes bytes, `/…/i` a pattern with (?i)."""
    kind, token, start = c.kind, c.value, c.start
    made: s.Literal
    if kind == "string":
        made = s.Literal("text", c.unquoted(), start, c.end)
    elif kind == "int":
        made = s.Literal("number", _integer(c, token), start, c.end)
    elif kind == "float":
        made = s.Literal("number", float(token), start, c.end)
    elif kind == "duration":
        made = s.Literal("duration", _seconds(c), start, c.end)
    elif kind == "size":
        made = s.Literal("size", _integer(c, token[:-2]) * BYTES[token[-2:].upper()], start, c.end)
    elif kind == "regex":
        made = s.Literal("regex", _pattern(token), start, c.end)
    elif c.word in ("TRUE", "FALSE"):
        made = s.Literal("boolean", c.word == "TRUE", start, c.end)
    else:
        raise c.mistake('a literal such as "text", 42, 5m or TRUE')
    c.advance()
    return made


def listed(c: Cursor) -> s.Listed | s.FileList:
    """`[literal, …]` or `FILE "name"`."""
    start = c.start
    if c.take("FILE"):
        return s.FileList(c.string("the name of a list file"), start, c.last)
    c.want("[", "a list in brackets, FILE or the name of a LET list")
    items: list[s.Literal] = []
    while c.word != "]":
        items.append(literal(c))
        if not c.take(",") and c.word != "]":
            raise c.mistake("`,` or `]`")
    c.advance()
    return s.Listed(tuple(items), start, c.last)


def _list_or_name(c: Cursor) -> s.Value:
    if c.kind == "name" and c.word not in KEYWORDS:
        return operand(c)
    return listed(c)


def _value_or_list(c: Cursor) -> s.Value:
    return listed(c) if c.word in ("[", "FILE") else value(c)


def _time(c: Cursor) -> s.TimeIn:
    start = c.start
    c.advance()
    c.want("IN", "IN after TIME")
    first = _clock(c)
    c.want("..", "`..` between two times")
    until = _clock(c)
    days: tuple[int, ...] = ()
    if c.take("ON"):
        days = _days(c)
    zone = c.string('a time zone such as "Europe/London"') if c.take("TZ") else ""
    return s.TimeIn(first, until, days, zone, start, c.last)


def _clock(c: Cursor) -> int:
    if c.kind != "clock":
        raise c.mistake("a time of day such as 09:30")
    hour, minute = c.value.split(":")
    minutes = int(hour) * 60 + int(minute)
    if minutes > 24 * 60 or int(minute) > 59:
        raise Mistake(c.start, c.end, f"found `{c.value}`, wanted a time from 00:00 to 24:00")
    c.advance()
    return minutes


def _days(c: Cursor) -> tuple[int, ...]:
    first = _day(c)
    if c.take("-"):
        last = _day(c)
        return tuple(day % 7 for day in range(first, last + 1 if last >= first else last + 8))
    days = [first]
    while c.take(","):
        days.append(_day(c))
    return tuple(dict.fromkeys(days))


def _day(c: Cursor) -> int:
    if c.word not in DAYS:
        raise c.mistake("a day: MON, TUE, WED, THU, FRI, SAT or SUN", keywords=DAYS)
    day = DAYS.index(c.word)
    c.advance()
    return day


def _integer(c: Cursor, digits: str) -> int:
    if len(digits) > 18:
        raise Mistake(c.start, c.end, "this number is too large", "numbers have at most 18 digits")
    return int(digits)


def _seconds(c: Cursor) -> float:
    unit = c.value.lstrip("0123456789")
    seconds = int(c.value[: -len(unit)][:18]) * SECONDS[unit]
    if seconds > MOST_DAYS * SECONDS["d"]:
        raise Mistake(c.start, c.end, "this duration is too long", f"a hundred years, {MOST_DAYS}d, are the most")
    return seconds


def _pattern(token: str) -> str:
    ignoring_case = token.endswith("i")
    body = token[1 : -2 if ignoring_case else -1].replace("\\/", "/")
    return f"(?i){body}" if ignoring_case else body


def _field_hint(c: Cursor) -> str:
    return "the field stands on the left: field == value" if c.kind in _LITERALS else ""
