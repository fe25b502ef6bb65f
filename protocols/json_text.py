"""Write JSON that always has a form: half a surrogate pair, which no UTF-8 can hold, becomes U+FFFD.

Such text comes from foreign code alone (an exception's words, a file name of odd bytes), never off
the wire; an answer about a hundred things must not fail because of the words of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def encode_json(value: Any, *, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Return the JSON of a value. Raises what msgspec raises for a value that has none, never for its text."""
    try:
        return msgspec.json.encode(value, enc_hook=enc_hook)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(msgspec.to_builtins(value, enc_hook=enc_hook, str_keys=True)))


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case dict():
            return {_mended(key): _mended(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_mended(inner) for inner in value]
        case _:
            return value
