"""The seam of kept files: what a channel that takes media may rely on. `gateway/media/` implements it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Protocol

from msgspec import Struct


class MediaStore(Protocol):
    """Files that came or go with messages: sealed at rest, streamed, removed when no message can need them."""

    async def save(self, pieces: AsyncIterable[bytes], *, max_bytes: int) -> StoredMedia:
        """Keep a file and return its reference for `Attachment.ref`; nothing is kept of one that is larger.

        Raises `TooLarge`. Memory stays bounded, whatever the size.
        """

    def open(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give the file in pieces. Raises `SealError`, or `KeyError` for a reference that is not there."""

    async def size(self, ref: str) -> int:
        """Return the file's size in bytes. Raises `KeyError`."""


class StoredMedia(Struct, frozen=True):
    """Where a kept file is found again, and its size."""

    ref: str
    size: int
