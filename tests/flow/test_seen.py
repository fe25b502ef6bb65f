"""The filter at the door: "surely new" is never said of a message that was seen."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from gateway.flow.seen import Seen

digests = st.binary(min_size=16, max_size=16)


def digest_of(text: str) -> bytes:
    """Digest as the sealer does: no bit of it is more likely than another."""
    return blake2b(text.encode(), digest_size=16).digest()


@given(st.lists(digests, max_size=50))
def test_what_was_added_is_never_surely_new(added: list[bytes]) -> None:
    seen = Seen()
    seen.ready = True
    seen.add_all(added)
    assert not any(seen.is_new(digest) for digest in added)


def test_nearly_all_others_are_surely_new() -> None:
    seen = Seen()
    seen.ready = True
    seen.add_all(digest_of(f"seen {number}") for number in range(100_000))
    others = [digest_of(f"new {number}") for number in range(10_000)]
    assert sum(not seen.is_new(digest) for digest in others) < 20
    assert not any(seen.is_new(digest) for digest in others), "asking remembers"


def test_nothing_is_surely_new_before_the_journal_was_read() -> None:
    assert not Seen().is_new(bytes(16))


def test_a_message_without_a_key_is_always_new() -> None:
    assert Seen().is_new(b"")
