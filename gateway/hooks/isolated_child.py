"""The process of one isolated hook: `python -m gateway.hooks.isolated_child HOOKS_DIR MODULE:FUNCTION`.

Started by the daemon, never by hand. Reads a message from standard input, runs the hook, writes its
answer, and ends when its input does, and not by a signal that stops the daemon: while that drains, it
still asks. What the hook prints goes to standard error, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import inspect
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gateway.config.operator_code import OperatorCode
from gateway.errors import Hold, OclawError, Reject, as_text, in_words, lone
from gateway.hooks.isolated_hop import (
    FOR_THE_DAEMON,
    LENGTH,
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
from gateway.message.draft import Draft, verified
from gateway.message.keyring import parse_keyring
from gateway.message.message import Message, storable
from gateway.message.seal import RecordKind, Sealer


def main(hooks_dir: str, reference: str) -> None:
    """Serve until the daemon closes the pipe."""
    _outlive_a_stop()
    asks = os.fdopen(os.dup(0), "rb")
    threading.Thread(target=_end_with_the_daemon, args=(asks.fileno(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    _close_standard_input()
    ring = _frame(asks)
    if ring is None:
        return
    sealer = Sealer(parse_keyring(ring.decode()), Dictionaries(), os.urandom)

    def say(answer: Answer, number: int) -> None:
        answers.write(framed(sealer.seal(RecordKind.HOP, f"answer-{number}", answer)))

    try:
        hook = OperatorCode(Path(hooks_dir)).function(reference)
    except OclawError as error:
        say(Raised(storable(str(error))), 0)
        return
    say(Ready(), 0)
    number = 0
    while (sealed := _frame(asks)) is not None:
        number += 1
        say(_run(hook, sealer.open(RecordKind.HOP, f"ask-{number}", sealed, Ask)), number)


def _close_standard_input() -> None:
    """Leave nothing to read: a program that the hook starts, or its own `input()`, would read questions away."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _outlive_a_stop() -> None:
    # Not SIG_IGN: a program that the hook starts would inherit it and could not be terminated.
    for number in FOR_THE_DAEMON:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_DAEMON)


def _end_with_the_daemon(pipe: int) -> None:
    """End also when the hook hangs and nobody is left to kill it."""
    hangup = select.poll()
    hangup.register(pipe, 0)  # POLLHUP, once nobody can write any more, is told unasked (poll(2))
    hangup.poll()
    os._exit(0)


def _run(hook: Callable[..., Any], ask: Ask) -> Answer:
    try:
        message = _answer(hook, ask)
        return Passed(None if message is ask.message else message)
    except Exception as raised:  # the operator's code may raise anything
        return _verdict(lone(raised))


def _verdict(error: BaseException) -> Answer:
    match error:
        case Reject(reason=reason, tell=tell):
            return Rejected(storable(reason), None if tell is None else storable(tell))
        case Hold(reason=reason):
            return Held(storable(reason))
        case _ if type(error) is ValueError:
            return Rejected(storable(as_text(error)))
        case _:
            return Raised(storable(in_words(error)))


def _answer(hook: Callable[..., Any], ask: Ask) -> Message:
    draft = Draft(ask.message)
    answer = hook(draft, ask.context) if _takes_context(hook) else hook(draft)
    if inspect.isawaitable(answer):
        import trio

        awaitable = answer

        async def wait() -> Any:
            return await awaitable

        answer = trio.run(wait)
    match answer:
        case None:
            return draft.finish()
        case Draft():
            return answer.finish()
        case Message():
            return verified(answer)
    raise TypeError(f"returned {type(answer).__name__}; a hook returns its message, another one, or None")


def _takes_context(hook: Callable[..., Any]) -> bool:
    try:
        inspect.signature(hook).bind(None, None)
    except TypeError:
        return False
    return True


def _frame(pipe: BinaryIO) -> bytes | None:
    header = pipe.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    content = pipe.read(length)
    return content if len(content) == length else None


if __name__ == "__main__":
    main(*sys.argv[1:])
