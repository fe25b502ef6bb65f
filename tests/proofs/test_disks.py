"""Disks that are full, read-only, not writable for a while, or slow: refused at the door, on by itself, none lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from gateway.testing.proof import Life, open_scene
from gateway.testing.proof.life import open_life
from gateway.testing.proof.rounds import finished
from tests.proofs.talk import QUITE, accepts_more, talking, talking_to, until


def done(*command: str | Path) -> bool:
    return shutil.which(str(command[0])) is not None and not subprocess.run(command, capture_output=True).returncode


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own in memory."""
    place.mkdir()
    if not done("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place):
        pytest.skip("this user may not mount a small disk")
    try:
        yield place
    finally:
        done("umount", "-l", place)


def fill(filler: Path) -> None:
    """Take all the space there is. Unbuffered: what a buffer still held would be written at close, and fail there."""
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


class FileDisk:
    """An ext4 in a file, since tmpfs turns neither read-only nor a file immutable while it is written to."""

    def __init__(self, image: Path, place: Path) -> None:
        self._image, self.place = image, place

    def mount(self) -> bool:
        return done("mount", "-o", "loop,errors=remount-ro", self._image, self.place)

    def unmount(self) -> None:
        done("umount", self.place) or done("umount", "-l", self.place)

    def fails(self) -> None:
        """Let the kernel find it damaged, on which it turns read-only under whoever writes."""
        assert done("mount", "-o", "remount,abort", self.place)


@pytest.fixture
def disk(folder: Path) -> Iterator[FileDisk]:
    image, place = folder / "image", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    disk = FileDisk(image, place)
    if not done("mkfs.ext4", "-q", image) or not disk.mount():
        pytest.skip("this user may not mount a file as a disk")
    yield disk
    disk.unmount()


async def test_a_full_disk_refuses_at_the_door_recovers_by_itself_and_loses_nothing(folder, survived):
    with small_disk(folder / "disk", "24m") as disk:
        async with open_scene(folder) as scene:
            scene.write(state=disk / "state")
            async with open_life(scene) as life, talking(scene, life):
                await accepts_more(scene, 50)
                filler = disk / "filler"
                fill(filler)
                await until(lambda: scene.account.refused > 5)
                filler.unlink()
                await accepts_more(scene, 50)
        survived("disk full, then space again", scene.account.tally())


async def test_a_disk_that_turns_read_only_refuses_and_a_start_on_a_sound_one_loses_nothing(folder, disk, survived):
    now: list[Life] = []
    async with open_scene(folder) as scene:
        scene.write(state=disk.place / "state")
        async with talking_to(scene, lambda: now[-1].port if now else 0) as sender:
            async with open_life(scene) as life:
                now.append(life)
                await accepts_more(scene, 50)
                disk.fails()
                await until(lambda: scene.account.refused > 5)
                assert life.process.returncode is None, "it waits for the disk, and says so"
                life.process.send_signal(signal.SIGTERM)
                with trio.fail_after(QUITE):
                    await life.process.wait()
                now.clear()
            disk.unmount()
            assert disk.mount()
            async with open_life(scene) as life:
                now.append(life)
                await accepts_more(scene, 50)
                sender.stopping.set()
                await finished(scene, QUITE)
        survived("disk read-only, then a start on a sound one", scene.account.tally())


async def test_a_journal_that_may_not_be_written_for_a_while_refuses_and_recovers_by_itself(folder, disk, survived):
    async with open_scene(folder) as scene:
        scene.write(state=disk.place / "state")
        async with open_life(scene) as life, talking(scene, life):
            await accepts_more(scene, 50)
            (wal,) = disk.place.glob("state/*-wal")
            if not done("chattr", "+i", wal):
                pytest.skip("no file here can be made immutable")
            await until(lambda: scene.account.refused > 5)
            assert done("chattr", "-i", wal)
            await accepts_more(scene, 50)
        survived("journal not writable, then writable again", scene.account.tally())


async def test_a_slow_disk_makes_everything_late_and_nothing_else(folder, survived):
    async with open_scene(folder) as scene:
        scene.program = (sys.executable, "-m", "tests.proofs.misbehaving", "slow-disk", "0.5")
        async with open_life(scene) as life:
            async with talking(scene, life, rooms=40):
                await accepts_more(scene, 80)
            assert life.process.returncode is None
        survived("a disk that takes 500 ms for each commit", scene.account.tally())
