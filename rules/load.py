"""Load rule files: parse, check, compile. All problems of all files, or a `Ruleset`.

Works rule by rule: a rule's tree is dropped once its condition is checked, only its place in the
source is kept. Bounded in every direction: size of a file, number of problems, nesting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby

from rules import syntax as s
from rules.breath import Breathe, at_once
from rules.calls import ActionChecker
from rules.check import Checker
from rules.cursor import Cursor, Mistake
from rules.decision import Ready, RuleRef
from rules.decoding import decoded
from rules.draft import Draft, Drafted, Found, Mark, engine_of, placed
from rules.errors import Problem, Rejected, meant, problem_at
from rules.layers import Layers
from rules.lets import Definition, cycle_from, entangled, leaves_first
from rules.parser import statement, statements
from rules.places import BLOCK, FIXED, LOOSE
from rules.ruleset import ROUTING, Blocks, Ruleset
from rules.vocabulary import Loader, Scope, Vocabulary

MAX_PROBLEMS = 100
# LETs of a file that lead back to themselves: to follow the cycle of each of 100,000 would take hours.
MAX_CYCLES = 10
# In leaps of so many words: one search over 9 MB would hold the interpreter for 170 ms.
_LET = re.compile(
    r"""(?:[^\w"#/]++|"(?:[^"\\\n]|\\[^\n])*+"|\#[^\n]*+|/(?:[^/\\\n]|\\[^\n])++/|(?!(?i:let)\b)\w++|["/]){0,2000}+
    (?P<let>(?i:let)\b)?+""",
    re.VERBOSE,
)


def load(
    files: Mapping[str, str | bytes],
    vocabulary: Vocabulary,
    loader: Loader,
    *,
    breathe: Breathe = at_once,
) -> Ruleset | Rejected:
    """The ruleset the files make together, or every problem found in them.

    `breathe` is called after each rule that was checked, and again when it is indexed: a host whose
    other threads must go on may rest in it.
    """
    return Load(vocabulary, loader, breathe=breathe).run(files)


class _TooMany(Exception):
    """A file has MAX_PROBLEMS; more would help nobody."""


class Load:
    """One load of a set of files."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        loader: Loader,
        lets: dict[str, Definition] | None = None,
        *,
        block: int = 0,
        breathe: Breathe = at_once,
    ) -> None:
        self._breathe = breathe
        self.vocabulary, self.loader = vocabulary, loader
        self.problems: list[Problem] = []
        self.lets: dict[str, Definition] = lets or {}
        self.names: dict[tuple[str, str], RuleRef] = {}
        self.checker = Checker(loader, self.lets)
        self.calls = ActionChecker(self.checker, dict(vocabulary.names))
        self.drafts: dict[str, Draft] = {}
        self.tests: dict[str, list[int]] = {}
        self.marks: dict[str, list[Mark]] = {}
        self._file, self._text, self._reported = "", "", 0
        self.block, self._filled = block, 0

    def run(self, files: Mapping[str, str | bytes]) -> Ruleset | Rejected:
        sources = {}
        for name in sorted(files):
            text = self.decode(name, files[name])
            if text is not None:
                sources[name] = text
        for name, text in sources.items():
            self.guarded(name, text, self._gather_lets)
        self._check_lets(sources)
        for name, text in sources.items():
            self.guarded(name, text, self._read)
        if self.problems:
            return Rejected(tuple(sorted(self.problems, key=lambda p: (p.file, p.line, p.column))))
        made = self._ruleset(sources)
        self.checker.forget(self._breathe)
        self.calls.forget(self._breathe)
        return made

    def _ruleset(self, sources: dict[str, str]) -> Ruleset:
        found: dict[str, list[Found]] = {name: [] for name in sources}
        order = list(self.drafts)
        engines = {draft.name: engine_of(draft, found, order, self._breathe) for draft in self.drafts.values()}
        for name, marks in self.marks.items():
            found[name].extend((mark.start, order.index(mark.ruleset), mark.rank, mark.block) for mark in marks)
        places = {name: placed(each, self.tests.get(name, ()), self._breathe) for name, each in found.items()}
        names: Layers[tuple[str, str], int] = Layers(0)
        while self.names:
            key, _ = self.names.popitem()
            names.put(key, 1)
            self._breathe()
        blocks, lists = Blocks({}, self.block), self.checker.lists
        return Ruleset(engines, sources, self.lets, self.vocabulary, self.loader, places, names, lists, blocks)

    def _enter(self, name: str, text: str) -> None:
        self._file, self._text, self._filled = name, text, BLOCK
        self._reported = sum(problem.file == name for problem in self.problems)

    def guarded(self, name: str, text: str, work: Callable[[], None]) -> None:
        """Work on a file until it is done or has too many problems."""
        self._enter(name, text)
        try:
            work()
        except _TooMany:
            pass

    def report(self, start: int, end: int, message: str, hint: str = "") -> None:
        self._reported += 1
        if self._reported > MAX_PROBLEMS + 1:
            raise _TooMany
        if self._reported > MAX_PROBLEMS:
            message = f"more than {MAX_PROBLEMS} problems in this file; the rest is not shown"
            self.problems.append(problem_at(self._file, self._text, start, start + 1, message))
            raise _TooMany
        self.problems.append(problem_at(self._file, self._text, start, end, message, hint))

    def decode(self, name: str, content: str | bytes) -> str | None:
        """The text of a file; None if it has none, with the problem noted."""
        text = decoded(name, content)
        if isinstance(text, Problem):
            self.problems.append(text)
            return None
        return text

    def _gather_lets(self) -> None:
        position = 0
        while (match := _LET.match(self._text, position)) and match.end() > position:
            position = match.end()
            self._breathe()
            if match["let"] is None:
                continue
            cursor = Cursor(self._text, match.start("let"))
            try:
                made = statement(cursor)
            except Mistake:
                continue
            assert isinstance(made, s.Let)
            position = made.end
            known = self.lets.get(made.name)
            if known is not None:
                line = self._text.count("\n", 0, known.let.start) + 1
                where = known.file if known.file != self._file else f"line {line}"
                self.report(made.start, made.end, f"LET {made.name} is already defined", f"see {where}")
                continue
            self.lets[made.name] = Definition(self._file, made)

    def _check_lets(self, sources: dict[str, str]) -> None:
        knot = entangled(self.lets)
        self.checker.broken |= knot.keys()
        for file, names in groupby([name for name in self.lets if name in knot], lambda name: self.lets[name].file):
            self.guarded(file, sources[file], partial(self._tell_cycles, list(names)[:MAX_CYCLES], knot))
        # What a LET uses comes before it: a mistake is then told once, where it stands.
        for file, names in groupby(leaves_first(self.lets), lambda name: self.lets[name].file):
            self.guarded(file, sources[file], partial(self._check_each_let, list(names)))

    def _tell_cycles(self, names: list[str], knot: dict[str, list[str]]) -> None:
        for name in names:
            if cycle := cycle_from(name, knot):
                let, shown = self.lets[name].let, " → ".join(cycle[:8])
                self.report(let.start, let.end, f"LET {name} leads back to itself: {shown}")

    def _check_each_let(self, names: list[str]) -> None:
        scopes = list(self.vocabulary.scopes.values())
        for name in names:
            if name not in self.checker.broken:
                self._check_let(name, self.lets[name].let, scopes)

    def _check_let(self, name: str, let: s.Let, scopes: list[Scope]) -> None:
        found: list[list[tuple[int, int, str, str]]] = []
        used = set(self.checker.used)
        for scope in scopes:
            mistakes: list[tuple[int, int, str, str]] = []
            self.checker.definition(let, scope, lambda *args, into=mistakes: into.append(args))
            found.append(mistakes)
            if not mistakes:
                break
        self.checker.used = used
        if found and all(found):
            self.checker.broken.add(name)
            for mistake in found[0]:
                self.report(*mistake)

    def _read(self) -> None:
        draft = self._draft(ROUTING)
        opened: s.Open | None = None
        for made in statements(self._text, self.report):
            match made:
                case s.Rule():
                    self.rule(made, draft)
                case s.Test():
                    self.test(made, draft)
                case s.Otherwise():
                    self._mark(made.start, draft, FIXED)
                    self._otherwise(made, draft)
                case s.Open():
                    self._mark(made.start, draft, FIXED)
                    if opened is not None:
                        self.report(made.start, made.end, "a RULESET inside a RULESET", "close it with END")
                    opened, draft = made, self._open(made)
                case s.Close():
                    if opened is None:
                        self.report(made.start, made.end, "found END, but no RULESET is open")
                    self._mark(made.start, draft, FIXED)
                    opened, draft = None, self._draft(ROUTING)
                case s.Let():
                    self._mark(made.start, draft, FIXED)
        if opened is not None:
            self.report(opened.start, opened.end, f'RULESET "{opened.name}" has no END')

    def _draft(self, name: str) -> Draft:
        draft = self.drafts.get(name)
        if draft is None:
            scope = self.vocabulary.scopes.get(name) or Scope({}, {})
            draft = self.drafts[name] = Draft(name, scope)
        return draft

    def _open(self, made: s.Open) -> Draft:
        if made.name not in self.vocabulary.scopes:
            hint = meant(made.name, self.vocabulary.scopes)
            self.report(made.start, made.end, f'there is no ruleset "{made.name}"', hint)
            return Draft(made.name, next(iter(self.vocabulary.scopes.values())))
        draft = self._draft(made.name)
        if made.mode and draft.mode and made.mode != draft.mode:
            shown = f'RULESET "{made.name}" is MODE {draft.mode} elsewhere'
            self.report(made.start, made.end, shown, "one ruleset has one mode")
        if made.mode and not draft.mode:
            draft.take_mode(made.mode, self._breathe)
        return draft

    def test(self, test: s.Test, draft: Draft) -> Mark:
        """Note where a TEST stands; it is run once everything is loaded."""
        self.tests.setdefault(self._file, []).append(test.start)
        return self._mark(test.start, draft, LOOSE)

    def _mark(self, start: int, draft: Draft, rank: int) -> Mark:
        mark = Mark(start, draft.name, rank, self._block())
        self.marks.setdefault(self._file, []).append(mark)
        return mark

    def _block(self) -> int:
        """The block of the next statement."""
        if self._filled == BLOCK:
            self.block, self._filled = self.block + 1, 0
        self._filled += 1
        return self.block

    def rule(self, rule: s.Rule, draft: Draft) -> Mark | None:
        """Check a rule and add it to `draft`; one that is switched off only leaves a mark."""
        self._breathe()
        condition = self.checker.condition(rule.condition, draft.scope, self.report)
        calls = self.calls.calls(rule.actions, draft.scope, self.report)
        if rule.disabled:
            return self._mark(rule.start, draft, LOOSE)
        line = self._line(rule.start)
        name = rule.name if rule.named else f"{self._file}:{line}"
        stops = rule.outcome != "CONTINUE" and (rule.outcome == "STOP" or draft.mode != "ALL")
        ref = RuleRef(
            draft.name,
            name,
            self._file,
            line,
            rule.start,
            rule.end,
            rule.priority,
            rule.shadow,
            stops,
            rule.named,
        )
        if rule.named and self.names.setdefault((draft.name, name), ref) is not ref:
            other = self.names[(draft.name, name)]
            where = f"the other is at {other.file}:{other.line}"
            self.report(rule.start, rule.end, f'two rules are called "{name}"', where)
        draft.add(Drafted(Ready(ref, calls, self._block()), condition), told=rule.outcome != "")
        return None

    def _line(self, offset: int) -> int:
        if self._file != self._counted_file or offset < self._counted:
            self._counted_file, self._counted, self._lines = self._file, 0, 1
        self._lines += self._text.count("\n", self._counted, offset)
        self._counted = offset
        return self._lines

    _counted_file = ""
    _counted = 0
    _lines = 1

    def _otherwise(self, made: s.Otherwise, draft: Draft) -> None:
        calls = self.calls.calls(made.actions, draft.scope, self.report)
        if draft.origin is not None:
            where = f"the other is at {draft.origin.file}:{draft.origin.line}"
            self.report(made.start, made.end, f'ruleset "{draft.name}" has two OTHERWISE', where)
            return
        line = self._line(made.start)
        draft.origin = RuleRef(draft.name, "OTHERWISE", self._file, line, made.start, made.end)
        draft.otherwise = calls
