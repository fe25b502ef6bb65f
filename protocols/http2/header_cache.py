"""Remember header blocks that repeat: HPACK in pure Python is a quarter of a small call's cost. Pure.

A block made of nothing but one-byte indexes (RFC 7541, 6.1) changes neither side's table, so as long as no other
block goes by it means the same headers again. Calls of one method on one connection are mostly such blocks. Any
block that may change the table empties the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder

# Different methods, or different answers, that take turns on one connection.
REMEMBERED = 64


class RememberingDecoder:
    """As much of hpack's Decoder as h2 uses."""

    def __init__(self, max_header_list_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=max_header_list_bytes)
        self._known: dict[bytes, list[Any]] = {}
        self._proven: dict[bytes, list[Any]] = {}

    def proven(self, block: bytes) -> bool:
        """True when these bytes still mean what they meant when they were proven."""
        known = self._known.get(block)
        return known is not None and self._proven.get(block) is known

    def prove(self, block: bytes) -> None:
        """The headers that this block was just decoded to make a valid request."""
        if (known := self._known.get(block)) is not None:
            if len(self._proven) >= REMEMBERED:
                self._proven.clear()
            self._proven[block] = known

    def decode(self, block: bytes, *, raw: bool) -> list[Any]:  # Any: hpack's header tuples
        block = bytes(block)
        known = self._known.get(block)
        if known is None:
            known = list(self._decoder.decode(block, raw=raw))
            _remember(self._known, block, block, known)
        return known.copy()

    @property
    def max_allowed_table_size(self) -> int:
        return self._decoder.max_allowed_table_size

    @max_allowed_table_size.setter
    def max_allowed_table_size(self, size: int) -> None:
        self._known.clear()
        self._decoder.max_allowed_table_size = size


class RememberingEncoder:
    """As much of hpack's Encoder as h2 uses."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._known: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Iterable[Any]) -> bytes:  # Any: hpack's header tuples
        fields = tuple(headers)
        block = self._known.get(fields)
        if block is None:
            block = self._encoder.encode(fields)
            _remember(self._known, fields, block, block)
        return block

    @property
    def header_table_size(self) -> int:
        return self._encoder.header_table_size

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        # hpack forgets to announce a change when the new size is set twice.
        if size != self._encoder.header_table_size:
            self._known.clear()
            self._encoder.header_table_size = size


def _remember(known: dict[Any, Any], key: Any, block: bytes, value: Any) -> None:
    # 0xff begins an index of more than one byte; below 0x80 begin literals and table size changes.
    only_indexes = not block or (min(block) > 0x80 and max(block) < 0xFF)
    if not only_indexes or len(known) >= REMEMBERED:
        known.clear()
    if only_indexes:
        known[key] = value
