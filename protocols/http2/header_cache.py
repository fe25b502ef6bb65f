"""Remember header blocks that repeat: HPACK in pure Python is a quarter of a small call's cost. Pure.

A block made of nothing but one-byte indexes (RFC 7541, 6.1) changes neither side's table, so as long as no other
block goes by it means the same headers again. Calls of one method on one connection are mostly such blocks. Any
block that may change the table empties the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder, HPACKDecodingError, OversizedHeaderListError

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Headers
from protocols.http2.fields import Judge, content_length
from protocols.http2.frames import ErrorCode

# Different methods, or different answers, that take turns on one connection.
REMEMBERED = 64
# A block of more indexes is no call's; remembering such would let a peer fill memory for nothing.
MOST_INDEXES = 64
# RFC 9113 section 10.5.1: a list is to be decoded even when it is refused, or the table is lost. This many times
# the limit is the end of that patience.
PATIENCE = 4
# RFC 7541 section 4.2 asks for two at most; some encoders announce every change they went through.
MOST_SIZE_UPDATES = 16
SIZE_UPDATE = 0x20
# RFC 9113 section 6.5.2 counts these for each field beside its name and value.
FIELD_BYTES = 32


class Decoded:
    """The fields of one block; never changed, since calls with the same block share it."""

    __slots__ = ("_faults", "content_length", "fields", "too_large")

    def __init__(self, fields: Headers, most_bytes: int) -> None:
        self.fields = fields
        self.too_large = sum(len(name) + len(value) + FIELD_BYTES for name, value in fields) > most_bytes
        self.content_length = content_length(fields)
        self._faults: dict[Judge, str] = {}

    def fault(self, judge: Judge) -> str:
        """What a judge finds wrong; asked once for the same block."""
        fault = self._faults.get(judge)
        if fault is None:
            fault = self._faults[judge] = judge(self.fields) or ("nonsense for content-length" if self._odd() else "")
        return fault

    def _odd(self) -> bool:
        return self.content_length == -1


class RememberingDecoder:
    """Header blocks in the order in which they arrived."""

    def __init__(self, max_header_list_bytes: int) -> None:
        self._most_bytes = max_header_list_bytes
        self._decoder = Decoder(max_header_list_size=PATIENCE * max_header_list_bytes)
        self._known: dict[bytes, Decoded] = {}

    def decode(self, block: bytes) -> Decoded:
        """Raises PeerBrokeRules for what is no HPACK, and for a list that is far too large."""
        known = self._known.get(block)
        if known is None:
            if block[:1] and block[0] & 0xE0 == SIZE_UPDATE:
                _check_size_updates(block)
            try:
                fields: Any = self._decoder.decode(block, raw=True)
            except OversizedHeaderListError as error:
                raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, "a header list is far above the limit") from error
            except HPACKDecodingError as error:
                raise PeerBrokeRules(ErrorCode.COMPRESSION_ERROR, "a header block is no valid HPACK") from error
            known = Decoded(fields, self._most_bytes)
            _remember(self._known, block, block, known)
        return known


class RememberingEncoder:
    """Header lists in the order in which they are sent."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._known: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Iterable[Any]) -> bytes:  # Any: hpack's header tuples
        """The block that stands for these fields on the wire."""
        fields = tuple(headers)
        block = self._known.get(fields)
        if block is None:
            block = self._encoder.encode(fields)
            _remember(self._known, fields, block, block)
        return block

    @property
    def header_table_size(self) -> int:
        """How much the peer remembers of what we send."""
        return self._encoder.header_table_size

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        # hpack forgets to announce a change when the new size is set twice.
        if size != self._encoder.header_table_size:
            self._known.clear()
            self._encoder.header_table_size = size


def _check_size_updates(block: bytes) -> None:
    at = count = 0
    while at < len(block) and block[at] & 0xE0 == SIZE_UPDATE:
        count += 1
        if count > MOST_SIZE_UPDATES:
            raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, "a header block of too many table size updates")
        long = block[at] & 0x1F == 0x1F
        at += 1
        while long and at < len(block):
            long = block[at] >= 0x80
            at += 1


def _remember(known: dict[Any, Any], key: Any, block: bytes, value: Any) -> None:
    # 0xff begins an index of more than one byte; below 0x80 begin literals and table size changes.
    only_indexes = not block or (min(block) > 0x80 and max(block) < 0xFF)
    if not only_indexes or len(known) >= REMEMBERED:
        known.clear()
    if only_indexes and len(block) <= MOST_INDEXES:
        known[key] = value
