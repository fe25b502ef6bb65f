"""Only an orderly stop is trusted: after any other, messages are committed before their walk, and named meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.daemon.caution import CAREFUL_SECONDS, MARK, Caution, careful
from gateway.errors import OclawError
from gateway.message.envelope import uuid7

K, A, B = (uuid7(1_800_000_000.0 + number, bytes(10)) for number in range(3))


class Door:
    cautious = False


class Lanes:
    flight = None


def carefully(tmp_path: Path, door: Door | None = None, lanes: Lanes | None = None) -> Any:
    return careful(tmp_path, door or Door(), lanes or Lanes())  # type: ignore[arg-type]


def killed(tmp_path: Path, *names: tuple[int, str]) -> None:
    """Live as far as a kill: nothing is tidied up."""
    caution = Caution(tmp_path / MARK)
    for place, name in names:
        caution.put(place, name)


async def test_the_start_after_an_orderly_stop_is_not_careful(tmp_path: Path, autojump_clock: Any) -> None:
    for _ in range(2):
        door, lanes = Door(), Lanes()
        async with carefully(tmp_path, door, lanes):
            assert not door.cautious
            assert lanes.flight is None


async def test_the_start_after_a_crash_is_careful_for_a_while(tmp_path: Path, autojump_clock: Any) -> None:
    with pytest.RaisesGroup(RuntimeError):
        async with carefully(tmp_path):
            raise RuntimeError("as kill -9 would: nothing is tidied up")
    door, lanes = Door(), Lanes()
    async with carefully(tmp_path, door, lanes) as caution:
        assert door.cautious
        assert lanes.flight is caution.flight
        await trio.sleep(CAREFUL_SECONDS + 1)
        assert not door.cautious
        assert lanes.flight is None


async def test_a_pipe_in_the_place_of_the_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MARK)
    with pytest.raises(OclawError, match=f"{MARK}.*pipe"):
        async with carefully(tmp_path):
            pass


async def test_a_kill_leaves_the_name_of_whose_step_ran(tmp_path: Path) -> None:
    killed(tmp_path, (0, A), (0, ""), (1, A), (0, B), (2, B), (0, K))
    async with carefully(tmp_path) as caution:
        assert caution.blamed == {K}


async def test_a_kill_in_no_step_leaves_the_names_of_all_walks_under_way(tmp_path: Path) -> None:
    killed(tmp_path, (0, K), (0, ""), (1, K), (1, ""), (1, A), (2, B))
    async with carefully(tmp_path) as caution:
        assert caution.blamed == {A, B}


async def test_names_are_kept_until_the_next_life_walks_and_not_longer(tmp_path: Path) -> None:
    killed(tmp_path, (0, ""), (1, A), (2, B), (3, K))
    killed(tmp_path)
    killed(tmp_path, (0, B))
    async with carefully(tmp_path) as caution:
        assert caution.blamed == {B}


@pytest.mark.parametrize("counted", [False, True])
async def test_a_stop_before_the_journal_has_counted_a_crash_leaves_it_to_the_next_start(
    tmp_path: Path, counted: bool
) -> None:
    killed(tmp_path, (0, K))
    async with carefully(tmp_path) as caution:
        caution.counted = counted
    caution = Caution(tmp_path / MARK)
    assert (caution.crashed, caution.blamed) == ((False, frozenset()) if counted else (True, {K}))


async def test_a_stop_that_was_asked_for_blames_nobody_even_when_it_is_cut_short(tmp_path: Path) -> None:
    killed(tmp_path)
    caution = Caution(tmp_path / MARK)
    caution.flight.begins(A)
    caution.flight.pauses()
    caution.put(1, A)
    caution.acquit()
    caution.put(1, A)  # its walk goes on beside the drain, in which the process is killed
    assert Caution(tmp_path / MARK).blamed == frozenset()


async def test_an_error_blames_only_the_message_in_whose_step_it_was_raised(tmp_path: Path) -> None:
    killed(tmp_path)
    for name in ("", K):
        with pytest.RaisesGroup(MemoryError):
            async with carefully(tmp_path) as caution:
                caution.put(1, A)
                if name:
                    caution.flight.begins(name)
                raise MemoryError
        assert Caution(tmp_path / MARK).blamed == {name} - {""}
