"""Header fields as they came, with a case-insensitive index built once.

Kept as bytes: most fields of a request are never looked at, so decoding them all would be
work for nothing. `get` takes and returns str; repeated fields read as one list joined by
", " (RFC 9110, section 5.2), `get_all` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

RawFields = list[tuple[bytes, bytes]]


class Headers:
    """The fields of one message, in order. Treat as frozen."""

    __slots__ = ("index", "raw", "repeated")

    def __init__(self, raw: RawFields) -> None:
        self.raw = raw
        index: dict[bytes, bytes] = {}
        repeated: set[bytes] | None = None
        for name, value in raw:
            key = name.lower()
            if key in index:
                index[key] += b", " + value
                repeated = repeated or set()
                repeated.add(key)
            else:
                index[key] = value
        self.index = index
        self.repeated = repeated

    @classmethod
    def of(cls, pairs: tuple[tuple[str, str], ...]) -> Headers:
        """Build from text, for tests and for callers that make requests by hand."""
        return cls([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])

    def get(self, name: str, default: str = "") -> str:
        """Return the field's value, `default` when it is missing. Bytes above 127 read as Latin-1."""
        value = self.index.get(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Return the value of every field line of this name, in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def has_token(self, name: str, token: str) -> bool:
        """Tell whether a comma-separated field such as Connection lists `token`, in any case."""
        value = self.index.get(name.lower().encode("latin-1"))
        return value is not None and lists_token(value, token.lower().encode("latin-1"))

    def __contains__(self, name: str) -> bool:
        return name.lower().encode("latin-1") in self.index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, value in self.raw:
            yield name.decode("latin-1"), value.decode("latin-1")

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(tuple(self.raw))

    def __repr__(self) -> str:
        # Names alone: values carry credentials, and a repr ends up in logs and tracebacks.
        return f"Headers({', '.join(name.decode('latin-1') for name, _ in self.raw)})"


def lists_token(value: bytes, token: bytes) -> bool:
    """Tell whether the comma-separated `value` holds `token` (given in lower case)."""
    lowered = value.lower()
    if token not in lowered:
        return False
    return lowered == token or any(part.strip() == token for part in lowered.split(b","))
