"""The table that both sides of a connection keep of header fields that repeat (RFC 7541, section 2.3). Pure."""

from __future__ import annotations

from collections import deque

from hpack.table import HeaderTable

Field = tuple[bytes, bytes]

STATIC: tuple[Field, ...] = tuple(HeaderTable.STATIC_TABLE)
# RFC 7541, section 4.1: what a field costs beside its name and value; and the size both sides begin with.
FIELD_BYTES = 32
DEFAULT_BYTES = 4096


def size_of(field: Field) -> int:
    """Return what a field costs in a table or list."""
    return len(field[0]) + len(field[1]) + FIELD_BYTES


class FieldTable:
    """The dynamic part; indexes count on from the static one, the newest first."""

    __slots__ = ("_bytes", "_fields", "_most_bytes")

    def __init__(self) -> None:
        self._fields: deque[Field] = deque()
        self._bytes = 0
        self._most_bytes = DEFAULT_BYTES

    def __getitem__(self, index: int) -> Field:
        """Raises IndexError for what was never there or is no more."""
        if not index:
            raise IndexError
        return STATIC[index - 1] if index <= len(STATIC) else self._fields[index - 1 - len(STATIC)]

    def index(self, field: Field) -> int:
        """Return where a field is in the dynamic part, 0 for nowhere."""
        try:
            return self._fields.index(field) + 1 + len(STATIC)
        except ValueError:
            return 0

    def add(self, field: Field) -> None:
        """Put a field in, and as many old ones out as have no room any more."""
        self._fields.appendleft(field)
        self._bytes += size_of(field)
        self._shrink()

    def resize(self, most_bytes: int) -> None:
        """Change the size."""
        self._most_bytes = most_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self._bytes > self._most_bytes:
            self._bytes -= size_of(self._fields.pop())
