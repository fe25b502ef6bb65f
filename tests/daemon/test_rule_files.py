"""A folder is read again at the price of what changed in it, and an edit is never missed for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.daemon.rulefiles import REST_SECONDS, FolderLoader, RuleFiles
from rules import Unavailable

REST_NS = int(REST_SECONDS * 1e9)
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


def test_a_file_is_read_when_whoever_writes_it_is_through(tmp_path: Path) -> None:
    path, pieces, slept = tmp_path / "a.rules", [" and half", ", whole"], list[float]()
    path.write_text("half")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if pieces:
            path.write_text(path.read_text() + pieces.pop(0))
        else:
            rested.append(10 * REST_NS)

    rested = [0]
    files = RuleFiles(lambda: path.stat().st_ctime_ns + rested[-1], sleep)
    assert files.read_rested(tmp_path, may_lack=False) == {"a.rules": b"half and half, whole"}
    assert slept == [REST_SECONDS] * 3


def test_an_empty_file_is_believed_when_it_is_seen_twice_whatever_its_times_say(tmp_path: Path) -> None:
    path, texts, slept = tmp_path / "a.rules", ["whole"], list[float]()
    path.write_text("")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if texts:
            path.write_text(texts.pop())

    files = RuleFiles(lambda: path.stat().st_ctime_ns + 10 * REST_NS, sleep)
    assert files.read_rested(tmp_path, may_lack=False) == {"a.rules": b"whole"}
    path.write_text("")
    assert files.read_rested(tmp_path, may_lack=False) == {"a.rules": b""}
    assert slept == [REST_SECONDS] * 2


def test_a_file_that_is_written_to_without_end_is_read_at_last(tmp_path: Path) -> None:
    path = tmp_path / "a.rules"
    path.write_text("x")
    files = RuleFiles(lambda: path.stat().st_ctime_ns, lambda _: None)
    assert files.read_rested(tmp_path, may_lack=False) == {"a.rules": b"x"}


def test_a_file_that_an_editor_is_about_to_write_anew_is_waited_for(tmp_path: Path) -> None:
    settled(tmp_path / "b.rules", "other")
    slept = list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        (tmp_path / "a.rules").write_text("new")

    files = RuleFiles(lambda: (tmp_path / "b.rules").stat().st_ctime_ns + HOUR_NS, sleep)
    found = files.read_rested(tmp_path, may_lack=False, served={"a.rules": b"old", "b.rules": b"other"})
    assert found == {"a.rules": b"new", "b.rules": b"other"}
    assert slept == [REST_SECONDS]


def test_a_file_that_is_gone_is_believed_when_it_was_missed_twice(tmp_path: Path) -> None:
    slept = list[float]()
    assert RuleFiles(sleep=slept.append).read_rested(tmp_path, may_lack=False, served=["a.rules"]) == {}
    assert slept == [REST_SECONDS]


def test_a_link_that_leads_nowhere_is_told_and_is_no_file_without_rules(tmp_path: Path) -> None:
    (tmp_path / "a.rules").symlink_to("gone/a.rules")
    (tmp_path / ".#b.rules").symlink_to("an.editor@its.lock")
    with pytest.raises(FileNotFoundError, match=r"a\.rules"):
        RuleFiles().read(tmp_path, may_lack=True)


def test_a_list_that_is_a_folder_leaves_no_descriptor_open(tmp_path: Path) -> None:
    loader, before = FolderLoader(tmp_path, "UTC"), len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(Unavailable):
            loader.lines(".")
    assert len(os.listdir("/proc/self/fd")) == before


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
