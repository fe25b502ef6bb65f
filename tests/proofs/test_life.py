"""One life of a daemon is read from its log, whatever else stands there."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.testing.proof import open_scene
from gateway.testing.proof.life import open_life

TALKS = """
import sys, time
for line in ("1", "null", "[" * 100_000, '{"event": "GatewayReady", "addresses": "http://127.0.0.1:7/"}'):
    print(line, file=sys.stderr, flush=True)
time.sleep(600)
"""


async def test_what_a_plugin_prints_between_the_lines_of_the_log_is_no_line_of_it(folder: Path) -> None:
    async with open_scene(folder) as scene:
        scene.program = (sys.executable, "-c", TALKS)
        async with open_life(scene) as life:
            assert life.port == 7
            assert [line["text"][:4] for line in life.events("")] == ["1", "null", "[[[["]
