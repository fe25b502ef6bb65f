"""IRC lines: bytes ↔ tags, source, command, parameters (RFC 1459, section 2.3; IRCv3 message tags).

Pure, and total: any bytes give lines, and no line that we write can be more than one. Text is UTF-8 where it
is valid UTF-8, else Latin-1, so that nothing is lost and nothing raises.
"""

from __future__ import annotations

from msgspec import Struct

LINE_BYTES = 512  # with CR LF; RFC 1459, section 2.3
# Tags may take 8191 bytes more (IRCv3 message tags); a server that sends longer lines is not one.
MOST_BYTES = 8191 + LINE_BYTES
_UNSAFE = str.maketrans({"\r": " ", "\n": " ", "\0": None})
_ESCAPES = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}


class Line(Struct, frozen=True):
    """One line as it came. `nick`, `user` and `host` are its source; a server's source is all `nick`."""

    command: str
    params: tuple[str, ...] = ()
    nick: str = ""
    user: str = ""
    host: str = ""
    tags: dict[str, str] = {}

    def param(self, index: int) -> str:
        """Return a parameter, or '' where there is none."""
        return self.params[index] if -len(self.params) <= index < len(self.params) else ""


class Lines:
    """Cuts a stream of bytes into lines. What is longer than any line may be is dropped to its end."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._overlong = False

    def feed(self, received: bytes) -> list[Line]:
        """Return the lines that are complete now."""
        self._held += received
        *complete, rest = bytes(self._held).replace(b"\r", b"\n").split(b"\n")
        self._held = bytearray(rest)
        found = []
        for raw in complete:
            if not self._overlong and len(raw) <= MOST_BYTES and (line := parse(raw)) is not None:
                found.append(line)
            self._overlong = False
        if len(self._held) > MOST_BYTES:
            self._held.clear()
            self._overlong = True
        return found


def parse(raw: bytes) -> Line | None:
    """Read one line without its end; None for one without a command."""
    text = _decoded(raw).replace("\0", "")
    tags: dict[str, str] = {}
    if text.startswith("@"):
        head, _, text = text.partition(" ")
        tags = dict(_tag(each) for each in head[1:].split(";") if each)
    text = text.lstrip(" ")
    source = ""
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
    middle, colon, trailing = f" {text}".partition(" :")
    command, *params = middle.split() or [""]
    if not command:
        return None
    if colon:
        params.append(trailing)
    nick, _, rest = source.partition("!")
    user, _, host = rest.partition("@")
    return Line(command.upper(), tuple(params), nick, user, host, tags)


def encode(command: str, *params: str) -> bytes:
    """Write a line with CR LF. Only the last parameter may be empty, hold spaces or begin with a colon.

    Line breaks become spaces and NUL vanishes, so that it is one line whatever is in it; it is cut to 512 bytes
    between characters. Raises ValueError for a middle parameter that would move the others.
    """
    *middle, last = [command, *params]
    for each in middle:
        if not each or each.startswith(":") or not is_word(each):
            raise ValueError(f"{each!r} cannot stand inside an IRC line")
    text = " ".join([*middle, f":{last}"]) if params else command
    body = text.translate(_UNSAFE).encode("utf-8", "replace")
    if len(body) > LINE_BYTES - 2:
        body = body[: LINE_BYTES - 2].decode("utf-8", "ignore").encode()
    return body + b"\r\n"


def is_word(text: str) -> bool:
    """Tell whether a text is one parameter: no space, no line break, no NUL."""
    return not any(sign in text for sign in " \r\n\0")


def folded(name: str) -> str:
    """Return a nick or channel name as servers compare them (RFC 1459, section 2.2: {}|^ are the small []\\~)."""
    return name.lower().translate(_FOLD)


_FOLD = str.maketrans("[]\\~", "{}|^")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _tag(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if "\\" not in value:
        return key, value
    made, escaped = [], False
    for sign in value:
        if escaped:
            made.append(_ESCAPES.get(sign, sign))
            escaped = False
        elif sign == "\\":
            escaped = True
        else:
            made.append(sign)
    return key, "".join(made)
