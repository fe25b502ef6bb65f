"""The zstd dictionaries that make small messages small.

A chat message is too short for zstd to learn from, so it is compressed against a dictionary
of what chat messages look like. A sealed record names its dictionary by id, and no record
opens without it: every dictionary ever used is kept. Pure: the files are read by
`gateway/config/dictionaries.py`, and made by `python -m gateway.message.train`.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.errors import UnknownDictionary

_MAGIC = b"\x37\xa4\x30\xec"  # RFC 8878, section 5: the magic number of a dictionary, little-endian


class Dictionary(Struct, frozen=True):
    """One trained dictionary under the id that is written inside it."""

    id: int
    content: bytes

    def __repr__(self) -> str:
        return f"Dictionary({self.id}, {len(self.content)} bytes)"


class Dictionaries(Struct, frozen=True):
    """`active` compresses (None: plain zstd); it and all of `older` open."""

    active: Dictionary | None = None
    older: tuple[Dictionary, ...] = ()

    def all(self) -> tuple[Dictionary, ...]:
        """Return every dictionary that opens, the active one first."""
        return self.older if self.active is None else (self.active, *self.older)


def read_dictionary(content: bytes, place: str = "dictionary") -> Dictionary:
    """Take a dictionary file's bytes. Raises `UnknownDictionary` where they are not one (RFC 8878, section 5)."""
    number = int.from_bytes(content[4:8], "little")
    if content[:4] != _MAGIC or number == 0:
        raise UnknownDictionary(f"{place} is not a trained zstd dictionary; restore it, or train one again.")
    return Dictionary(number, content)
