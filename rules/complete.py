"""What may stand at a place in a rule file, and what the word there means: the editor's questions.

Works on broken text, since that is what a file is while it is typed: it looks at the tokens
before the place, not at a tree.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from rules import syntax as s
from rules.errors import Rejected
from rules.load import load
from rules.parser import statements
from rules.tokens import KEYWORDS, TOKEN
from rules.vocabulary import ActionSpec, Loader, Scope, Vocabulary

_WORD = re.compile(r"[\w.$]*\Z")
_INSIDE_STRING = re.compile(r'(\w+)\(\s*(?:"[^"\n]*"\s*,\s*|\w+\s*=\s*"[^"\n]*"\s*,\s*)*(?:(\w+)\s*=\s*)?"([^"\n]*)\Z')
_AFTER_THEN = frozenset({"THEN", "EXPECT", "OTHERWISE"})


class Candidate(msgspec.Struct, frozen=True):
    """`kind` is field, action, let, keyword or name."""

    text: str
    kind: str
    about: str = ""


class Place(msgspec.Struct, frozen=True):
    """A stretch of a file."""

    file: str
    start: int
    end: int


def candidates(text: str, offset: int, vocabulary: Vocabulary) -> list[Candidate]:
    """What fits at `offset`: names inside an action's string, else actions or fields and LETs."""
    before = text[:offset]
    scope = _scope_at(before, vocabulary)
    line = before[before.rfind("\n") + 1 :]
    inside = _INSIDE_STRING.search(line)
    if inside is not None:
        return _names(inside, line, scope, vocabulary)
    if line.count('"') % 2:
        return []
    if _expects_action(before):
        return [Candidate(name, "action", _signature(name, spec)) for name, spec in sorted(scope.actions.items())]
    fields = [Candidate(name, "field", field.about or field.kind) for name, field in sorted(scope.fields.items())]
    lets = [Candidate(name, "let", "LET") for name in sorted(_lets(text))]
    return [*fields, *lets, *[Candidate(word, "keyword") for word in sorted(KEYWORDS)]]


def describe(text: str, offset: int, vocabulary: Vocabulary) -> str:
    """What the word at `offset` is: a field with its type, an action with its parameters, a LET."""
    word = word_at(text, offset)
    scope = _scope_at(text[:offset], vocabulary)
    if word in scope.fields:
        field = scope.fields[word]
        return f"{word}: {field.kind}" + (f"\n\n{field.about}" if field.about else "")
    if word in scope.actions:
        return _signature(word, scope.actions[word])
    let = _lets(text).get(word.removeprefix("$"))
    return text[let.start : let.end] if let is not None else ""


def definition(files: dict[str, str], file: str, offset: int) -> Place | None:
    """Where the LET named at `offset` is defined."""
    word = word_at(files[file], offset).removeprefix("$")
    for name in sorted(files, key=lambda other: other != file):
        let = _lets(files[name]).get(word)
        if let is not None:
            return Place(name, let.start, let.end)
    return None


def problems(files: dict[str, str], vocabulary: Vocabulary, loader: Loader) -> Rejected:
    """Every problem of every file; none if they load."""
    made = load(files, vocabulary, loader)
    return made if isinstance(made, Rejected) else Rejected(())


@lru_cache(maxsize=64)
def only_lets(text: str) -> str:
    """What the other files of a folder use of one: its LETs."""
    return "\n".join([text[let.start : let.end] for let in _lets(text).values()])


def word_at(text: str, offset: int) -> str:
    """The name, field or `$name` around `offset`."""
    start = offset - len(_WORD.search(text, max(0, offset - 200), offset)[0])  # type: ignore[index]
    end = offset
    while end < len(text) and (text[end].isalnum() or text[end] in "_."):
        end += 1
    return text[start:end]


def _names(inside: re.Match[str], line: str, scope: Scope, vocabulary: Vocabulary) -> list[Candidate]:
    spec = scope.actions.get(inside[1])
    if spec is None or not spec.params:
        return []
    position = line[inside.start(1) :].count(",")
    named = {param.name: param for param in spec.params}
    param = named.get(inside[2] or "") or spec.params[min(position, len(spec.params) - 1)]
    return [Candidate(name, "name", param.names) for name in sorted(vocabulary.names.get(param.names, ()))]


def _expects_action(before: str) -> bool:
    last = ""
    word = _WORD.search(before)
    stop = word.start() if word else len(before)
    depth, then = 0, False
    for match in TOKEN.finditer(before, max(0, stop - 4000), stop):
        token = match[match.lastgroup or 0].upper()
        if match.lastgroup == "end":
            break
        depth += (token == "(") - (token == ")")
        if token in _AFTER_THEN:
            then, depth = True, 0
        elif token in ("WHEN", "RULE", "LET", "TEST"):
            then = False
        last = token
    return last in _AFTER_THEN or (then and depth == 0 and last in (",", "AND"))


def _scope_at(before: str, vocabulary: Vocabulary) -> Scope:
    name = "routing"
    for made in re.finditer(r'^\s*(?i:ruleset)\s+"([^"\n]*)"|^\s*((?i:end))\b', before, re.MULTILINE):
        name = "routing" if made[2] else made[1]
    return vocabulary.scopes.get(name) or next(iter(vocabulary.scopes.values()), Scope({}, {}))


def _lets(text: str) -> dict[str, s.Let]:
    return {made.name: made for made in statements(text, _ignore) if isinstance(made, s.Let)}


def _ignore(*_mistake: object) -> None:
    pass


def _signature(name: str, spec: ActionSpec) -> str:
    shown = ", ".join(f"[{p.name}: {p.kind}]" if p.optional else f"{p.name}: {p.kind}" for p in spec.params)
    about = f"\n\n{spec.about}" if spec.about else ""
    return f"{name}({shown}){' PER field' if spec.per else ''}{about}"
