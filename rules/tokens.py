"""Cut rule text into tokens, one at a time.

A token is a match of `TOKEN`; the name of its last group is its kind. White space and comments
are skipped inside the pattern. Nothing fails here: what is no token of the language comes out
as kind `broken`, and the parser says what is wrong with it. Every repetition is possessive, so
the cost is linear whatever the text.
"""

from __future__ import annotations

import re

from rules.composing import nfc

_SKIP = r"(?:[\s\ufeff]++|\#[^\n]*+)*+"
_NAME = r"[^\W\d]\w*+"
TOKEN = re.compile(
    rf"""{_SKIP}(?:
      (?P<name>{_NAME}(?:\.{_NAME})*+)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*+")
    | (?P<clock>\d{{1,2}}:\d{{2}}(?!\d))
    | (?P<duration>\d++(?:ms|[smhd])(?!\w))
    | (?P<size>\d++[KkMm][Bb](?!\w))
    | (?P<float>-?\d++\.\d++(?!\w))
    | (?P<int>-?\d++(?!\w))
    | (?P<op>==|!=|<=|>=|<|>|=|\.\.|[()\[\],$.-])
    | (?P<regex>/(?:[^/\\\n]|\\[^\n])++/i?)
    | (?P<end>\Z)
    | (?P<broken>["/'“”‘’][^\n]*+|\d\w*+|.)
    )""",
    re.VERBOSE | re.DOTALL,
)

KEYWORDS = frozenset(
    """LET RULESET MODE FIRST ALL END RULE PRIORITY SHADOW DISABLED NOTE WHEN THEN STOP CONTINUE OTHERWISE
    AND OR NOT IN CONTAINS ANY INCLUDES MATCHES STARTS ENDS WITH IGNORING CASE EXISTS TIME ON TZ LENGTH LOWER
    COUNT TRUE FALSE FILE TEST GIVEN AT EXPECT NO MISSING PER""".split()  # noqa: SIM905
)
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"KB": 1024, "MB": 1024 * 1024}

_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
# Halves of characters beyond U+FFFF: no text in UTF-8 holds one.
_HALVES = re.compile("[\ud800-\udfff]")
# What would make the file a binary, end a line for some editor, or cannot be seen.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t"}


def unquote(token: str) -> str:
    """The NFC text a string token stands for; an unknown escape keeps its backslash."""
    body = token[1:-1]
    if "\\" in body:
        body = _ESCAPE.sub(_unescape, body)
        if is_halved(body):  # JSON writes a character beyond U+FFFF as two escapes
            body = body.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return nfc(body)


def quote(text: str) -> str:
    """The string token that `unquote` turns back into `text`."""
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(character, escape)
    return f'"{_UNSEEN.sub(_escaped, text)}"'


def is_halved(text: str) -> bool:
    """Whether half of a character stands in the text, without its other half."""
    return not text.isascii() and _HALVES.search(text) is not None


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return _ESCAPES.get(code, "\\" + code)
