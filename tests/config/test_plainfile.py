"""What an operator names is read when it ends at a plain file; a pipe, a device or a socket is refused at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gateway.config.dictionaries import load_dictionaries
from gateway.config.keyfile import read_keyring
from gateway.config.secret import SecretStore
from gateway.daemon.rulefiles import FolderLoader
from gateway.errors import KeyRingError, SettingError, UnknownDictionary
from gateway.plainfile import read_plain, read_plain_text
from rules import Unavailable

PIPE = "a pipe, not a plain file"


def test_a_link_or_a_descriptor_is_as_good_as_the_plain_file_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"\xef\xbb\xbfline\r\n")
    (tmp_path / "link").symlink_to("plain")
    with (tmp_path / "plain").open("rb") as file:
        for path in (tmp_path / "plain", tmp_path / "link", Path(f"/dev/fd/{file.fileno()}")):
            assert (read_plain(path), read_plain_text(path)) == (b"\xef\xbb\xbfline\r\n", "line\n")


def test_what_is_no_plain_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    def said(path: Path) -> str | None:
        with pytest.raises(OSError, match=r".") as told:
            read_plain(path)
        return told.value.strerror

    os.mkfifo(tmp_path / "pipe")
    ours, theirs = os.pipe()
    with socket.socket(socket.AF_UNIX) as listening, os.fdopen(ours), os.fdopen(theirs, "wb"):
        listening.bind(str(tmp_path / "socket"))
        assert (said(tmp_path / "pipe"), said(Path(f"/dev/fd/{ours}"))) == (PIPE, PIPE)
        assert (said(tmp_path / "socket"), said(Path("/dev/zero"))) == (
            "a socket, not a plain file",
            "a device, not a plain file",
        )
    assert (said(tmp_path), said(tmp_path / "gone")) == ("Is a directory", "No such file or directory")


def test_a_secret_a_key_ring_a_dictionary_and_a_list_of_words_are_not_waited_for(tmp_path: Path) -> None:
    for name in ("keyring", "own.zdict"):
        os.mkfifo(tmp_path / name, 0o600)
    with pytest.raises(SettingError, match=f"the file keyring: {PIPE}.*Put the secret"):
        SecretStore(tmp_path, {}).read("file:keyring", "channels.x.token")
    with pytest.raises(KeyRingError, match=PIPE):
        read_keyring(tmp_path / "keyring")
    with pytest.raises(UnknownDictionary, match=PIPE):
        load_dictionaries(tmp_path)
    with pytest.raises(Unavailable, match=PIPE):
        FolderLoader(tmp_path, "UTC").lines("keyring")
