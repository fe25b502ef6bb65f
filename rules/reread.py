"""Read a rule of a loaded ruleset again, from its place in the source.

Trees are dropped after loading, since 100,000 of them would not fit; the tools that need one
(explain, lint, reload) parse the few lines again.
"""

from __future__ import annotations

import msgspec

from rules import core
from rules import syntax as s
from rules.check import Checker
from rules.cursor import Cursor
from rules.decision import RuleRef
from rules.parser import statement
from rules.ruleset import Ruleset
from rules.vocabulary import Scope


class Read(msgspec.Struct, frozen=True):
    """A rule's tree, its condition and the text both point into."""

    rule: s.Rule
    condition: core.Core
    text: str


class Reader:
    """Reads rules of one ruleset; readings and patterns are shared between them."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self.checker = Checker(ruleset.loader, ruleset.lets)
        # The lists as they were when the ruleset was loaded, not as they are now.
        self.checker.lists.update(ruleset.lists)

    def read(self, ref: RuleRef) -> Read:
        """The rule `ref` names, which must be of this ruleset."""
        text = self._ruleset.sources[ref.file]
        made = statement(Cursor(text, ref.start))
        assert isinstance(made, s.Rule), made
        scope = self._ruleset.vocabulary.scopes.get(ref.ruleset) or Scope({}, {})
        return Read(made, self.checker.condition(made.condition, scope, _refuse), text)


def _refuse(start: int, end: int, message: str, hint: str) -> None:
    raise AssertionError(f"a loaded rule is wrong at {start}: {message}")
