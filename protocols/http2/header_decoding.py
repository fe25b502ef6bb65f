"""Read header blocks (RFC 7541), and remember those that repeat. Pure.

A block that does not change the table means the same again for as long as no other block changes it. Calls of one
method on one connection are mostly such blocks, and reading one of ten fields costs as much as the rest of a small
call. `hpack` does the Huffman code.
"""

from __future__ import annotations

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Headers
from protocols.http2.fields import Judge, content_length
from protocols.http2.frames import ErrorCode
from protocols.http2.header_table import DEFAULT_BYTES, Field, FieldTable, size_of

# Different methods, or different answers, that take turns on one connection; and Huffman texts in them.
REMEMBERED = 64
# A larger block is seldom a repeated one; remembering such would let a peer fill memory for nothing.
REMEMBERED_BYTES = 256
# RFC 9113 section 10.5.1: a list is to be decoded even when it is refused, or the table is lost. This many times
# the limit is the end of that patience.
PATIENCE = 4
# RFC 7541 section 4.2 asks for two at most; some encoders announce every change they went through.
MOST_SIZE_UPDATES = 16
INDEXED, INCREMENTAL, SIZE_UPDATE = 0x80, 0x40, 0x20
# Four bytes after the prefix say more than any length or index here can be.
MOST_INTEGER_BITS = 28


class Decoded:
    """The fields of one block; never changed, since calls with the same block share it."""

    __slots__ = ("_faults", "content_length", "fields", "too_large")

    def __init__(self, fields: Headers, *, too_large: bool) -> None:
        self.fields = fields
        self.too_large = too_large
        self.content_length = content_length(fields)
        self._faults: dict[Judge, str] = {}

    def fault(self, judge: Judge) -> str:
        """What a judge finds wrong; asked once for the same block."""
        fault = self._faults.get(judge)
        if fault is None:
            fault = judge(self.fields)
            if not fault and self.content_length == -1:
                fault = "a content-length that is no length"
            self._faults[judge] = fault
        return fault


class Decoder:
    """Header blocks in the order in which they arrived."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._table = FieldTable()
        self._table_changed = False
        self._known: dict[bytes, Decoded] = {}
        self._texts: dict[bytes, bytes] = {}

    def decode(self, block: bytes) -> Decoded:
        """Raises PeerBrokeRules for what is no HPACK, and for a list that is far too large."""
        known = self._known.get(block)
        if known is None:
            self._table_changed = False
            try:
                known = self._read(block)
            except (IndexError, HPACKDecodingError) as error:
                raise PeerBrokeRules(ErrorCode.COMPRESSION_ERROR, "a header block is no valid HPACK") from error
            if self._table_changed or len(self._known) >= REMEMBERED:
                self._known.clear()
            if not self._table_changed and len(block) <= REMEMBERED_BYTES:
                self._known[block] = known
        return known

    def _read(self, block: bytes) -> Decoded:
        fields: Headers = []
        at, end, size, most, table = self._sizes(block), len(block), 0, self._most_bytes, self._table
        while at < end:
            first = block[at]
            at += 1
            if first & INDEXED:
                index = first & 0x7F
                if index == 0x7F:
                    index, at = _integer(block, at, index)
                field = table[index]
            else:
                field, at = self._literal(block, at, first)
            size += size_of(field)
            if size > PATIENCE * most:
                raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, "a header list is far above the limit")
            fields.append(field)
        return Decoded(fields, too_large=size > most)

    def _literal(self, block: bytes, at: int, first: int) -> tuple[Field, int]:
        if first & INCREMENTAL:
            prefix = 0x3F
        elif first & SIZE_UPDATE:
            # RFC 7541 section 4.2: only at the beginning of a block.
            raise IndexError
        else:
            prefix = 0x0F
        index = first & prefix
        if index == prefix:
            index, at = _integer(block, at, index)
        if index:
            name = self._table[index][0]
        else:
            name, at = self._text(block, at)
        value, at = self._text(block, at)
        field = (name, value)
        if first & INCREMENTAL:
            self._table_changed = True
            self._table.add(field)
        return field, at

    def _text(self, block: bytes, at: int) -> tuple[bytes, int]:
        first = block[at]
        at += 1
        size = first & 0x7F
        if size == 0x7F:
            size, at = _integer(block, at, size)
        end = at + size
        if end > len(block):
            raise IndexError
        text = block[at:end]
        return (self._plain(text) if first & 0x80 else text), end

    def _plain(self, huffman: bytes) -> bytes:
        text = self._texts.get(huffman)
        if text is None:
            text = decode_huffman(huffman)
            if len(self._texts) >= REMEMBERED:
                self._texts.clear()
            if len(huffman) <= REMEMBERED_BYTES:
                self._texts[huffman] = text
        return text

    def _sizes(self, block: bytes) -> int:
        """Obey the changes of the table's size at a block's beginning; return where they end."""
        at = count = 0
        while at < len(block) and block[at] & 0xE0 == SIZE_UPDATE:
            count += 1
            size, at = block[at] & 0x1F, at + 1
            if size == 0x1F:
                size, at = _integer(block, at, size)
            # We never announced another size than the one both sides begin with.
            if size > DEFAULT_BYTES or count > MOST_SIZE_UPDATES:
                raise IndexError
            self._table_changed = True
            self._table.resize(size)
        return at


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """RFC 7541, section 5.1: a number that did not fit into its first byte's prefix."""
    number, shift = prefix, 0
    while True:
        more = block[at]
        at += 1
        number += (more & 0x7F) << shift
        if more < 0x80:
            return number, at
        shift += 7
        if shift >= MOST_INTEGER_BITS:
            raise IndexError
