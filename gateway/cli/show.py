"""Print an answer: JSON for programs, aligned text for people.

One renderer for every command: a list of objects becomes a table, an object becomes lines
of name and value, and what is nested follows under its name.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from gateway.cli.frame import readable

# Wide enough for an address, narrow enough that six columns fit a terminal.
CELL_COLUMNS = 60
# Told line by line, as their carets stand under what is wrong; any other text is one line, whatever it holds.
_BY_LINES = ("refused",)
_BLANKS = str.maketrans("\n\t\r", "   ")
# JSON escapes the lower control characters itself; terminals obey these as well, or turn the direction of the text.
_STEERING = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def show(answer: Any, *, as_json: bool) -> None:
    """Print one answer."""
    click.echo(json_text(answer) if as_json else text(answer))


def show_some(rows: Any, limit: int, *, as_json: bool) -> None:
    """Print a list, and say when it may have been cut at `limit`: an outage leaves more than a screenful."""
    show(rows, as_json=as_json)
    if isinstance(rows, list) and len(rows) >= limit:
        click.echo(f"These are {limit}, and there may be more (--limit, at most 1000).", err=True)


def json_text(answer: Any, *, indent: int | None = None) -> str:
    """Return the JSON of an answer; what would steer a terminal, or has no place in its encoding, is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # no stdout at all after `>&-`
    plain = json.dumps(answer, ensure_ascii=codecs.lookup(encoding).name != "utf-8", indent=indent)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", plain)


def text(answer: Any) -> str:
    """Return an answer as lines for a person; '' values are left out."""
    if isinstance(answer, Mapping):
        return "\n".join(_fields(answer))
    if _is_table(answer):
        return "\n".join(table(answer))
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return "\n".join(_cell("", item) for item in answer) if answer else "nothing"
    return _cell("", answer)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a heading and one line a row; the columns are the keys in the order they first appear.

    A column in which no row says anything is left out. Long cells are cut on a terminal, but for a last column that
    says why: what goes into a pipe or a file is looked through for what stands there, or kept.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in keys if any(_cell(key, row.get(key, "")) for row in rows)]
    cells = [[_cell(column, row.get(column, "")) for column in columns] for row in rows]
    if sys.stdout is not None and sys.stdout.isatty():
        bounded = len(columns) - (columns[-1:] == ["why"])
        cells = [[*map(_short, line[:bounded]), *line[bounded:]] for line in cells]
    heading = [column.replace("_", " ").upper() for column in columns]
    # A longer cell moves what stands behind it in its own line alone.
    widths = [min(max(map(width, column)), CELL_COLUMNS) for column in zip(heading, *cells, strict=True)]
    return [_padded(line, widths) for line in (heading, *cells)]


def width(word: str) -> int:
    """Return the terminal columns of a text: East Asian wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in word)


def moment(seconds: float) -> str:
    """Return a time in epoch seconds as the local date and time; one that no calendar has, as the number."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def _fields(answer: Mapping[str, Any]) -> list[str]:
    blocks = {k: v for k, v in answer.items() if k in _BY_LINES and isinstance(v, str) and "\n" in v}
    plain = {k: v for k, v in answer.items() if k not in blocks and not _nested(v) and v not in ("", None, [], {})}
    widest = max((width(_label(k)) for k in plain), default=0)
    lines = [f"{_label(k)}{' ' * (widest - width(_label(k)))}  {_cell(k, v)}" for k, v in plain.items()]
    for key, value in blocks.items():
        lines += [f"{_label(key)}:", *(f"  {_printable(line)}".rstrip() for line in value.splitlines())]
    for key, value in answer.items():
        if _nested(value):
            lines += ["", f"{_label(key)}:", *(f"  {line}".rstrip() for line in text(value).splitlines())]
    return lines[1:] if lines and not lines[0] else lines


def _label(key: str) -> str:
    return _printable(key.replace("_", " "))


def _nested(value: Any) -> bool:
    return (isinstance(value, Mapping) and bool(value)) or (_is_table(value) and bool(value))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _cell(name: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float() | int() if name in ("at", "since") or name.endswith("_at"):
            return moment(value) if value > 1e9 else ""  # 0 stands for never
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 1 else f"{value:.2g}"
        case dict():
            return " ".join(f"{_printable(str(key))}={_cell(key, item)}" for key, item in value.items())
        case list():
            return ", ".join(_cell(name, item) for item in value)
        case None:
            return ""
        case _:
            return _printable(str(value))


def _printable(word: str) -> str:
    """Message text comes from strangers: a control character would reach the operator's terminal."""
    return readable(word.translate(_BLANKS))


def _short(word: str) -> str:
    if width(word) <= CELL_COLUMNS:
        return word
    while width(word) > CELL_COLUMNS - 1:
        word = word[:-1]
    return word + "…"


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()
