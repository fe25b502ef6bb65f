"""The HTML of a room's message as Markdown, which is what models read. Pure.

Clients send a small part of HTML (Matrix specification 1.16, section 11.3.1.2) and anybody may send anything, so tags
are read by one expression whose time is linear, depth is bounded, and what is not known is left out but its text.
"""

from __future__ import annotations

import html
import re
from collections import Counter

# The specification asks for no more than 100 levels.
_MOST_LEVELS = 100
# Each level of quotation marks every line again: a hundred levels made two megabytes of thirty kilobytes.
_MOST_QUOTED = 5
_TOKEN = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9-]{0,19})(?P<rest>[^<>]*)>"
    r"|(?P<text>(?:[^<]|<(?!/?[A-Za-z][A-Za-z0-9-]{0,19}[^<>]*>))+)"
)
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_CLASS = re.compile(r"""\sclass\s*=\s*["']language-([\w+#.-]{1,40})["']""", re.IGNORECASE)
_PILL = re.compile(r"(?:https://matrix\.to/#/|matrix:(?:u|r|roomid)/)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]+")

_AROUND = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~", "strike": "~~"}
_BLOCKS = frozenset(("p", "div", "blockquote", "ul", "ol", "table", "tr", "details", "summary"))
_VOID = {"br": "\n", "hr": "\n\n---\n\n", "img": ""}
# The quotation of what is answered, which older clients put in front.
_DROPPED = frozenset(("mx-reply", "script", "style"))


# Stands for a line break inside a code block until blank lines are counted; text has none of it.
_KEPT = "\0"


def markdown_of(formatted: str) -> str:
    """Return HTML as Markdown; '' when nothing is left."""
    writer = _Writer()
    for token in _TOKEN.finditer(formatted.replace(_KEPT, "")):
        name = (token["name"] or "").lower()
        if token["text"] is not None:
            writer.text(html.unescape(token["text"]))
        elif token["end"]:
            writer.end(name)
        else:
            writer.begin(name, token["rest"])
    return _spaced(writer.whole()).strip().replace(_KEPT, "\n")


class _Part:
    """One open element: its name, what its end needs to know, and what was said in it so far."""

    __slots__ = ("about", "name", "said")

    def __init__(self, name: str, about: str = "") -> None:
        self.name, self.about = name, about
        self.said: list[str] = []


class _Writer:
    """What is open, and how often; ends close what was left open inside."""

    def __init__(self) -> None:
        self._parts = [_Part("")]
        self._count: Counter[str] = Counter()

    def text(self, plain: str) -> None:
        if self._count["pre"]:
            self._parts[-1].said.append(plain.replace("\n", _KEPT))
        else:
            self._parts[-1].said.append(_SPACE.sub(" ", plain))

    def begin(self, name: str, attributes: str) -> None:
        if name in _VOID:
            self._parts[-1].said.append(_VOID[name])
        elif len(self._parts) < _MOST_LEVELS:
            self._parts.append(_Part(name, self._about(name, attributes)))
            self._count[name] += 1

    def end(self, name: str) -> None:
        if self._count[name]:
            while self._parts[-1].name != name:
                self._close()
            self._close()

    def whole(self) -> str:
        while len(self._parts) > 1:
            self._close()
        return "".join(self._parts[0].said)

    def _close(self) -> None:
        part = self._parts.pop()
        self._count[part.name] -= 1
        said = "".join(part.said)
        if part.name == "code" and self._count["pre"]:
            self._parts[-1].about = part.about
        else:
            said = _written(part, said)
        self._parts[-1].said.append(said)

    def _about(self, name: str, attributes: str) -> str:
        match name:
            case "a":
                found = _HREF.search(attributes)
                return html.unescape(found[1] or found[2] or "") if found else ""
            case "code":
                found = _CLASS.search(attributes)
                return found[1] if found else ""
            case "blockquote":
                return ">" if self._count["blockquote"] < _MOST_QUOTED else ""
            case "li":
                inside = self._parts[-1]
                if inside.name != "ol":
                    return "- "
                inside.about = str(int(inside.about or 0) + 1)
                return f"{inside.about}. "
            case _:
                return ""


def _spaced(text: str) -> str:
    """Leave one empty line where there are several, in linear time: an expression for it would try every blank."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip(" \t"):
            lines.append(line)
        elif not lines or lines[-1]:
            lines[-1:] = [lines[-1].rstrip(" \t"), ""] if lines else [""]
    return "\n".join(lines)


def _written(part: _Part, said: str) -> str:
    """Return an element's Markdown."""
    match part.name:
        case name if name in _DROPPED:
            return ""
        case name if name in _AROUND and said.strip():
            return f"{_AROUND[name]}{said.strip()}{_AROUND[name]}"
        case "a" if part.about and part.about != said and not _PILL.match(part.about):
            return f"[{said}]({part.about})"
        case "code":
            return f"`{said}`"
        case "pre":
            return f"\n\n```{part.about}{_KEPT}{said.strip(_KEPT)}{_KEPT}```\n\n"
        case "li":
            return f"\n{part.about}{said.strip()}"
        case "blockquote" if part.about:
            return "\n\n" + "\n".join(f"> {line}" for line in said.strip().split("\n")) + "\n\n"
        case "h1" | "h2" | "h3" | "h4" | "h5" | "h6" as name:
            return f"\n\n{'#' * int(name[1])} {said.strip()}\n\n"
        case name:
            return f"\n\n{said}\n\n" if name in _BLOCKS else said
