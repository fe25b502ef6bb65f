"""What is sealed opens as what it was, and nothing else opens."""

from __future__ import annotations

import os
import struct
import sys
import threading
import tracemalloc
from itertools import count
from zlib import crc32

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.dictionaries import load_dictionaries
from gateway.errors import (
    Altered,
    KeyRingError,
    SealError,
    TooLarge,
    Truncated,
    UnknownDictionary,
    UnknownKey,
    UnknownSeal,
    Unsealable,
    WrongRecord,
)
from gateway.flow.story import Story, Walked
from gateway.message.dictionary import Dictionaries, Dictionary, read_dictionary
from gateway.message.envelope import Delivery, Envelope
from gateway.message.keyring import new_keyring, rotate
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.message.seal import HEADER_BYTES, TAG_BYTES, RecordKind, Sealer, kind_of
from tests.message.strategies import deliveries, envelopes, words

KEYS = new_keyring(0, os.urandom)
SEALER = Sealer(KEYS, load_dictionaries(), os.urandom)
PLAIN = Sealer(KEYS, Dictionaries(), os.urandom)
ENVELOPE = Envelope(id="e-1", message=Message(channel="web", content="héllo"), received_at=1.0, deadline=1.2)
SEALED = SEALER.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE)
STORY = Story(stages={"hooks": 0.001}, rules=("greet",), pipeline="a")
PAIR = SEALER.seal_together(
    RecordKind.WALKED,
    "e-1",
    SEALER.encode(RecordKind.ENVELOPE, "e-1", ENVELOPE),
    SEALER.encode(RecordKind.NOTE, "e-1", STORY),
)


def open_envelope(sealed: bytes, id: str = "e-1", sealer: Sealer = SEALER) -> Envelope:
    return sealer.open(RecordKind.ENVELOPE, id, sealed, Envelope)


@settings(max_examples=100)
@given(envelopes, words)
def test_any_envelope_survives_being_sealed_and_opened(envelope, id):
    assert open_envelope(SEALER.seal(RecordKind.ENVELOPE, id, envelope), id) == envelope


@settings(max_examples=50)
@given(deliveries)
def test_any_delivery_survives_with_and_without_a_dictionary(delivery):
    for sealer in (SEALER, PLAIN):
        sealed = sealer.seal(RecordKind.DELIVERY, delivery.id, delivery)
        assert SEALER.open(RecordKind.DELIVERY, delivery.id, sealed, Delivery) == delivery


@settings(max_examples=50)
@given(envelopes, words)
def test_any_envelope_survives_in_one_record_with_its_story(envelope, why):
    story = Story(why=why, stages={"end": 0.25})
    plain, told = SEALER.encode(RecordKind.ENVELOPE, "e", envelope), SEALER.encode(RecordKind.NOTE, "e", story)
    sealed = SEALER.seal_together(RecordKind.WALKED, "e", plain, told)
    assert SEALER.open(RecordKind.WALKED, "e", sealed, Walked) == Walked(envelope, story)


@pytest.mark.parametrize("receipt", [Delivered("42"), Deferred("busy", 3.0), Bounced("gone", True), Unknown("cut")])
def test_a_receipt_survives_as_a_note(receipt):
    sealed = SEALER.seal(RecordKind.NOTE, "d", receipt)
    assert SEALER.open(RecordKind.NOTE, "d", sealed, Receipt) == receipt


@given(st.binary(max_size=2000), st.sampled_from(RecordKind))
def test_bytes_of_every_kind_survive(plain, kind):
    assert SEALER.open_bytes(kind, "x", SEALER.seal_bytes(kind, "x", plain)) == plain


@pytest.mark.parametrize("place", range(len(PAIR)))
def test_a_flipped_byte_is_refused_wherever_it_stands(place):
    for sealed in (SEALED, PAIR):
        for change in (0x01, 0x80, 0xFF) if place < len(sealed) else ():
            flipped = bytearray(sealed)
            flipped[place] ^= change
            with pytest.raises(SealError):
                open_envelope(bytes(flipped))
            with pytest.raises(SealError):
                SEALER.open(RecordKind.WALKED, "e-1", bytes(flipped), Walked)


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_record_cut_short_is_told_as_truncated(length):
    with pytest.raises(Truncated):
        open_envelope(SEALED[:length])


def test_bytes_after_the_end_are_refused():
    with pytest.raises(Altered, match="too many"):
        open_envelope(SEALED + b"\0")


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: SEALED[:HEADER_BYTES] + tail))
def test_arbitrary_bytes_raise_nothing_but_a_seal_error(foreign):
    with pytest.raises(SealError):
        open_envelope(foreign)


def test_a_flip_behind_the_header_is_told_as_altered():
    with pytest.raises(Altered):
        open_envelope(SEALED[:-1] + bytes((SEALED[-1] ^ 1,)))


def test_a_record_does_not_open_in_the_place_of_another():
    with pytest.raises(WrongRecord):
        open_envelope(SEALED, "e-2")
    with pytest.raises(WrongRecord):
        SEALER.open(RecordKind.DELIVERY, "e-1", SEALED, Envelope)


def test_a_pair_opens_as_a_pair_of_its_message_alone():
    assert kind_of(PAIR) == RecordKind.WALKED
    for kind, id, shape in (
        (RecordKind.WALKED, "e-2", Walked),
        (RecordKind.ENVELOPE, "e-1", Envelope),
        (RecordKind.NOTE, "e-1", Story),
    ):
        with pytest.raises(WrongRecord):
            SEALER.open(kind, id, PAIR, shape)
    with pytest.raises(WrongRecord):
        SEALER.open(RecordKind.WALKED, "e-1", SEALED, Walked)
    relabelled = PAIR[:4] + bytes((RecordKind.ENVELOPE,)) + PAIR[5:]
    with pytest.raises(Altered):
        open_envelope(relabelled)


def test_a_record_does_not_open_in_the_place_of_another_with_the_same_check():
    check = crc32(b"e-1") & 0xFFFF
    same_check = next(id for id in map(str, count()) if crc32(id.encode()) & 0xFFFF == check)
    with pytest.raises(Altered):
        open_envelope(SEALED, same_check)


def test_a_record_of_the_right_name_that_holds_another_type_is_told():
    sealed = SEALER.seal(RecordKind.ENVELOPE, "e-1", {"id": 7})
    with pytest.raises(WrongRecord, match="holds no Envelope"):
        open_envelope(sealed)


def test_a_retired_key_still_opens_and_the_new_one_seals():
    rotated = Sealer(rotate(KEYS, 1, os.urandom), load_dictionaries(), os.urandom)
    assert open_envelope(SEALED, sealer=rotated) == ENVELOPE
    with pytest.raises(UnknownKey, match="not in the key ring"):
        open_envelope(rotated.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE))


def test_another_key_under_the_same_id_is_told_as_altered():
    imposter = msgspec.structs.replace(KEYS.active, secret=os.urandom(32))
    stranger = Sealer(msgspec.structs.replace(KEYS, active=imposter), load_dictionaries(), os.urandom)
    with pytest.raises(Altered, match="key"):
        open_envelope(SEALED, sealer=stranger)


@pytest.mark.parametrize(("place", "value"), [(0, 0x7B), (2, 2), (2, 0), (3, 0x80), (3, 0x03)])
def test_a_foreign_beginning_a_later_version_and_unknown_flags_are_told(place, value):
    changed = bytearray(SEALED)
    changed[place] = value
    with pytest.raises(UnknownSeal):
        open_envelope(bytes(changed))


def test_a_record_whose_dictionary_is_missing_is_told():
    foreign = Dictionary(77_777, _train(77_777))
    sealed = Sealer(KEYS, Dictionaries(foreign), os.urandom).seal(RecordKind.ENVELOPE, "e-1", ENVELOPE)
    with pytest.raises(UnknownDictionary, match="77777"):
        open_envelope(sealed)
    assert open_envelope(sealed, sealer=Sealer(KEYS, Dictionaries(None, (foreign,)), os.urandom)) == ENVELOPE


def test_what_is_no_dictionary_is_refused_as_one():
    for content in (b"", b"\x37\xa4\x30\xec\0\0\0\0rest", b"something else altogether"):
        with pytest.raises(UnknownDictionary):
            read_dictionary(content)
    assert read_dictionary(_train(99_999)).id == 99_999


def test_a_bomb_is_refused_before_anything_is_allocated_for_it():
    sealed = _seal_frame(zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024)))
    assert len(sealed) < 10_000
    tracemalloc.start()
    with pytest.raises(TooLarge, match="67108864"):
        open_envelope(sealed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_a_frame_that_hides_its_size_or_lies_about_it_is_refused():
    with pytest.raises(TooLarge):
        open_envelope(_seal_frame(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))))
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(range(200)) * 400))
    (size,) = struct.unpack_from("<I", frame, 5)
    assert size == 80_000
    struct.pack_into("<I", frame, 5, 100)
    with pytest.raises(Altered, match="frame is broken"):
        open_envelope(_seal_frame(bytes(frame)))


def test_too_large_a_value_is_refused_when_it_is_sealed_and_a_file_is_not():
    small = Sealer(KEYS, Dictionaries(), os.urandom, max_bytes=1000)
    with pytest.raises(TooLarge):
        small.seal(RecordKind.ENVELOPE, "e-1", {"content": "x" * 1000})
    with pytest.raises(TooLarge):
        small.encode(RecordKind.ENVELOPE, "e-1", {"content": "x" * 1000})
    with pytest.raises(TooLarge):
        small.seal_together(RecordKind.WALKED, "e-1", bytes(500), bytes(500))
    assert small.open_bytes(RecordKind.MEDIA, "m", small.seal_bytes(RecordKind.MEDIA, "m", bytes(5000))) == bytes(5000)


@pytest.mark.parametrize("value", [2**64, "\ud800", object(), {"deep": [lambda: 0]}])
def test_a_value_that_has_no_form_is_refused_by_name(value):
    message = Message(channel="web", metadata={"value": value})
    with pytest.raises(Unsealable, match="envelope e-9"):
        SEALER.seal(RecordKind.ENVELOPE, "e-9", message)


def test_the_same_value_is_never_sealed_to_the_same_bytes():
    assert SEALER.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE) != SEALED


def test_the_header_stands_as_the_readme_draws_it():
    magic, version, flags, kind, _, key, dictionary, length = struct.unpack_from(">2sBBBHIII", SEALED)
    assert (magic, version, flags, kind) == (b"\xc1\x0c", 1, 1, 1)
    assert (key, length) == (KEYS.active.id, len(SEALED) - HEADER_BYTES)
    active = load_dictionaries().active
    assert dictionary == (active.id if active else 0)
    assert TAG_BYTES < length < len(msgspec.msgpack.encode(ENVELOPE)) + 40


def test_a_digest_depends_on_purpose_parts_their_borders_and_the_index_key_alone():
    digest = SEALER.digest("lane", "web", "c", "")
    assert len(digest) == 16
    assert digest == Sealer(rotate(KEYS, 2, os.urandom), Dictionaries(), os.urandom).digest("lane", "web", "c", "")
    others = {
        SEALER.digest("sender", "web", "c", ""),
        SEALER.digest("lane", "webc", "", ""),
        SEALER.digest("lane", "web", "c"),
        Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom).digest("lane", "web", "c", ""),
    }
    assert len(others | {digest}) == 5
    with pytest.raises(Unsealable):
        SEALER.digest("lane", "\ud800")


def _seal_frame(frame: bytes) -> bytes:
    """Seal a zstd frame of our making as if the gateway had compressed it."""
    forger = Sealer(KEYS, Dictionaries(), os.urandom)
    forger._compress = lambda _: frame  # type: ignore[method-assign]
    return forger.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE)


def _train(number: int) -> bytes:
    samples = [msgspec.msgpack.encode({"content": f"message {n} of many", "n": n}) for n in range(2000)]
    return zstandard.train_dictionary(1024, samples, dict_id=number).as_bytes()


def test_what_is_told_about_a_message_is_sealed_whatever_its_words():
    note = Story(why="a\ud800b", tags=("\udcff", "é"), stages={"\ud83d\ude00": 1.0})
    opened = SEALER.open(RecordKind.NOTE, "e-1", SEALER.seal(RecordKind.NOTE, "e-1", note), Story)
    assert opened == Story(why="a\ufffdb", tags=("\ufffd", "é"), stages={"\U0001f600": 1.0})


def test_a_record_whose_text_is_not_utf_8_is_no_record_of_its_kind():
    plain = msgspec.msgpack.encode(ENVELOPE).replace("é".encode(), b"\xff\xff")
    with pytest.raises(WrongRecord):
        open_envelope(SEALER.seal_bytes(RecordKind.ENVELOPE, "e-1", plain))


def test_a_renewed_sealer_seals_with_the_fresh_key_and_opens_what_the_old_one_sealed():
    sealer, fresh = Sealer(KEYS, load_dictionaries(), os.urandom), rotate(KEYS, 1, os.urandom)
    digest = sealer.digest("lane", "web")
    sealer.renew(fresh)
    sealed = sealer.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE)
    assert open_envelope(SEALED, sealer=sealer) == open_envelope(sealed, sealer=sealer) == ENVELOPE
    assert sealer.digest("lane", "web") == digest
    with pytest.raises(UnknownKey, match=f"{fresh.active.id:08x}"):
        open_envelope(sealed)


def test_a_ring_that_does_not_follow_leaves_a_sealer_as_it_was():
    ring = rotate(KEYS, 1, os.urandom)
    sealer = Sealer(ring, load_dictionaries(), os.urandom)
    for wrong in (KEYS, new_keyring(0, os.urandom)):
        with pytest.raises(KeyRingError):
            sealer.renew(wrong)
    sealed = sealer.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE)
    assert open_envelope(sealed, sealer=Sealer(ring, load_dictionaries(), os.urandom)) == ENVELOPE


def test_a_record_that_another_thread_seals_during_a_renewal_opens():
    ring = KEYS
    sealer, over, made = Sealer(ring, load_dictionaries(), os.urandom), threading.Event(), []

    def seal() -> None:
        while not over.is_set():
            made.append(sealer.seal(RecordKind.ENVELOPE, "e-1", ENVELOPE))

    before, thread = sys.getswitchinterval(), threading.Thread(target=seal)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        for at in range(100):
            ring = rotate(ring, at, os.urandom)
            sealer.renew(ring)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
    assert all(open_envelope(sealed, sealer=sealer) == ENVELOPE for sealed in made)
