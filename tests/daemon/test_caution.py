"""Only an orderly stop is trusted: after any other, messages are committed before they are walked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.daemon.caution import CAREFUL_SECONDS, careful


class Door:
    cautious = False


async def test_the_start_after_an_orderly_stop_is_not_careful(tmp_path: Path, autojump_clock: Any) -> None:
    for _ in range(2):
        door = Door()
        async with careful(tmp_path, door):  # type: ignore[arg-type]
            assert not door.cautious


async def test_the_start_after_a_crash_is_careful_for_a_while(tmp_path: Path, autojump_clock: Any) -> None:
    with pytest.RaisesGroup(RuntimeError):
        async with careful(tmp_path, Door()):  # type: ignore[arg-type]
            raise RuntimeError("as kill -9 would: nothing is tidied up")
    door = Door()
    async with careful(tmp_path, door):  # type: ignore[arg-type]
        assert door.cautious
        await trio.sleep(CAREFUL_SECONDS + 1)
        assert not door.cautious
