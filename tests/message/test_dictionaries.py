"""The shipped dictionary is what the command makes, and it earns its place."""

from __future__ import annotations

import os
import resource

import msgspec
import pytest
import zstandard

from gateway.config.dictionaries import SHIPPED, load_dictionaries
from gateway.errors import UnknownDictionary
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.message import Message
from gateway.message.seal import RecordKind, Sealer
from gateway.message.train import main, own_records, shipped_records, train

# Another zstd may train another dictionary from the same samples; this one made the shipped file.
TRAINED_WITH = (1, 5, 7)


@pytest.mark.skipif(zstandard.ZSTD_VERSION != TRAINED_WITH, reason="trained with another release of zstd")
def test_the_shipped_dictionary_is_what_the_command_makes(tmp_path, capsys):
    assert main([str(tmp_path / "again.zdict")]) == 0
    shipped = load_dictionaries().active
    assert shipped is not None
    assert (tmp_path / "again.zdict").read_bytes() == shipped.content
    assert str(shipped.id) in capsys.readouterr().out


def test_the_samples_are_the_same_for_the_same_seed_and_others_for_another():
    first = shipped_records(5)
    assert first == shipped_records(5)
    assert first != shipped_records(6)


def test_records_that_were_not_trained_on_shrink_to_about_half_of_what_zstd_alone_makes():
    ring, active = new_keyring(0, os.urandom), load_dictionaries()
    with_one, without = Sealer(ring, active, os.urandom), Sealer(ring, Dictionaries(), os.urandom)
    records = shipped_records(2)[:500]
    sizes = [
        sum(len(sealer.seal_bytes(RecordKind.NOTE, "x", each)) for each in records) for sealer in (with_one, without)
    ]
    assert sizes[0] < 0.55 * sizes[1]


def test_an_operator_trains_an_own_one_and_old_records_still_open(tmp_path, capsys):
    messages = tmp_path / "messages.jsonl"
    lines = [msgspec.json.encode(Message(channel="zoo", content=f"The giraffe {n} is hungry")) for n in range(300)]
    messages.write_bytes(b"\n".join(lines))
    assert main([str(tmp_path / "0001.zdict"), "--from", str(messages)]) == 0
    shipped, own = load_dictionaries(), load_dictionaries(tmp_path)
    assert own.active is not None
    assert own.older == shipped.all()
    assert f"dictionary {own.active.id}" in capsys.readouterr().out
    ring = new_keyring(0, os.urandom)
    before, after = Sealer(ring, shipped, os.urandom), Sealer(ring, own, os.urandom)
    message = Message(channel="zoo", content="The giraffe 1000 is hungry")
    old, new = (sealer.seal(RecordKind.HOP, "m", message) for sealer in (before, after))
    assert after.open(RecordKind.HOP, "m", old, Message) == after.open(RecordKind.HOP, "m", new, Message) == message
    assert len(new) < len(old)


def test_a_dictionary_is_never_written_over_another(capsys):
    (shipped,) = SHIPPED.glob("*.zdict")
    assert main([str(shipped)]) == 1
    assert "exists" in capsys.readouterr().err


def test_a_line_that_is_no_message_is_named():
    with pytest.raises(ValueError, match="line 2 is no message"):
        own_records(['{"channel": "web"}', '{"content": "no channel"}'])


def test_the_id_of_a_dictionary_follows_from_its_samples():
    records = shipped_records()[:2000]
    assert train(records).id != train(records[1:]).id


def test_half_a_dictionary_is_refused_and_never_written(tmp_path, capsys):
    (shipped,) = SHIPPED.glob("*.zdict")
    half = tmp_path / "0002.zdict"
    half.write_bytes(shipped.read_bytes()[:1000])
    with pytest.raises(UnknownDictionary, match="one of them is damaged"):
        load_dictionaries(tmp_path)
    half.write_bytes(b"\x37\xa4\x30\xec\x01\x80\x00\x00cut off")
    with pytest.raises(UnknownDictionary, match="zstd dictionary 32769 is damaged"):
        Sealer(new_keyring(0, os.urandom), load_dictionaries(tmp_path), os.urandom)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert main([str(tmp_path / "0003.zdict")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in capsys.readouterr().err
    assert not (tmp_path / "0003.zdict").exists()
