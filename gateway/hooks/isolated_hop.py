"""What crosses between the daemon and the process of an isolated hook: sealed values in counted frames.

A frame is its length in 4 bytes, big-endian, and that many bytes. The first frame to the process is a
key ring made for it alone; every later one is a sealed record, the n-th question `ask-n` or its answer `answer-n`.
"""

from __future__ import annotations

import signal
import struct

from msgspec import Struct

from gateway.message.message import Message
from gateway.ports import HookContext

LENGTH = struct.Struct(">I")
# A sealed record of the largest message that can be stored, and some.
MAX_FRAME_BYTES = 20 * 1024 * 1024
# These stop or reload the gateway, and who sends them often sends them to every process of it.
FOR_THE_DAEMON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ask(Struct, frozen=True, tag="ask"):
    """The message a hook is to look at."""

    message: Message
    context: HookContext


class Passed(Struct, frozen=True, tag="passed"):
    """The message goes on, as `message` or unchanged."""

    message: Message | None = None


class Rejected(Struct, frozen=True, tag="rejected"):
    """The hook raised ValueError or Reject."""

    reason: str
    tell: str | None = None


class Held(Struct, frozen=True, tag="held"):
    """The hook raised Hold."""

    reason: str


class Raised(Struct, frozen=True, tag="raised"):
    """The hook, or loading it, raised something else."""

    what: str


class Ready(Struct, frozen=True, tag="ready"):
    """The hook is loaded; comes once, as `answer-0`."""


Answer = Passed | Rejected | Held | Raised | Ready


def framed(content: bytes) -> bytes:
    """Put the length before the bytes."""
    return LENGTH.pack(len(content)) + content
