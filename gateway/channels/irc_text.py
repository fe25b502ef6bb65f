"""What people see in IRC and what models write, each in the other's form. Pure.

Lines are cut to what a server relays: 512 bytes with the command, the target and our own prefix, which
the server puts before the line and which counts (RFC 1459, section 2.3; a server may cut or disconnect).
"""

from __future__ import annotations

import re

from gateway.channels.irc_lines import LINE_BYTES
from gateway.channels.shared.markup import PLAIN, Style, rendered
from gateway.message.chunking import chunk
from gateway.message.message import Attachment

# The longest user and host that servers make: "~" and 10 bytes, and 63 as in a host name's label.
_USER_BYTES, _HOST_BYTES = 11, 63
_HEX = r"[0-9A-Fa-f]{6}"
_FORMATS = re.compile(rf"\x03(?:\d{{1,2}}(?:,\d{{1,2}})?)?|\x04(?:{_HEX}(?:,{_HEX})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]")
_ACTION = "\x01ACTION "
_ME = "/me "

STYLE = Style(
    bold=("\x02", "\x02"),
    italic=("\x1d", "\x1d"),
    struck=("\x1e", "\x1e"),
    heading=("\x02", "\x02"),
    code=lambda text: f"\x11{text}\x11",
)


def plain(text: str) -> str:
    """Return what was said without colours and formats."""
    return _FORMATS.sub("", text)


def action_of(text: str) -> str | None:
    """Return what a CTCP ACTION ("/me …") says, or None."""
    return text[len(_ACTION) :].removesuffix("\x01") if text.startswith(_ACTION) else None


def ctcp_of(text: str) -> str:
    """Return the command of another CTCP request ("VERSION"), or ''."""
    return text[1:].removesuffix("\x01").partition(" ")[0].upper()[:20] if text.startswith("\x01") else ""


def budget(nick: str, target: str) -> int:
    """Return how many bytes of text a PRIVMSG to `target` may hold so that it arrives whole."""
    prefix = len(f":{nick}!@ ".encode()) + _USER_BYTES + _HOST_BYTES
    return LINE_BYTES - 2 - prefix - len(f"PRIVMSG {target} :".encode())


def lines_of(
    markdown: str, attachments: tuple[Attachment, ...], *, bytes_each: int, formatting: bool, to: str = ""
) -> list[str]:
    """Cut a reply into lines to be sent one by one; `to` is whom the first one names."""
    written = [rendered(markdown, STYLE if formatting else PLAIN)]
    written += [" ".join(part for part in (each.name, each.url) if part) for each in attachments]
    lines: list[str] = []
    for line in re.split(r"[\r\n]+", "\n".join(written)):
        if line.strip():
            me = line.startswith(_ME)
            head = f"{to}: " if to and not lines and not me else ""
            room = bytes_each - (len(_ACTION) + 1 if me else 0)
            pieces = chunk(head + (line[len(_ME) :] if me else line), max(room, 8), "bytes")
            lines += [_ME + piece if me else piece for piece in pieces if piece.strip()]
    return lines


def said(line: str) -> str:
    """Return the text of a PRIVMSG: one line, no CTCP but the ACTION that "/me " asks for."""
    text = re.sub(r"[\r\n]+", " ", line).replace("\0", "").replace("\x01", "")
    return f"{_ACTION}{text[len(_ME) :]}\x01" if text.startswith(_ME) else text
