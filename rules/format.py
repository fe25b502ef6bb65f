"""Write a rule file in its canonical form: same meaning, same comments, one layout.

Formatting twice changes nothing more. A comment inside a statement moves above it; comments
between statements and at the end of a line stay where they are. Tests that were given a line each keep it.
"""

from __future__ import annotations

import re

from rules import syntax as s
from rules.errors import Problem, Rejected, problem_at
from rules.parser import statements
from rules.tokens import DAYS, quote

WIDTH = 90
_TRIVIA = re.compile(r'"(?:[^"\\\n]|\\[^\n])*+"|/(?:[^/\\\n]|\\[^\n])++/|(?P<comment>\#[^\n]*+)')


def format_text(text: str, name: str = "rules") -> str | Rejected:
    """The canonical form of `text`, or what is wrong with it."""
    problems: list[Problem] = []

    def report(start: int, end: int, message: str, hint: str) -> None:
        if len(problems) < 100:
            problems.append(problem_at(name, text, start, end, message, hint))

    made = list(statements(text, report))
    return Rejected(tuple(problems)) if problems else _Writer(text).write(made)


class _Writer:
    def __init__(self, text: str) -> None:
        self._text = text
        found = (match for match in _TRIVIA.finditer(text) if match["comment"])
        self._comments = [(match.start(), match["comment"].rstrip()) for match in found]
        self._lines: list[str] = []
        self._indent = ""
        self._done = 0

    def write(self, made: list[s.Statement]) -> str:
        for statement in made:
            if isinstance(statement, s.Close):
                self._above(statement.start)
                self._indent = ""
            else:
                self._above(statement.start)
            self._statement(statement)
            if isinstance(statement, s.Open):
                self._indent = "  "
        self._above(len(self._text))
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        return "\n".join(self._lines) + "\n" if self._lines else ""

    def _statement(self, statement: s.Statement) -> None:
        inner = self._take(statement.end)
        self._lines.extend(self._indent + comment for comment in inner)
        lines = [self._indent + line for line in _Printer(self._text).lines(statement)]
        newline = self._text.find("\n", statement.end)
        newline = len(self._text) if newline < 0 else newline
        if self._comments and self._comments[0][0] < newline:
            between = self._text[statement.end : self._comments[0][0]]
            if not between.strip():
                lines[-1] += "  " + self._comments.pop(0)[1]
                statement_end = newline
                self._lines.extend(lines)
                self._done = statement_end
                return
        self._lines.extend(lines)
        self._done = statement.end

    def _above(self, start: int) -> None:
        """The comments before a statement, and one blank line where there were any."""
        while self._comments and self._comments[0][0] < start:
            place, comment = self._comments.pop(0)
            self._blank(place)
            self._lines.append(self._indent + comment)
            self._done = place + len(comment)
        self._blank(start)

    def _blank(self, start: int) -> None:
        if self._lines and self._lines[-1] and self._text.count("\n", self._done, start) > 1:
            self._lines.append("")
        self._done = max(self._done, start)

    def _take(self, end: int) -> list[str]:
        taken = []
        while self._comments and self._comments[0][0] < end:
            taken.append(self._comments.pop(0)[1])
        return taken


class _Printer:
    """Statements as canonical lines; literals are copied as they were written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def lines(self, statement: s.Statement) -> list[str]:
        match statement:
            case s.Let(name=name, value=value):
                return [f"LET {name} = {self._let(value)}"]
            case s.Open(name=name, mode=mode):
                return [f"RULESET {quote(name)}" + (f" MODE {mode}" if mode else "")]
            case s.Close():
                return ["END"]
            case s.Otherwise(actions=actions):
                return [f"OTHERWISE {self._actions(actions)}"]
            case s.Rule():
                return self._rule(statement)
            case s.Test():
                return self._test(statement)

    def _rule(self, rule: s.Rule) -> list[str]:
        lines = []
        if rule.named:
            parts = [f"RULE {quote(rule.name)}"]
            parts += [f"PRIORITY {rule.priority}"] if rule.priority else []
            parts += ["SHADOW"] if rule.shadow else []
            parts += ["DISABLED"] if rule.disabled else []
            parts += [f"NOTE {quote(rule.note)}"] if rule.note else []
            lines.append(" ".join(parts))
        condition = self._condition(rule.condition)
        then = f"THEN {self._actions(rule.actions)}" + (f" {rule.outcome}" if rule.outcome else "")
        spread = self._spread(rule.condition)
        if not rule.named and not spread and len(condition) + len(then) + 6 <= WIDTH:
            return [f"WHEN {condition} {then}"]
        if isinstance(rule.condition, (s.And, s.Or)) and (spread or len(condition) + 5 > WIDTH):
            word = "AND" if isinstance(rule.condition, s.And) else "OR"
            first, *others = [self._condition(item) for item in rule.condition.items]
            return [*lines, f"WHEN {first}", *[f"{word} {other}" for other in others], then]
        return [*lines, f"WHEN {condition}", then]

    def _spread(self, condition: s.Condition) -> bool:
        """Whether the operator gave each test of the condition a line of its own; then it keeps it."""
        if not isinstance(condition, (s.And, s.Or)):
            return False
        pairs = zip(condition.items, condition.items[1:], strict=False)
        return all("\n" in self._text[before.end : after.start] for before, after in pairs)

    def _test(self, test: s.Test) -> list[str]:
        given = ", ".join([self._binding(binding) for binding in test.given])
        lines = [f"TEST {quote(test.name)}", f"  GIVEN {given}"]
        lines += [f"  AT {quote(test.at)}"] if test.at else []
        return lines + [f"  EXPECT {self._expectation(one)}" for one in test.expected]

    def _binding(self, binding: s.Binding) -> str:
        value = "MISSING" if binding.value is None else self._value(binding.value)
        return f"{self._value(binding.operand)} = {value}"

    def _expectation(self, expected: s.Expectation) -> str:
        if expected.action is not None:
            return ("NOT " if expected.negated else "") + self._action(expected.action)
        return "NO RULE" if expected.negated else f"RULE {quote(expected.rule)}"

    def _let(self, value: s.Value | s.Condition) -> str:
        if isinstance(value, (s.Literal, s.Listed, s.FileList, s.Operand)):
            return self._value(value)
        return self._condition(value)

    def _condition(self, tree: s.Condition) -> str:
        match tree:
            case s.Or(items=items):
                return " OR ".join([self._condition(item) for item in items])
            case s.And(items=items):
                return " AND ".join([self._condition(item) for item in items])
            case s.Not(item=item):
                return f"NOT {self._condition(item)}"
            case s.Group(item=item):
                return f"({self._condition(item)})"
            case s.Use(name=name):
                return f"${name}"
            case s.Compare():
                return f"{self._value(tree.operand)} {tree.operator} {self._value(tree.value)}"
            case s.Within():
                return f"{self._value(tree.operand)} {_not(tree)}IN {self._value(tree.value)}"
            case s.Exists():
                return f"{self._value(tree.operand)} {_not(tree)}EXISTS"
            case s.TimeIn():
                return _time(tree)
            case s.TextTest():
                word = {"STARTS": "STARTS WITH", "ENDS": "ENDS WITH"}.get(tree.operator, tree.operator)
                word += " ANY" if tree.any else ""
                case = " IGNORING CASE" if tree.folded else ""
                return f"{self._value(tree.operand)} {_not(tree)}{word} {self._value(tree.value)}{case}"

    def _actions(self, actions: tuple[s.Action, ...]) -> str:
        return ", ".join([self._action(action) for action in actions])

    def _action(self, action: s.Action) -> str:
        given = [(f"{a.name}=" if a.name else "") + self._value(a.value) for a in action.arguments]
        per = f" PER {self._value(action.per)}" if action.per else ""
        return f"{action.name}({', '.join(given)}){per}"

    def _value(self, value: s.Value) -> str:
        match value:
            case s.Literal(kind="boolean"):
                return "TRUE" if value.value else "FALSE"
            case s.Literal():
                return self._text[value.start : value.end]
            case s.Listed(items=items):
                return f"[{', '.join([self._value(item) for item in items])}]"
            case s.FileList(name=name):
                return f"FILE {quote(name)}"
            case s.Operand():
                field = value.field + "".join([f"[{quote(key)}]" for key in value.keys])
                return f"{value.function}({field})" if value.function else field


def _not(tree: s.Within | s.Exists | s.TextTest) -> str:
    return "NOT " if tree.negated else ""


def _time(tree: s.TimeIn) -> str:
    first, until = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (tree.first, tree.until)]
    days = ""
    if len(tree.days) > 2 and all((b - a) % 7 == 1 for a, b in zip(tree.days, tree.days[1:], strict=False)):
        days = f" ON {DAYS[tree.days[0]]}-{DAYS[tree.days[-1]]}"
    elif tree.days:
        days = " ON " + ",".join([DAYS[day] for day in tree.days])
    return f"TIME IN {first}..{until}{days}" + (f" TZ {quote(tree.zone)}" if tree.zone else "")
