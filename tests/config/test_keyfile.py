"""The key ring's file: mode 0600 from its first byte, replaced whole, refused when others can read it."""

from __future__ import annotations

import os
import stat

import pytest

from gateway.config.dictionaries import load_dictionaries
from gateway.config.keyfile import create_keyring, read_keyring, write_keyring
from gateway.errors import KeyRingError, UnknownDictionary
from gateway.message.keyring import new_keyring, rotate

RING = new_keyring(0, os.urandom)


def test_a_ring_is_made_once_and_found_again(tmp_path):
    path = tmp_path / "state" / "keyring"
    assert read_keyring(path) is None
    assert create_keyring(path, RING) == RING
    assert create_keyring(path, new_keyring(1, os.urandom)) == RING
    assert read_keyring(path) == RING
    assert os.listdir(path.parent) == ["keyring"]


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        create_keyring(tmp_path / "keyring", RING)
        write_keyring(tmp_path / "keyring", rotate(RING, 1, os.urandom))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keyring").stat().st_mode) == 0o600


def test_writing_replaces_the_ring_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "keyring"
    create_keyring(path, RING)
    rotated = rotate(RING, 1, os.urandom)
    write_keyring(path, rotated)
    assert read_keyring(path) == rotated
    assert os.listdir(tmp_path) == ["keyring"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_ring_that_root_replaces_stays_the_services(tmp_path):
    path = tmp_path / "keyring"
    create_keyring(path, RING)
    os.chown(path, 65_000, 65_001)
    write_keyring(path, rotate(RING, 1, os.urandom))
    assert (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (65_000, 65_001, 0o600)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660])
def test_a_file_that_others_can_read_is_refused_with_the_way_out(tmp_path, mode):
    path = tmp_path / "keyring"
    create_keyring(path, RING)
    path.chmod(mode)
    with pytest.raises(KeyRingError, match=f"chmod 600 {path}"):
        read_keyring(path)


def test_what_cannot_be_read_or_written_is_told(tmp_path):
    with pytest.raises(KeyRingError, match="cannot be read"):
        read_keyring(tmp_path)
    with pytest.raises(KeyRingError, match="cannot be written"):
        write_keyring(tmp_path / "missing" / "keyring", RING)
    (tmp_path / "file").touch()
    with pytest.raises(KeyRingError, match="cannot be written"):
        create_keyring(tmp_path / "file" / "keyring", RING)


def test_a_damaged_dictionary_is_told_by_its_path(tmp_path):
    (tmp_path / "2026.zdict").write_bytes(b"not one")
    with pytest.raises(UnknownDictionary, match=r"2026\.zdict"):
        load_dictionaries(tmp_path)
