"""Run one of the operator's hooks in a process of its own, which is killed when it does not answer.

The process is started when the hook is built and serves one message after the other. At the
caller's deadline, or when it breaks the protocol, it is killed and the next one started; until that one is
ready (some 0.2 s) messages wait for it as long as their own deadlines allow.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import assert_never

import trio
from msgspec import Struct

from gateway.errors import Hold, HookCrashed, Reject, SealError, SettingError
from gateway.hooks.isolated_hop import (
    FOR_THE_DAEMON,
    LENGTH,
    MAX_FRAME_BYTES,
    Answer,
    Ask,
    Held,
    Passed,
    Raised,
    Ready,
    Rejected,
    framed,
)
from gateway.message.dictionary import Dictionaries
from gateway.message.draft import Draft
from gateway.message.keyring import format_keyring, new_keyring
from gateway.message.message import Message
from gateway.message.seal import RecordKind, Sealer
from gateway.ports import HookContext, Kit

# Loading takes 0.2 s; a module that loads a model may take long, but not for ever.
LOADING_SECONDS = 30.0
HOOKS_FOLDER = "hooks"


def isolated(reference: str, kit: Kit) -> Isolated:
    """Start the hook's process and wait until it has loaded the hook: call it where blocking is allowed.

    Raises `SettingError` when the hook does not load, and for a built-in one, which needs no process.
    """
    if ":" not in reference:
        raise SettingError("mode", found='"isolated"', wanted='"loop" or "slow" for a hook that is not your own')
    hook = Isolated(reference, str(Path(kit.config_dir) / HOOKS_FOLDER))
    hook.wait_until_loaded()
    return hook


class Isolated:
    """`await hook(draft, context)`: an async hook whose work is done elsewhere, one message at a time."""

    def __init__(self, reference: str, hooks_dir: str) -> None:
        self._reference, self._hooks_dir = reference, hooks_dir
        # The queue for the one process; whoever waits in it does so under the deadline of the message's own hook.
        self._turn = trio.Lock()
        self._child = _start(reference, hooks_dir)

    async def __call__(self, draft: Draft, context: HookContext) -> Message | None:
        """Return what the hook made of the message (None: nothing); raises what it raised, or `HookCrashed`."""
        async with self._turn:
            answer = await self._ask(Ask(draft.finish(), context))
        match answer:
            case Passed(message):
                return message
            case Rejected(reason, tell):
                raise Reject(reason, tell)
            case Held(reason):
                raise Hold(reason)
            case Raised(what):
                raise HookCrashed(what)
            case Ready():
                raise HookCrashed(f"the process of {self._reference} answered out of turn")
            case never:
                assert_never(never)

    def wait_until_loaded(self) -> None:
        """Block until the process can serve. Raises `SettingError` when it cannot."""
        readable, _, _ = select.select([self._child.answers], [], [], LOADING_SECONDS)
        try:
            answer = self._child.read_blocking() if readable else Raised(f"not loaded within {LOADING_SECONDS:g} s")
        except (EOFError, SealError, OSError) as error:
            answer = Raised(f"its process ended while loading: {error}")
        if not isinstance(answer, Ready):
            self._child.kill()
            found = answer.what if isinstance(answer, Raised) else "something else"
            raise SettingError("use", found=f'"{self._reference}", {found}', wanted="a hook that loads")
        self._child.ready = True

    def close(self) -> None:
        """End the process."""
        self._child.kill()

    async def _ask(self, ask: Ask) -> Answer:
        if self._child.closed or self._child.process.poll() is not None:
            self._replace()
        child, answered = self._child, False
        if child.closed:
            raise HookCrashed(f"no process can be started for {self._reference} at the moment")
        try:
            if not child.ready:
                await self._loaded(child)
            child.number += 1
            sealed = child.sealer.seal(RecordKind.HOP, f"ask-{child.number}", ask)
            await _send(child.asks, framed(sealed))
            answer = await child.read()
            answered = True
            return answer
        except (EOFError, OSError) as error:
            raise HookCrashed(f"the process of {self._reference} ended: {error}") from error
        except SealError as error:
            raise HookCrashed(f"the process of {self._reference} answered with what does not open: {error}") from error
        finally:
            # One that is still loading is left to it, unless it has had its time.
            if not answered and (child.ready or time.monotonic() > child.started + LOADING_SECONDS):
                self._replace()

    async def _loaded(self, child: Child) -> None:
        answer = await child.read()
        if not isinstance(answer, Ready):
            child.ready = True  # it will be replaced: it has nothing left to load
            raise HookCrashed(f"the process of {self._reference} does not load: {answer}")
        child.ready = True

    def _replace(self) -> None:
        self._child.kill()
        # Starting takes a few milliseconds of the loop; it happens only after a hook failed. Where the machine
        # cannot start one, the next message tries again.
        with suppress(OSError):
            self._child = _start(self._reference, self._hooks_dir)


class Child(Struct, weakref=True):
    """One process with its pipes, both set not to block; `number` counts the questions. Gone: the process is killed."""

    process: subprocess.Popen[bytes]
    asks: int
    answers: int
    sealer: Sealer
    started: float
    ready: bool = False
    number: int = 0
    received: bytearray = bytearray()
    ending: weakref.finalize[[subprocess.Popen[bytes]], Child] | None = None

    @property
    def closed(self) -> bool:
        """Whether it was killed."""
        return self.ending is None

    def kill(self) -> None:
        """Kill it; its pipes are not to be touched again."""
        if self.ending is not None:
            self.ending.detach()
            self.ending = None
            _end(self.process)

    async def read(self) -> Answer:
        """Wait for the next answer. Raises `EOFError` when the process ends first."""
        while (frame := self._frame()) is None:
            await trio.lowlevel.wait_readable(self.answers)
            self._receive()
        return self._opened(frame)

    def read_blocking(self) -> Answer:
        """Wait for the next answer, blocking the thread."""
        while (frame := self._frame()) is None:
            select.select([self.answers], [], [])
            self._receive()
        return self._opened(frame)

    def _receive(self) -> None:
        received = os.read(self.answers, 65_536)
        if not received:
            raise EOFError("it closed its pipe")
        self.received += received

    def _frame(self) -> bytes | None:
        if len(self.received) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self.received)
        if length > MAX_FRAME_BYTES:
            raise EOFError(f"it announced an answer of {length} bytes")
        if len(self.received) < LENGTH.size + length:
            return None
        frame = bytes(self.received[LENGTH.size : LENGTH.size + length])
        del self.received[: LENGTH.size + length]
        return frame

    def _opened(self, frame: bytes) -> Answer:
        answer: Answer = self.sealer.open(RecordKind.HOP, f"answer-{self.number}", frame, Answer)  # type: ignore[arg-type]
        return answer


def _start(reference: str, hooks_dir: str) -> Child:
    command = [sys.executable, "-m", "gateway.hooks.isolated_child", hooks_dir, reference]
    # The package may run from a checkout that only this process has on its path.
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # They wait until the process has handlers of its own: a stop must not end it while it loads.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_DAEMON)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert process.stdin is not None and process.stdout is not None
    ring = new_keyring(0, os.urandom)
    with suppress(BrokenPipeError):  # it ended at once: whoever reads the first answer is told
        os.write(process.stdin.fileno(), framed(format_keyring(ring).encode()))
    os.set_blocking(process.stdin.fileno(), False)
    os.set_blocking(process.stdout.fileno(), False)
    sealer = Sealer(ring, Dictionaries(), os.urandom)
    child = Child(process, process.stdin.fileno(), process.stdout.fileno(), sealer, time.monotonic())
    child.ending = weakref.finalize(child, _end, process)  # after a reload drops the hook, and when the daemon ends
    return child


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    # A thread takes it from the process table: the system needs a second for one that holds some gigabytes.
    with suppress(RuntimeError):  # the interpreter ends, and whoever started it does that instead
        threading.Thread(target=process.wait, daemon=True).start()


async def _send(pipe: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        await trio.lowlevel.wait_writable(pipe)
        left = left[os.write(pipe, left) :]
