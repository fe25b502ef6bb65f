"""One life of the real daemon: started as a process, ready when it says so, ended by a kill or a signal."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from gateway.testing.proof.scene import Scene

# A start takes half a second; a machine that is short of everything may take a hundred times as long. Counted in
# looks: a machine that stands still for minutes takes one of them, and the daemon has its time when it goes on.
READY_SECONDS = 60.0
LOOK_SECONDS = 0.1


class NotReady(Exception):
    """The daemon ended, or said nothing, before it was ready; the message is the end of its log."""


class Life:
    """A running daemon. `log` holds its last lines, `port` where it listens."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.port = 0
        self.log: deque[dict[str, Any]] = deque(maxlen=2000)
        self._ready = trio.Event()

    async def kill(self) -> None:
        """SIGKILL, as the machine's end would."""
        self.process.kill()
        await self.process.wait()

    async def listen(self) -> None:
        """Read its log to the end, so that it never blocks."""
        rest = b""
        assert self.process.stderr is not None
        async with self.process.stderr as stderr:
            async for piece in stderr:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._heard(line)
        self._ready.set()

    async def ready(self) -> None:
        """Return when it serves. Raises `NotReady`."""
        for _ in range(round(READY_SECONDS / LOOK_SECONDS)):
            with trio.move_on_after(LOOK_SECONDS):
                await self._ready.wait()
                break
        if not self.port:
            ended = self.process.poll()
            how = f"not ready within {READY_SECONDS:g} s" if ended is None else f"ended with {ended}"
            raise NotReady("\n".join([f"The daemon: {how}.", *map(str, list(self.log)[-20:])]))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one notice."""
        return [line for line in self.log if line.get("event") == name]

    def _heard(self, line: bytes) -> None:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):  # what a plugin prints stands between the lines of the log
            record = {"event": "", "text": line.decode(errors="replace")}
        self.log.append(record)
        if record.get("event") == "GatewayReady":
            self.port = int(record["addresses"].rpartition(":")[2].rstrip("/"))
            self._ready.set()


@asynccontextmanager
async def open_life(
    scene: Scene, *, wait_ready: bool = True, limit: Callable[[], None] | None = None
) -> AsyncIterator[Life]:
    """Start the daemon; on leaving it is killed when it still runs. `limit` runs in the child before it starts."""
    process = await trio.lowlevel.open_process(
        scene.command(),
        env=scene.environment(),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        preexec_fn=limit,
    )
    life = Life(process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.listen)  # noqa: ASYNC113  # reads the log; nobody waits for it to begin
        try:
            if wait_ready:
                await life.ready()
            yield life
        finally:
            with trio.CancelScope(shield=True):  # a killed process ends at once
                await life.kill()
            nursery.cancel_scope.cancel()
