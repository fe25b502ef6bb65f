"""Say what does not fit: the exception that leaves one test, and the sentences it carries.

What is checked, and when, is `check.py` and `calls.py`; here are the words for it.
"""

from __future__ import annotations

from typing import Any  # a node of any tree

from rules.errors import meant
from rules.lets import Definition
from rules.vocabulary import Field

_ARTICLES = {"text": "text", "number": "a number", "boolean": "TRUE or FALSE", "list": "a list"}


class Unfit(Exception):
    """Something at `start:end` does not fit the vocabulary; the rest of the tree is still checked."""

    def __init__(self, node: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.start, self.end, self.message, self.hint = node.start, node.end, message, hint


def an(kind: str) -> str:
    """A kind of value with its article."""
    return _ARTICLES.get(kind, f"a {kind}" if kind != "regex" else "a regular expression")


def mistyped(name: str, field: Field, wanted: str) -> tuple[str, str]:
    """The sentence and the hint for a field of another kind than the test wants."""
    hint = ""
    if wanted == "number" and field.kind == "text":
        hint = f"LENGTH({name}) is a number"
    elif wanted == "number" and field.kind == "list":
        hint = f"COUNT({name}) is a number"
    elif wanted == "text" and field.kind == "list":
        hint = f"{name} CONTAINS … tests a list"
    return f"{name} is {an(field.kind)}, the test wants {an(wanted)}", hint


def let_hint(name: str, lets: dict[str, Definition]) -> str:
    """What may have been meant where a name stands and a list is wanted."""
    return meant(name, lets) if "." not in name else "lists stand in brackets: […]"


def wrong_pattern(pattern: str) -> str:
    """What RE2 says against `pattern`; empty if it compiles."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    except UnicodeEncodeError:  # from an editor; a file in UTF-8 holds none
        return "it holds half of a character"
    return ""


def is_perl(pattern: str) -> bool:
    """Whether a pattern asks for what RE2 leaves out, since it cannot be had in linear time."""
    looks = any(mark in pattern for mark in ("(?=", "(?!", "(?<=", "(?<!"))
    return looks or any(f"\\{digit}" in pattern for digit in range(1, 10))
