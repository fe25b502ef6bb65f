"""Files at rest: sealed in chunks, so that a film costs as little memory as a thumbnail.

One file a reference, below the state directory: chunks of 256 KiB, each a sealed record of its own whose
id is reference, number and whether it is the last, so that a chunk cannot be moved, left out or cut
off unnoticed. Each is preceded by its length, and the size in clear is in none of them. Sealing runs on
the loop (a quarter of a millisecond a chunk), the disk in a thread.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Set
from contextlib import suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import trio

from gateway.errors import Altered, TooLarge, Truncated
from gateway.files import StoredMedia
from gateway.message.seal import HEADER_BYTES, RecordKind, Sealer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CHUNK_BYTES = 256 * 1024
_LENGTH = struct.Struct(">I")
_TAG_BYTES = 16
_REF = re.compile(r"[0-9a-f]{32}")
# Enough to keep a disk busy; pictures must not wait behind a film, nor the journal behind either.
_THREADS = 4


class SealedFiles:
    """Implements `MediaStore` of `gateway/files.py` in a folder. `unlock` must come before the first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sealer: Sealer | None = None
        self._threads = trio.CapacityLimiter(_THREADS)

    def unlock(self, sealer: Sealer) -> None:
        """Seal and open with these keys from now on."""
        self._sealer = sealer

    async def save(self, pieces: AsyncIterable[bytes], *, max_bytes: int) -> StoredMedia:
        """Keep a file. A crash on the way leaves a partial file that `sweep` removes; nothing refers to it."""
        ref = os.urandom(16).hex()
        path = self._path(ref)
        partial = path.with_suffix(".part")
        file = await self._in_thread(_create, partial)
        try:
            size = await self._write(file, ref, pieces, max_bytes)
            await self._in_thread(_finish, file, partial, path)
        except BaseException:
            # First: on a full disk closing fails once more, and what is left of the file would keep the disk full.
            with suppress(OSError):
                partial.unlink()
            with suppress(OSError):
                file.close()
            raise
        return StoredMedia(ref, size)

    async def open(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give the file in pieces of up to 256 KiB."""
        file = await self._in_thread(_open, self._checked(ref))
        try:
            number, last = 0, False
            while not last:
                sealed, last = await self._in_thread(_read_chunk, file)
                yield self._keys().open_bytes(RecordKind.MEDIA, _id(ref, number, last=last), sealed)
                number += 1
        finally:
            file.close()

    async def size(self, ref: str) -> int:
        """Work the size out of the file's length: the overhead of a chunk is known."""
        length = await self._in_thread(_length, self._checked(ref))
        overhead = _LENGTH.size + HEADER_BYTES + _TAG_BYTES
        chunks = -(-length // (CHUNK_BYTES + overhead))
        return max(0, length - chunks * overhead)

    async def sweep(self, before: float, kept: Set[str] = frozenset()) -> int:
        """Remove what was last written before that moment of the wall clock and is none of the references `kept`.

        Returns how many files went.
        """
        return await self._in_thread(_sweep, self._folder, before, kept)

    async def _write(self, file: BufferedWriter, ref: str, pieces: AsyncIterable[bytes], max_bytes: int) -> int:
        held, size, number = bytearray(), 0, 0
        async for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise TooLarge(f"The file has more than {max_bytes} bytes; that is the most this channel takes.")
            held += piece
            while len(held) > CHUNK_BYTES:
                await self._put(file, ref, number, bytes(held[:CHUNK_BYTES]), last=False)
                del held[:CHUNK_BYTES]
                number += 1
        await self._put(file, ref, number, bytes(held), last=True)
        return size

    async def _put(self, file: BufferedWriter, ref: str, number: int, plain: bytes, *, last: bool) -> None:
        sealed = self._keys().seal_bytes(RecordKind.MEDIA, _id(ref, number, last=last), plain)
        await self._in_thread(file.write, _LENGTH.pack(len(sealed)) + sealed)

    def _keys(self) -> Sealer:
        assert self._sealer is not None, "the media store is used before its keys are read"
        return self._sealer

    def _path(self, ref: str) -> Path:
        return self._folder / ref[:2] / ref

    def _checked(self, ref: str) -> Path:
        if not _REF.fullmatch(ref):
            raise KeyError(ref)
        return self._path(ref)

    async def _in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._threads)


def _id(ref: str, number: int, *, last: bool) -> str:
    return f"{ref}/{number}/{'end' if last else 'more'}"


def _create(path: Path) -> BufferedWriter:
    for folder in (path.parent.parent, path.parent):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            # A power cut must not take a folder away whose files are on the disk.
            _sync(folder.parent)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _finish(file: BufferedWriter, partial: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    partial.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise KeyError(path.name) from error


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise KeyError(path.name) from error


def _read_chunk(file: BufferedReader) -> tuple[bytes, bool]:
    """Return a sealed chunk and whether the file ends behind it: then it must have been sealed as the last."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise Truncated("A media file ends before its last chunk.")
    (length,) = _LENGTH.unpack(head)
    if length > CHUNK_BYTES + HEADER_BYTES + _TAG_BYTES:
        raise Altered("A media file names a chunk that is larger than chunks are.")
    sealed = file.read(length)
    return sealed, not file.peek(1)


def _sweep(folder: Path, before: float, kept: Set[str]) -> int:
    gone = 0
    for path in folder.glob("*/*"):
        # A file that is being written may get its name just now; what cannot be removed is no reason to keep the rest.
        with suppress(OSError):
            if path.name not in kept and path.stat().st_mtime < before:
                path.unlink()
                gone += 1
    return gone
