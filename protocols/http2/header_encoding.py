"""Write header blocks (RFC 7541), and remember those that repeat. Pure.

Only fields of a few names, which are the same in most calls, go into the table. Everything else, error texts and
an application's metadata, is sent as it is: it would push the others out, and leave in the peer's memory what is
nobody's business there (section 7.1). Without Huffman's code, which costs more than the bytes it saves.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocols.http2.header_table import DEFAULT_BYTES, STATIC, Field, FieldTable, size_of

REMEMBERED = 64
REMEMBERED_BYTES = 512
INDEXED, INCREMENTAL, SIZE_UPDATE, NEVER = 0x80, 0x40, 0x20, 0x10

_STEADY = frozenset({
    b":authority", b":path", b":scheme", b":status", b"accept-post", b"allow", b"content-type", b"grpc-accept-encoding",
    b"grpc-encoding", b"grpc-status", b"te", b"user-agent",
})  # fmt: skip
# Section 7.1.3: whoever passes these on must not put them into a table either.
_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_STATIC_FIELDS = {field: index + 1 for index, field in reversed(list(enumerate(STATIC)))}
_STATIC_NAMES = {field[0]: index + 1 for index, field in reversed(list(enumerate(STATIC)))}
# One method's path may be long; what fills a quarter of the table is not worth its place.
_MOST_FIELD_BYTES = DEFAULT_BYTES // 4


class Encoder:
    """Header lists in the order in which they are sent."""

    def __init__(self) -> None:
        self._table = FieldTable()
        self._most_bytes = DEFAULT_BYTES
        self._announce: list[int] = []
        self._known: dict[tuple[Field, ...], bytes] = {}

    def encode(self, headers: Iterable[Field]) -> bytes:
        """The block that stands for these fields on the wire."""
        fields = tuple(headers)
        block = self._known.get(fields)
        if block is None:
            changed = bool(self._announce)
            written = bytearray(b"".join(_integer(size, 5, SIZE_UPDATE) for size in self._announce))
            self._announce = []
            for field in fields:
                changed |= self._write(field, written)
            block = bytes(written)
            if changed or len(self._known) >= REMEMBERED:
                self._known.clear()
            if not changed and len(block) <= REMEMBERED_BYTES:
                self._known[fields] = block
        return block

    def resize(self, most_bytes: int) -> None:
        """The peer keeps no more than this; we keep no more than the default."""
        size = min(most_bytes, DEFAULT_BYTES)
        if size != self._most_bytes:
            self._known.clear()
            self._table.resize(size)
            # Section 4.2: the smallest size that there was, and the last one.
            self._announce = sorted({min([size, *self._announce]), size})
            self._most_bytes = size

    def _write(self, field: Field, written: bytearray) -> bool:
        """True when the table is another afterwards."""
        name, value = field
        index = _STATIC_FIELDS.get(field) or self._table.index(field)
        if index:
            written += _integer(index, 7, INDEXED)
            return False
        keep = name in _STEADY and size_of(field) <= min(_MOST_FIELD_BYTES, self._most_bytes)
        known = _STATIC_NAMES.get(name, 0)
        written += _integer(known, 6, INCREMENTAL) if keep else _integer(known, 4, NEVER if name in _SECRET else 0)
        if not known:
            written += _integer(len(name), 7, 0) + name
        written += _integer(len(value), 7, 0) + value
        if keep:
            self._table.add(field)
        return keep


def _integer(number: int, bits: int, flags: int) -> bytes:
    """RFC 7541, section 5.1."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([flags | number])
    written = [flags | most]
    number -= most
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
