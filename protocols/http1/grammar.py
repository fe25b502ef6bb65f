"""Say whether the bytes of one head are well formed, before any parser sees them.

One regular expression is the whole grammar of RFC 9112 sections 3 and 5 as far as we accept
it: no bare LF or CR, no folded lines, no space before a colon, known methods, versions 1.0
and 1.1. Both parsers read only what passed here, which is why they agree. Quantifiers are
possessive: matching is linear in the input.
"""

from __future__ import annotations

import re

from protocols.errors import Refusal

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELD = rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)"
# CONNECT and TRACE have no meaning here; a token we do not know gets 501 (RFC 9110, section 9.1).
_METHODS = rb"(?:GET|POST|HEAD|PUT|DELETE|PATCH|OPTIONS)"
_TARGET = rb"(?:/[\x21\x22\x24-\x7e]*+|https?://[A-Za-z0-9.\-_\[\]:]++(?:[/?][\x21\x22\x24-\x7e]*+)?+|\*)"

_REQUEST_HEAD = re.compile(_METHODS + rb" " + _TARGET + rb" HTTP/1\.[01]\r\n" + _FIELD + rb"*+\r\n")
_RESPONSE_HEAD = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*+)?+\r\n" + _FIELD + rb"*+\r\n")
_FIELD_LINES = re.compile(_FIELD + rb"*+")
# Space that not everybody takes for space: who overlooks the coding behind it sees another request than we do.
_ODD_CODING = re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*+[^\t\r]*+\t")
_BARE_BREAK = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") (\S+) HTTP/([0-9])\.([0-9])")


# True of a whole head, up to and with its empty line.
is_request_head = _REQUEST_HEAD.fullmatch
is_response_head = _RESPONSE_HEAD.fullmatch
# True of zero or more complete field lines, as in a chunked body's trailer.
are_field_lines = _FIELD_LINES.fullmatch
has_odd_coding = _ODD_CODING.search


def has_bare_break(piece: bytes, start: int = 0) -> bool:
    """Tell whether an unfinished head, from `start` on, holds a LF without CR or a CR without LF."""
    return _BARE_BREAK.search(piece, start) is not None


def diagnosis(head: bytes) -> Refusal:
    """Return the refusal that a head deserves which is none."""
    if has_bare_break(head):
        return Refusal(400, "The head has a line end other than CR LF.")
    line, _, fields = head.partition(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        return Refusal(400, "The first line is not 'METHOD target HTTP/1.1'.")
    method, target, major, minor = found.groups()
    if (major, minor) not in ((b"1", b"0"), (b"1", b"1")):
        return Refusal(505, "This server speaks HTTP/1.1 and HTTP/1.0 here.")
    if re.fullmatch(_METHODS, method) is None:
        return Refusal(501, "This server does not know the request's method.")
    if re.fullmatch(_TARGET, target) is None:
        return Refusal(400, "The request target must be a path or an absolute http URL without a fragment.")
    if fields[:1] in (b" ", b"\t") or b"\r\n " in fields or b"\r\n\t" in fields:
        return Refusal(400, "A header field is folded over two lines, which HTTP/1.1 no longer allows.")
    return Refusal(400, "A header field is malformed.")
