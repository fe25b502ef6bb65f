"""The keys that seal and open: one active, any number retired, and one for searching.

Pure: a key ring is a value with a text form. Reading and writing its file, with the right
mode and atomically, is `gateway/config/keyfile.py`. Randomness and time come in as arguments.

The index key makes the digests by which the journal finds a conversation or a redelivery;
it never rotates, because digests of old rows could not be found again under a new one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

from msgspec import Struct

from gateway.errors import KeyRingError

KEY_BYTES = 32
_FIRST_LINE = "oclaw-keyring 1"
_WANTED = "'index KEY', 'active ID SINCE KEY' or 'retired ID SINCE KEY'"


class Key(Struct, frozen=True):
    """One sealing key: the id that sealed records name (1 to 2**32 - 1), when it was made, the 32 secret bytes."""

    id: int
    since: int
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id:08x}, since={self.since})"


class KeyRing(Struct, frozen=True):
    """The active key seals; every key opens; `index` keys the digests. Its repr shows no secret."""

    active: Key
    index: bytes
    retired: tuple[Key, ...] = ()

    def __repr__(self) -> str:
        return f"KeyRing(active={self.active!r}, retired={self.retired!r})"

    def all(self) -> tuple[Key, ...]:
        """Return every key that opens, the active one first."""
        return (self.active, *self.retired)


def new_keyring(now: float, random: Callable[[int], bytes]) -> KeyRing:
    """Make a ring with one fresh key."""
    return KeyRing(_new_key(now, random, taken=frozenset()), random(KEY_BYTES))


def rotate(ring: KeyRing, now: float, random: Callable[[int], bytes]) -> KeyRing:
    """Return a ring with a fresh active key; the old one is retired and still opens what it sealed."""
    taken = frozenset(key.id for key in ring.all())
    return KeyRing(_new_key(now, random, taken=taken), ring.index, ring.all())


def check_successor(ring: KeyRing, newer: KeyRing, place: str) -> None:
    """Raise `KeyRingError` unless what was sealed and found with `ring` is opened and found with `newer`, too."""
    if newer.index != ring.index:
        raise KeyRingError(f"{place} has another index key, so it is of another journal; put this one's back.")
    kept = {key.id: key.secret for key in newer.all()}
    lost = ", ".join(f"{key.id:08x}" for key in ring.all() if kept.get(key.id) != key.secret)
    if lost:
        raise KeyRingError(
            f"{place} no longer has the key {lost}, with which records may be sealed that are kept; put it back, or "
            "restart the gateway to do without them."
        )


def format_keyring(ring: KeyRing) -> str:
    """Write the text form, one key a line, which `parse_keyring` reads back to an equal ring."""
    lines = [_FIRST_LINE, f"index {_text(ring.index)}", _line("active", ring.active)]
    lines += [_line("retired", key) for key in ring.retired]
    return "\n".join(lines) + "\n"


def parse_keyring(text: str, place: str = "key ring") -> KeyRing:
    """Read the text form. Raises `KeyRingError` with place and line; it never repeats a secret."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != _FIRST_LINE:
        why = f"this is no key ring of this version; wanted '{_FIRST_LINE}'. Put it back from its backup."
        raise KeyRingError(f"{place}, line 1: {why}")
    index: list[bytes] = []
    keys: dict[str, list[Key]] = {"active": [], "retired": []}
    for number, line in enumerate(lines[1:], start=2):
        match line.split():
            case []:
                pass
            case ["index", secret]:
                index.append(_secret(secret, f"{place}, line {number}"))
            case [("active" | "retired") as role, name, since, secret]:
                keys[role].append(_key(name, since, secret, f"{place}, line {number}"))
            case _:
                raise KeyRingError(f"{place}, line {number}: not understood; wanted {_WANTED}.")
    return _ring(index, keys["active"], tuple(keys["retired"]), place)


def _ring(index: list[bytes], active: list[Key], retired: tuple[Key, ...], place: str) -> KeyRing:
    if len(index) != 1 or len(active) != 1:
        raise KeyRingError(
            f"{place}: {len(index)} index keys and {len(active)} active keys; wanted exactly one of each."
        )
    ring = KeyRing(active[0], index[0], retired)
    if len({key.id for key in ring.all()}) != len(ring.all()):
        raise KeyRingError(f"{place}: two keys have the same id; every id must stand once.")
    return ring


def _new_key(now: float, random: Callable[[int], bytes], *, taken: frozenset[int]) -> Key:
    while (name := int.from_bytes(random(4), "big")) == 0 or name in taken:
        pass
    return Key(name, int(now), random(KEY_BYTES))


def _line(role: str, key: Key) -> str:
    return f"{role} {key.id:08x} {key.since} {_text(key.secret)}"


def _text(secret: bytes) -> str:
    return b64encode(secret).decode("ascii")


def _key(name: str, since: str, secret: str, place: str) -> Key:
    try:
        key = Key(int(name, 16), int(since), _secret(secret, place))
    except ValueError:
        raise KeyRingError(f"{place}: the id must be 8 hexadecimal digits and the time a whole number.") from None
    if not 0 < key.id < 2**32:
        raise KeyRingError(f"{place}: the id must be 8 hexadecimal digits and not zero.")
    return key


def _secret(text: str, place: str) -> bytes:
    try:
        secret = b64decode(text, validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeyRingError(f"{place}: the key must be {KEY_BYTES} bytes in base64.")
    return secret
