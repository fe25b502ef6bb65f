"""Seal records for the journal and for every hop to another process, and open them again.

msgpack, then zstd against a trained dictionary, then XChaCha20-Poly1305. The header, the
record's kind and its id are authenticated along, so that no row can be swapped for another.
The form is described byte by byte in README.md beside this file. Pure: the randomness for
nonces comes in as a function. What opening promises: any input gives the value that was
sealed or one `SealError`, and allocates no more than `max_bytes`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec

from gateway.errors import (
    Altered,
    TooLarge,
    Truncated,
    UnknownDictionary,
    UnknownKey,
    UnknownSeal,
    Unsealable,
    WrongRecord,
)
from gateway.message.aead import NONCE_BYTES, TAG_BYTES, decryptor, encryptor
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import KeyRing, check_successor
from gateway.message.message import storable

T = TypeVar("T")

MAGIC: Final = b"\xc1\x0c"  # 0xC1 is the one byte that never stands in msgpack
VERSION: Final = 1
ZSTD: Final = 0x01  # flag: the content is one zstd frame (RFC 8878)
DIGEST_BYTES: Final = 16
# 16 MiB: four times the largest request body the gateway accepts by default, so whatever came in can be opened.
MAX_BYTES: Final = 16 * 1024 * 1024

# Digests remembered: about 1 MB of conversations and senders.
_LASTING: Final = 4096

# magic, version, flags, kind, record check, key id, dictionary id, length of what follows, nonce
_HEADER: Final = struct.Struct(">2sBBBHIII24s")
HEADER_BYTES: Final = _HEADER.size
_KIND_AT: Final = 4
# One table of 32 KB for what the dictionary holds, where zstd's usual level 3 takes two of 384 KB together: between two
# messages they fall out of the processor's cache, and looking into them is half of compressing. Records are 4 % longer.
_LEVEL: Final = 1
_TABLE_LOG: Final = 13
_ARRAYS: Final = tuple(bytes((0x90 | count,)) for count in range(16))  # msgpack: an array of so many values follows
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)


class RecordKind(IntEnum):
    """What a sealed record is; it does not open as anything else."""

    ENVELOPE = 1
    DELIVERY = 2
    NOTE = 3  # the story of a message's walk, the receipt of an attempt
    CURSOR = 4  # how far a channel has read its platform
    MEDIA = 5  # a file; stored as it is, since pictures and sound are compressed already
    HOP = 6  # a value on its way to another process
    WALKED = 7  # an envelope, the story of its walk, and its reply, when all are stored in one commit


# Python looks up a class's member ten times slower than a name.
_NOTE, _MEDIA = RecordKind.NOTE, RecordKind.MEDIA


class Sealer:
    """Seals under the ring's active key, opens under any of its keys. Not for use from two threads at once.

    zstd contexts and decoders are made once and kept, so dictionaries of their own take another Sealer. Keys that were
    rotated are taken by `renew`, and whoever holds this one seals with them.
    """

    def __init__(
        self,
        keyring: KeyRing,
        dictionaries: Dictionaries,
        random: Callable[[int], bytes],
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        import zstandard  # 7 ms of CPU, together with nacl: only who seals pays

        self._take(keyring)
        self._frame_size, self._broken_frame = zstandard.frame_content_size, zstandard.ZstdError
        self._random, self._max_bytes = random, max_bytes
        self._hash = hashlib.blake2b(key=keyring.index, digest_size=DIGEST_BYTES)
        self._dictionary_id = 0 if dictionaries.active is None else dictionaries.active.id
        self._compress, self._decompress = _zstd(dictionaries)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}
        self._lasting: dict[tuple[str, ...], bytes] = {}

    def renew(self, keyring: KeyRing) -> None:
        """Seal with this ring's active key from now on, and open with all its keys.

        Raises `KeyRingError`, and goes on as before, for a ring that does not follow this one's. May be called while
        another thread seals: each record is sealed with one key, and names it.
        """
        check_successor(self.keyring, keyring, "key ring")
        self._take(keyring)

    def seal(self, kind: RecordKind, id: str, value: Any) -> bytes:
        """Seal a struct as the record `id` of that kind. Raises `Unsealable` or `TooLarge`."""
        return self.seal_bytes(kind, id, self.encode(kind, id, value))

    def encode(self, kind: RecordKind, id: str, value: Any) -> bytes:
        """Encode a struct for `seal_bytes` or `seal_together`. Raises `Unsealable` or `TooLarge`."""
        try:
            plain = self._encode(value)
        except UnicodeEncodeError as error:
            if kind is not _NOTE:
                raise Unsealable(f"{kind.name.lower()} {id} holds a value that cannot be stored: {error}.") from error
            # What is told about a message may be an exception's words; it must not keep the message from its end.
            plain = self._encode(_told(msgspec.to_builtins(value)))
        except _UNENCODABLE as error:
            raise Unsealable(f"{kind.name.lower()} {id} holds a value that cannot be stored: {error}.") from error
        if len(plain) > self._max_bytes:
            raise _too_large(kind, id, len(plain), self._max_bytes)
        return plain

    def seal_together(self, kind: RecordKind, id: str, *parts: bytes) -> bytes:
        """Seal up to 15 encoded values as one record, which opens as a struct of as many that is `array_like`."""
        return self.seal_bytes(kind, id, _ARRAYS[len(parts)] + b"".join(parts))

    def open(self, kind: RecordKind, id: str, sealed: bytes, type: type[T]) -> T:
        """Open the record `id` of that kind as a `type`. Raises a `SealError` of the kind that tells why not."""
        decode = self._decoders.get(type)
        if decode is None:
            decode = self._decoders[type] = msgspec.msgpack.Decoder(type).decode
        try:
            value: T = decode(self.open_bytes(kind, id, sealed))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WrongRecord(f"{_place(kind, id)} opens, but holds no {_name(type)}: {error}.") from error
        return value

    def seal_bytes(self, kind: RecordKind, id: str, plain: bytes) -> bytes:
        """Seal bytes that are encoded already, or a file."""
        flags = dictionary = 0
        if kind is not _MEDIA:
            if len(plain) > self._max_bytes:
                raise _too_large(kind, id, len(plain), self._max_bytes)
            plain, flags, dictionary = self._compress(plain), ZSTD, self._dictionary_id
        length = len(plain) + TAG_BYTES
        if length >= 2**32:
            raise TooLarge(f"{_place(kind, id)} has {length} bytes; a sealed record holds less than 4 GiB.")
        name = id.encode("utf-8", "surrogatepass")
        check, nonce = crc32(name) & 0xFFFF, self._random(NONCE_BYTES)
        key_id, encrypt = self._sealing
        header = _HEADER.pack(MAGIC, VERSION, flags, kind, check, key_id, dictionary, length, nonce)
        return header + encrypt(plain, header + name, nonce)

    def open_bytes(self, kind: RecordKind, id: str, sealed: bytes) -> bytes:
        """Open the record `id` of that kind as the bytes that were sealed."""
        if len(sealed) < HEADER_BYTES:
            raise Truncated(f"{_place(kind, id)} ends after {len(sealed)} bytes, inside the header.")
        magic, version, flags, sealed_kind, check, key_id, dictionary, length, nonce = _HEADER.unpack_from(sealed)
        name = id.encode("utf-8", "surrogatepass")
        if magic != MAGIC or version != VERSION or flags not in (0, ZSTD):
            raise UnknownSeal(_strange(kind, id, magic, version))
        if len(sealed) != HEADER_BYTES + length:
            raise _wrong_length(kind, id, len(sealed), HEADER_BYTES + length)
        if sealed_kind != kind or check != crc32(name) & 0xFFFF:
            raise WrongRecord(f"{_place(kind, id)} holds the bytes of another record; the journal was mixed up.")
        decrypt = self._decrypt.get(key_id)
        if decrypt is None:
            raise UnknownKey(f"{_place(kind, id)} was sealed with key {key_id:08x}, which is not in the key ring.")
        plain = decrypt(sealed, HEADER_BYTES, sealed[:HEADER_BYTES] + name, nonce)
        if plain is None:
            raise Altered(f"{_place(kind, id)} was altered, or its key has the right id and is another.")
        return self._expand(kind, id, plain, dictionary) if flags else bytes(plain)

    def digest(self, purpose: str, *parts: str) -> bytes:
        """Return the 16 bytes under which the journal finds `parts` again; another purpose gives other bytes.

        Keyed BLAKE2b (RFC 7693) over the msgpack array of purpose and parts, so that no two lists look alike.
        """
        running = self._hash.copy()
        try:
            running.update(self._encode((purpose, *parts)))
        except UnicodeEncodeError as error:
            raise Unsealable(f"{purpose} holds text that is not Unicode: {error}.") from error
        return running.digest()

    def lasting_digest(self, purpose: str, *parts: str) -> bytes:
        """Return `digest` of what comes again and again, a conversation or a sender: remembered for a while."""
        known = self._lasting.get((purpose, *parts))
        if known is None:
            if len(self._lasting) >= _LASTING:
                self._lasting.clear()
            known = self._lasting[purpose, *parts] = self.digest(purpose, *parts)
        return known

    def _take(self, keyring: KeyRing) -> None:
        self._decrypt = {key.id: decryptor(key.secret) for key in keyring.all()}
        # Id and key in one place, read in one step: a record that names another key than its own never opens.
        self._sealing = keyring.active.id, encryptor(keyring.active.secret)
        self.keyring = keyring

    def _expand(self, kind: RecordKind, id: str, frame: bytearray, dictionary: int) -> bytes:
        decompress = self._decompress.get(dictionary)
        if decompress is None:
            raise UnknownDictionary(
                f"{_place(kind, id)} needs zstd dictionary {dictionary}, which is not here; restore it from a backup."
            )
        try:
            size = self._frame_size(frame)
            if not 0 <= size <= self._max_bytes:
                raise TooLarge(
                    f"{_place(kind, id)} would expand to {_count(size)} bytes, beyond the {self._max_bytes} allowed."
                )
            return decompress(frame)
        except self._broken_frame as error:
            raise Altered(f"{_place(kind, id)} is authentic, but its zstd frame is broken: {error}.") from error


def _told(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case dict():
            return {_told(key): _told(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_told(inner) for inner in value]
        case _:
            return value


Transform = Callable[[bytes | bytearray], bytes]


def _zstd(dictionaries: Dictionaries) -> tuple[Transform, dict[int, Transform]]:
    """Build what compresses, and what decompresses by dictionary id; 0 stands for no dictionary.

    Raises `UnknownDictionary`.
    """
    from zstandard import ZstdCompressionDict, ZstdCompressionParameters, ZstdCompressor, ZstdDecompressor, ZstdError

    decompress: dict[int, Transform] = {0: ZstdDecompressor().decompress}
    for each in dictionaries.all():
        try:
            decompress[each.id] = ZstdDecompressor(dict_data=ZstdCompressionDict(each.content)).decompress
        except ZstdError as error:
            raise UnknownDictionary(f"zstd dictionary {each.id} is damaged: {error}; restore it.") from error
    if dictionaries.active is None:
        return ZstdCompressor(level=_LEVEL).compress, decompress
    active = ZstdCompressionDict(dictionaries.active.content)
    size = len(dictionaries.active.content)
    tables = ZstdCompressionParameters.from_level(_LEVEL, dict_size=size, hash_log=_TABLE_LOG)
    active.precompute_compress(compression_params=tables)
    # The id stands in our header; in the frame it would be 4 bytes more.
    return ZstdCompressor(level=_LEVEL, dict_data=active, write_dict_id=False).compress, decompress


def kind_of(sealed: bytes) -> int:
    """Return what kind of record this claims to be; only opening it as that kind tells whether it is one."""
    return sealed[_KIND_AT] if len(sealed) > _KIND_AT else 0


def _too_large(kind: RecordKind, id: str, found: int, most: int) -> TooLarge:
    return TooLarge(f"{_place(kind, id)} has {found} bytes; at most {most} can be sealed.")


def _place(kind: RecordKind, id: str) -> str:
    return f"the sealed {kind.name.lower()} {id}"


def _name(type: Any) -> str:
    return getattr(type, "__name__", str(type))


def _count(size: int) -> str:
    return "an untold number of" if size < 0 else str(size)


def _strange(kind: RecordKind, id: str, magic: bytes, version: int) -> str:
    if magic != MAGIC:
        return f"{_place(kind, id)} does not begin like a sealed record."
    return f"{_place(kind, id)} is of version {version} or has flags unknown here; a newer oclaw wrote it."


def _wrong_length(kind: RecordKind, id: str, found: int, wanted: int) -> Truncated | Altered:
    if found < wanted:
        return Truncated(f"{_place(kind, id)} has {found} of its {wanted} bytes.")
    return Altered(f"{_place(kind, id)} has {found - wanted} bytes too many.")
