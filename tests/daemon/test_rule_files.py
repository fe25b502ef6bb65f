"""A folder is read again at the price of what changed in it, and an edit is never missed for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.daemon.rulefiles import FolderLoader, RuleFiles
from rules import Unavailable

HOUR_NS = 3_600_000_000_000


def settled(path: Path, text: str, hours: int = 1) -> None:
    """Write a file whose clock stands long enough ago; what the system notes of the change itself stays."""
    path.write_text(text)
    at = path.stat().st_mtime_ns - hours * HOUR_NS
    os.utime(path, ns=(at, at))


def test_a_file_written_just_now_is_read_each_time(tmp_path: Path) -> None:
    path, files = tmp_path / "a.rules", RuleFiles()
    settled(path, "one")
    assert files.read(tmp_path, may_lack=False) == {"a.rules": b"one"}
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.read(tmp_path, may_lack=False) == {"a.rules": b"two"}


def test_a_file_that_is_as_it_was_is_not_opened_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.daemon.rulefiles.SETTLED_NS", -HOUR_NS)
    path, files = tmp_path / "a.rules", RuleFiles()
    path.write_text("one")
    first = files.read(tmp_path, may_lack=False)
    assert files.read(tmp_path, may_lack=False)["a.rules"] is first["a.rules"]
    path.write_text("other")
    (tmp_path / "b.rules").write_text("new")
    assert files.read(tmp_path, may_lack=False) == {"a.rules": b"other", "b.rules": b"new"}


def test_a_file_that_is_written_while_it_is_read_is_not_at_rest(tmp_path: Path) -> None:
    path, files = tmp_path / "a.rules", RuleFiles()
    path.write_text("half")
    files.read(tmp_path, may_lack=False)
    assert files.at_rest()
    path.write_text("half and half")
    assert not files.at_rest()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.txt", "missing.txt: No such file"),
        ("", "no name"),
        (".", "is a directory"),
        ("a\0b", "no file can be called that"),
        ("y" * 5000, "File name too long"),
        ("loop.txt", "loop"),
        ("../secret.txt", "is outside of"),
        ("/dev/zero", "is outside of"),
        ("link.txt", "is outside of"),
        ("latin.txt", "latin.txt is not UTF-8: byte 0xE9 at offset 1"),
    ],
)
def test_a_list_that_cannot_be_read_is_told_whatever_its_name_is(tmp_path: Path, name: str, why: str) -> None:
    folder = tmp_path / "rules.d"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to("../secret.txt")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "latin.txt").write_bytes(b"h\xe9")
    with pytest.raises(Unavailable, match=why):
        FolderLoader(folder, "UTC").lines(name)


def test_an_unknown_time_zone_is_told_once() -> None:
    with pytest.raises(Unavailable, match="this system has none"):
        FolderLoader(Path(), "UTC").zone("Mars/Phobos")
