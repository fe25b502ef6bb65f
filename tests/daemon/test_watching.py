"""What is looked at, and when the reload hears of it: real folders, the system's own watching."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec import structs

from gateway.daemon.contents import Contents
from gateway.daemon.watching import Places, Watch, other_files, rules_sight

LEAVINGS = ("main.rules~", ".#main.rules", "#main.rules#", "4913", ".main.rules.swp", "main.rules.bak", ".x.rules")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("rules.d", "pipelines.d", "hooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "oclaw.toml").write_text("")
    (tmp_path / "rules.d" / "main.rules").write_text("# none yet\n")
    return Places(tmp_path, tmp_path / "rules.d", tmp_path / "pipelines.d", frozenset({"lists/words.txt"}))


class Heard:
    """Counts what the watch tells."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def changed(self) -> None:
        self._event.set()

    async def once(self) -> None:
        with trio.fail_after(60):
            await self._event.wait()
        self._event = trio.Event()


@asynccontextmanager
async def watching(places: Places) -> AsyncIterator[tuple[Watch, Heard]]:
    heard = Heard()
    watch = Watch(lambda: places, heard.changed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await heard.once()  # the first look tells of what is there
        yield watch, heard
        nursery.cancel_scope.cancel()


def test_what_editors_leave_behind_is_not_looked_at(places: Places) -> None:
    before = rules_sight(places), other_files(places)
    for folder in (places.rules, places.pipelines):
        for name in LEAVINGS:
            (folder / name).write_text("x")
    assert (rules_sight(places), other_files(places)) == before


def test_a_list_that_rules_ask_for_is_looked_at_wherever_it_stands_and_whether_it_is_there(places: Places) -> None:
    before = rules_sight(places)
    (places.rules / "lists").mkdir()
    (places.rules / "lists" / "words.txt").write_text("one\n")
    assert rules_sight(places) != before


def test_a_file_put_in_the_place_of_another_is_another_even_with_its_time_and_size(places: Places) -> None:
    path = places.rules / "main.rules"
    before, stat = rules_sight(places), path.stat()
    fresh = places.rules / ".fresh"
    fresh.write_text("# none YET\n")
    os.utime(fresh, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fresh.rename(path)
    assert rules_sight(places) != before


async def test_an_edit_a_new_file_and_a_replaced_folder_are_heard_of(places: Places) -> None:
    async with watching(places) as (_, heard):
        (places.rules / "main.rules").write_text("# one\n")
        await heard.once()
        (places.rules / "more.rules").write_text("# two\n")
        await heard.once()
        places.rules.rename(places.directory / "aside")
        await heard.once()
        places.rules.mkdir()
        (places.rules / "main.rules").write_text("# three\n")
        await heard.once()
        (places.rules / "main.rules").write_text("# four, in the new folder\n")
        await heard.once()


async def test_what_was_away_for_a_moment_is_heard_of_though_it_is_as_it_was(places: Places) -> None:
    async with watching(places) as (_, heard):
        (places.rules / "main.rules").rename(places.rules / "aside")
        (places.rules / "aside").rename(places.rules / "main.rules")
        await heard.once()
        places.rules.rename(places.directory / "aside")
        (places.directory / "aside").rename(places.rules)
        await heard.once()


async def test_a_folder_that_comes_back_while_the_watch_on_it_is_made_anew_is_heard_of(places: Places) -> None:
    looks = iter(range(3))

    class Restless(Places, frozen=True):
        """Its rules are away at the one moment at which the folders are compared."""

        def folders(self) -> list[Path]:
            if next(looks, 0) != 1:
                return super().folders()
            self.rules.rename(self.directory / "aside")
            without = super().folders()
            (self.directory / "aside").rename(self.rules)
            return without

    async with watching(Restless(places.directory, places.rules, places.pipelines)) as (_, heard):
        await heard.once()


async def test_other_files_wait_until_they_are_loaded(places: Places) -> None:
    async with watching(places) as (watch, heard):
        (places.pipelines / "chat.yaml").write_text("pipeline: []\n")
        (places.directory / "oclaw.toml").write_text("[gateway]\n")
        (places.rules / "main.rules").write_text("# one\n")
        await heard.once()
        assert watch.waiting() == ("oclaw.toml", "pipelines.d/chat.yaml")
        sight = watch.sight()
        (places.pipelines / "late.yaml").write_text("pipeline: []\n")
        watch.loaded(sight)
        assert watch.waiting() == ("pipelines.d/late.yaml",)


async def test_files_that_are_named_wherever_they_are_wait_too_and_their_edits_are_told(tmp_path: Path) -> None:
    folder, faq, words = tmp_path / "conf", tmp_path / "conf" / "faq.md", tmp_path / "words.txt"
    folder.mkdir()
    faq.write_text("# Hello?\n")
    watch = Watch(lambda: Places(folder, folder / "r", folder / "p", named=(faq, words)), lambda: None)
    faq.write_text("# Goodbye?\n")
    words.write_text("darn\n")
    sight = watch.sight()
    assert watch.edited((words, faq, folder / "new.md"), sight) == (str(words), "faq.md")
    watch.loaded(sight)
    words.unlink()
    assert watch.edited((faq, words), watch.sight()) == (str(words),)


async def test_a_file_that_was_touched_or_put_back_waits_for_nothing(places: Places) -> None:
    settings, hook = places.directory / "oclaw.toml", places.directory / "hooks" / "own.py"
    settings.write_text("[gateway]\n")
    hook.write_text("one = 1\n")
    watch = Watch(lambda: places, lambda: None)
    hook.touch()
    settings.write_text("[listen]\n")
    settings.write_text("[gateway]\n")
    seen = watch.sight()
    assert watch.differing("", seen) == ()
    hook.write_text("one = 2\n")
    assert watch.differing("", watch.sight()) == ("hooks/own.py",)
    hook.unlink()
    assert watch.differing("hooks/", watch.sight()) == ("hooks/own.py",)


def test_a_file_that_rests_is_not_read_again(tmp_path: Path) -> None:
    file, later = tmp_path / "oclaw.toml", time.time_ns() + 60 * 10**9
    file.write_text("one")
    contents = Contents(lambda: later)
    first = contents.look([file], tmp_path)
    stood = file.stat()
    os.mkfifo(tmp_path / "fifo.py")
    read: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read.append(path) or b"")
        assert contents.look([file, tmp_path / "fifo.py"], tmp_path)["oclaw.toml"] == first["oclaw.toml"]
        assert read == [], "neither what rests nor a pipe, which would wait"
        os.utime(file, ns=(stood.st_atime_ns, stood.st_mtime_ns + 1))
        contents.look([file], tmp_path)
        assert read == [file]


async def test_folders_that_the_system_refuses_to_look_at_do_not_end_the_watch(places: Places) -> None:
    refused = structs.replace(
        places, pipelines=places.directory / ("x" * 5000)
    )  # as one without permission, for root too
    assert places.rules in refused.folders()
    async with watching(refused) as (_, heard):
        (places.rules / "main.rules").write_text("# one\n")
        await heard.once()


async def test_a_watch_that_the_system_refuses_goes_on_looking(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_folders: list[Path], _stop: threading.Event) -> list[set[str]]:
        raise PermissionError("no")

    monkeypatch.setattr("gateway.daemon.watching._happenings", refused)
    monkeypatch.setattr("gateway.daemon.watching.EVERY_SECONDS", 0.01)
    async with watching(places) as (_, heard):
        (places.rules / "main.rules").write_text("# one\n")
        await heard.once()
