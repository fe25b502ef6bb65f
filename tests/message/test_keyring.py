"""A key ring is a value with a text form that shows no secret by accident."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import KeyRingError
from gateway.message.keyring import KeyRing, check_successor, format_keyring, new_keyring, parse_keyring, rotate

RING = rotate(new_keyring(1_700_000_000, os.urandom), 1_800_000_000, os.urandom)


def test_the_text_form_reads_back_to_the_same_ring():
    assert parse_keyring(format_keyring(RING)) == RING


def test_rotation_retires_the_active_key_and_keeps_the_index_key():
    again = rotate(RING, 1_900_000_000, os.urandom)
    assert again.retired == (RING.active, *RING.retired)
    assert again.index == RING.index
    assert again.active.since == 1_900_000_000
    assert len({key.id for key in again.all()}) == 3


def test_a_key_id_is_neither_zero_nor_taken():
    taken = RING.active.id.to_bytes(4, "big")
    ids = iter([bytes(4), taken, b"\0\0\0\x09"])
    assert rotate(RING, 0, lambda count: next(ids) if count == 4 else bytes(count)).active.id == 9


def test_no_secret_shows_in_the_repr():
    shown = repr(RING) + repr(RING.active)
    assert f"{RING.active.id:08x}" in shown
    for secret in (RING.index, RING.active.secret, RING.retired[0].secret):
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: ["something", *lines[1:]], "line 1"),
        (lambda lines: [], "line 1"),
        (lambda lines: [line for line in lines if not line.startswith("index")], "0 index keys"),
        (lambda lines: [*lines, lines[2]], "2 active keys"),
        (lambda lines: [*lines, lines[3]], "two keys have the same id"),
        (lambda lines: [*lines, "lost words"], "line 5: not understood"),
        (lambda lines: [*lines, "retired zz 1 AAAA"], "line 5"),
        (lambda lines: [*lines, "retired 00000000 1 " + "A" * 43 + "="], "not zero"),
        (lambda lines: [*lines, "retired 12345678 1 AAAA"], "32 bytes"),
    ],
)
def test_a_damaged_ring_is_told_by_place(change, told):
    text = "\n".join(change(format_keyring(RING).splitlines()))
    with pytest.raises(KeyRingError, match=told) as caught:
        parse_keyring(text, "state/keyring")
    assert str(caught.value).startswith("state/keyring")


@pytest.mark.parametrize(
    ("newer", "told"),
    [
        (KeyRing(RING.active, bytes(32), RING.retired), "another index key"),
        (KeyRing(RING.active, RING.index), f"no longer has the key {RING.retired[0].id:08x}"),
        (KeyRing(RING.retired[0], RING.index), f"no longer has the key {RING.active.id:08x}"),
        (KeyRing(replace(RING.active, secret=bytes(32)), RING.index, RING.retired), f"{RING.active.id:08x}"),
    ],
    ids=["another index key", "without the old key", "without the active key", "the active key under another secret"],
)
def test_a_ring_follows_another_only_with_all_its_keys(newer, told):
    with pytest.raises(KeyRingError, match=told):
        check_successor(RING, newer, "state/keyring")
    for follows in (RING, rotate(RING, 0, os.urandom), KeyRing(RING.retired[0], RING.index, (RING.active,))):
        check_successor(RING, follows, "state/keyring")


@given(st.text(max_size=200) | st.text(max_size=100).map(lambda tail: format_keyring(RING) + tail))
def test_any_text_gives_a_ring_or_a_key_ring_error(text):
    try:
        parse_keyring(text)
    except KeyRingError:
        pass
