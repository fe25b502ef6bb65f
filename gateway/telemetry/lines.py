"""Turn a notice into what may be written: a flat record, then a line of JSON.

Pure. This is where secrets and message text are kept out of the logs: known secrets are
masked wherever they stand, and texts that quote what people wrote are cut unless `texts`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from gateway.notices import (
    DeliveryBuried,
    DeliveryDeferred,
    DeliveryUnknown,
    EnvelopeBuried,
    EnvelopeRefused,
    EnvelopeRejected,
    HookFailed,
    JournalCallbackFailed,
    Notice,
    RequestFailed,
    RuleFailed,
    StepFailed,
    TypingFailed,
)
from protocols.json_text import encode_json

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MASK = "[secret]"
# One line must fit journald's default LineMax of 48 KiB, with room for the other fields.
LONGEST = 8192
# Shorter values ("on", "test") would mask half of every line and hide nothing.
SHORTEST_SECRET = 6

# These tell an exception that code working on a message raised; its text may quote the message.
_QUOTING: dict[type[Notice], str] = {
    HookFailed: "error",
    RequestFailed: "error",
    JournalCallbackFailed: "error",
}
_PLACE = re.compile(r" \[[^\[\]]+:\d+\]")
# These say why in words of ours or of the operator's, which may hold an exception's ("KeyError: 'what anna wrote'").
_RETELLING: dict[type[Notice], str] = {
    EnvelopeRejected: "why",
    EnvelopeBuried: "why",
    EnvelopeRefused: "detail",
    DeliveryBuried: "why",
    DeliveryDeferred: "why",
    DeliveryUnknown: "why",
    RuleFailed: "why",
    StepFailed: "why",
    TypingFailed: "why",
}
_RAISED = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Iteration|Exit|Group)): .*", re.DOTALL)
_MARK = re.compile("[\"']")
# Controls but tab and line feed (JSON escapes the lower ones itself), line separators, and what turns the direction of
# text: a terminal obeys them, and journalctl shows "blob data" in the place of a line that holds one.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_WITHHELD = "(text withheld)"


class Masks:
    """The secrets that must not appear in any line; the configuration adds each one it resolves."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._known: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Mask these from now on. Anything under six characters is too common to mask."""
        self._known |= {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        # Longest first, so that a secret that begins with another one is masked whole.
        known = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def hide(self, text: str) -> str:
        """Return `text` without any known secret."""
        return self._pattern.sub(MASK, text) if self._pattern is not None else text


def record_of(notice: Notice, at: float, *, masks: Masks, envelope_id: str = "", texts: bool = False) -> dict[str, Any]:
    """Flatten a notice to `time`, `level`, `event`, its fields that are not empty, and the envelope it is about."""
    record: dict[str, Any] = {"time": stamp(at), "level": notice.level, "event": type(notice).__name__}
    if about := envelope_of(notice) or envelope_id:
        record["envelope_id"] = about
    quoting = "" if texts else _QUOTING.get(type(notice), "")
    retelling = "" if texts else _RETELLING.get(type(notice), "")
    for name in notice.__struct_fields__:
        value = getattr(notice, name)
        if name == quoting:
            value = _without_quote(value)
        elif name == retelling:
            value = _without_what_it_retells(notice, value)
        if isinstance(value, str):
            value = shortened(masks.hide(value))
        elif isinstance(value, float):
            value = round(value, 6)  # microseconds: what is beyond is no measurement
        if value != "":
            record[name] = value
    return record


def envelope_of(notice: Notice) -> str:
    """Return the envelope a notice names, itself or by one of its deliveries; '' when it names none."""
    named: str = getattr(notice, "envelope_id", "")
    # A delivery's id is its envelope's, a dot, and the reply's index.
    return named or getattr(notice, "delivery_id", "").rpartition(".")[0]


def json_line(record: dict[str, Any]) -> str:
    """Write a record as one line of JSON; what ends a line or steers a terminal is escaped: no field can forge one."""
    text = encode_json(record, enc_hook=str).decode()
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def harmless(value: Any) -> Any:
    """Return a text for a terminal, with U+FFFD for what would steer it; line breaks stay. Other values as they are."""
    return _STEERING.sub("\ufffd", value) if isinstance(value, str) else value


def stamp(at: float) -> str:
    """Write epoch seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_quote(error: str) -> str:
    kind, colon, _ = error.partition(":")
    if not colon or not kind.isidentifier():
        return error if error.isidentifier() else _WITHHELD
    place = _PLACE.search(error)
    return f"{kind}: {_WITHHELD}{place.group() if place else ''}"


def _without_what_it_retells(notice: Notice, why: str) -> str:
    why = _RAISED.sub(rf"\1: {_WITHHELD}", why)
    match notice:
        # int("what anna wrote") raises a ValueError that quotes it, and a hook's ValueError rejects with its words.
        case EnvelopeRejected(stage=stage) if stage != "rules":
            return _without_quotations(why)
        case EnvelopeRefused(reason="bad_field"):
            return _without_quotations(why)
        case _:
            return why


def shortened(text: str) -> str:
    """Return a text that fits a line, with its whole length where it was cut."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _without_quotations(text: str) -> str:
    """Withhold what stands between two marks of one kind; an apostrophe within a word is none.

    One walk over what fits a line, however many marks have no counterpart: a stranger may have written all of it, and
    the loop waits for the thread that has Python's lock. A quotation that goes on beyond that is withheld, too.
    """
    is_cut, text = len(text) > LONGEST, text[:LONGEST]
    marks = [(found.start(), found[0]) for found in _MARK.finditer(text)]
    closing = {mark: deque(at for at, each in marks if each == mark and not _in_word(text, at + 1)) for mark in "\"'"}
    told, done = list[str](), 0
    for at, mark in marks:
        if at < done or _in_word(text, at - 1):
            continue
        ends = closing[mark]
        while ends and ends[0] <= at + 1:
            ends.popleft()
        if ends:
            told += [text[done:at], _WITHHELD]
            done = ends.popleft() + 1
        elif is_cut:
            return "".join([*told, text[done:at], _WITHHELD])
    return "".join([*told, text[done:]])


def _in_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")
