"""Turn a body into text by its Content-Type's charset, strictly: wrong bytes are an error, not "?".

Pure. UTF-8 is the default (RFC 8259 for JSON, and what chat platforms mean when they say
nothing). Only what the WHATWG Encoding standard names is known: Python's codec table also holds
zip, rot13, and idna, which takes quadratic time.
"""

from __future__ import annotations

import codecs
import re

from protocols.errors import BadCharset

_PARAMETER = re.compile(r""";\s*charset\s*=\s*(?:"([^"]*)"|([^\s;"]+))""", re.IGNORECASE)
# Encodings that web pages mean by another name (WHATWG Encoding, section 4.2).
_MEANT = {"iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252",
          "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
          "sjis": "cp932", "euc-kr": "cp949", "ks_c_5601-1987": "cp949"}  # fmt: skip

_KNOWN = re.compile(
    r"utf-8|utf-16(-[bl]e)?|iso8859-\d+|cp(125\d|866|874|932|949)|koi8-[ru]|gb18030|big5(hkscs)?"
    r"|euc_jp|iso2022_jp|mac-roman|tis-620"
)


def charset_of(content_type: str) -> str:
    """Return the charset parameter in lower case, "utf-8" when there is none."""
    found = _PARAMETER.search(content_type)
    return (found[1] or found[2] or "utf-8").strip().lower() if found else "utf-8"


def decode_text(body: bytes, content_type: str = "") -> str:
    """Decode `body`; raise BadCharset naming the charset. A byte order mark is dropped."""
    named = charset_of(content_type)
    name = _MEANT.get(named, named)
    if not name.isascii() or "\0" in name:
        raise BadCharset("The charset's name is not ASCII.")
    try:
        codec = codecs.lookup(name)
        if _KNOWN.fullmatch(codec.name) is None:
            raise LookupError(name)
        if codec.name == "utf-8":
            return body.decode("utf-8").removeprefix("\ufeff")
        return codec.decode(body, "strict")[0]
    except (LookupError, ValueError) as error:
        if isinstance(error, UnicodeError):
            raise BadCharset(f"The body is not valid {named}.") from error
        raise BadCharset(f"The charset {named!r} is not known here.") from error
