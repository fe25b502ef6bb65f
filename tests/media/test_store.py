"""Files at rest: whole, sealed, bounded."""

from __future__ import annotations

import os
import random
import resource
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import SealError, TooLarge
from gateway.media.store import CHUNK_BYTES, SealedFiles
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.seal import Sealer

RING = new_keyring(0.0, random.Random(1).randbytes)


@pytest.fixture
def store(tmp_path):
    files = SealedFiles(tmp_path)
    files.unlock(Sealer(RING, Dictionaries(), os.urandom))
    return files


async def pieces(content, size=70_000):
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def read(store, ref):
    return b"".join([piece async for piece in store.open(ref)])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1_000_000])
async def test_a_file_comes_back_as_it_was(store, size):
    content = random.Random(size).randbytes(size)
    stored = await store.save(pieces(content), max_bytes=size)
    assert stored.size == size == await store.size(stored.ref)
    assert await read(store, stored.ref) == content


async def test_nothing_can_be_read_on_the_disk_and_nobody_else_may_try(store, tmp_path):
    stored = await store.save(pieces(b"a secret picture" * 100), max_bytes=10_000)
    (path,) = tmp_path.glob("*/*")
    assert b"secret" not in path.read_bytes() and path.name == stored.ref
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_kept_file_and_the_folders_it_lies_in_survive_a_power_cut(tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))
    store = SealedFiles(tmp_path / "media")
    store.unlock(Sealer(RING, Dictionaries(), os.urandom))
    ref = (await store.save(pieces(b"x"), max_bytes=1)).ref
    folder = tmp_path / "media" / ref[:2]
    assert synced == [str(each) for each in (tmp_path, tmp_path / "media", folder / f"{ref}.part", folder)]
    assert {each.stat().st_mode & 0o777 for each in (folder, folder.parent)} == {0o700}


async def test_a_file_beyond_the_limit_leaves_nothing_behind(store, tmp_path):
    with pytest.raises(TooLarge, match="more than 999 bytes"):
        await store.save(pieces(bytes(1000)), max_bytes=999)
    assert list(tmp_path.glob("*/*")) == []


async def test_what_ended_a_file_is_told_whatever_became_of_its_folder(store, tmp_path):
    async def pieces_and_a_break():
        yield b"x"
        (folder,) = tmp_path.iterdir()
        folder.rename(tmp_path / "away")
        folder.write_text("in the place of the folder")
        raise ConnectionError("the sender went away")

    with pytest.raises(ConnectionError, match="the sender went away"):
        await store.save(pieces_and_a_break(), max_bytes=10)


async def test_a_file_for_which_the_disk_has_no_room_gives_back_what_it_took(store, tmp_path):
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES + 2_000, most))  # beyond it the kernel refuses to write
    try:
        with pytest.raises(OSError, match="too large"):
            await store.save(pieces(bytes(CHUNK_BYTES + 5_000)), max_bytes=10 * CHUNK_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))
    assert list(tmp_path.glob("*/*")) == []


@pytest.mark.parametrize("harm", ["cut", "flip", "last chunk gone", "chunks swapped"])
async def test_whatever_happens_to_a_file_is_noticed(store, tmp_path, harm):
    stored = await store.save(pieces(random.Random(1).randbytes(3 * CHUNK_BYTES)), max_bytes=10**7)
    (path,) = tmp_path.glob("*/*")
    content, third = path.read_bytes(), path.stat().st_size // 3
    path.write_bytes(
        {
            "cut": content[:-5],
            "flip": content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
            "last chunk gone": content[: 2 * third],
            "chunks swapped": content[third : 2 * third] + content[:third] + content[2 * third :],
        }[harm]
    )
    with pytest.raises(SealError):
        await read(store, stored.ref)


@pytest.mark.parametrize("ref", ["", "../../etc/passwd", "0" * 32, "a/b"])
async def test_a_reference_that_is_none_is_a_key_error(store, ref):
    with pytest.raises(KeyError):
        await read(store, ref)
    with pytest.raises(KeyError):
        await store.size(ref)


async def test_old_files_are_swept(store, tmp_path):
    old, new = [await store.save(pieces(b"x"), max_bytes=9) for _ in range(2)]
    os.utime(tmp_path / old.ref[:2] / old.ref, (0, 0))
    assert await store.sweep(time.time() - 3600) == 1
    assert await read(store, new.ref) == b"x"


async def test_what_cannot_be_removed_keeps_nothing_else_from_being_swept(store, tmp_path):
    old = await store.save(pieces(b"x"), max_bytes=9)
    strange = tmp_path / old.ref[:2] / "0 a folder of somebody's"
    strange.mkdir()
    for path in (strange, tmp_path / old.ref[:2] / old.ref):
        os.utime(path, (0, 0))
    assert await store.sweep(time.time()) == 1
    assert strange.exists() and await store.sweep(time.time()) == 0


async def test_an_old_file_that_is_named_is_not_swept(store, tmp_path):
    named = await store.save(pieces(b"x"), max_bytes=9)
    os.utime(tmp_path / named.ref[:2] / named.ref, (0, 0))
    assert await store.sweep(time.time(), {named.ref}) == 0
    assert await read(store, named.ref) == b"x"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(0, 300_000), max_size=6))
async def test_how_the_pieces_come_makes_no_difference(store, parts):
    async def come():
        for size in parts:
            yield b"\x07" * size

    stored = await store.save(come(), max_bytes=sum(parts))
    assert await read(store, stored.ref) == b"\x07" * sum(parts)
