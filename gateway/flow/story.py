"""What is kept of a message's walk, for `oclaw trace` and for the result its sender may ask for.

Written sealed in the commit that ends the walk: in one record with the message where both are stored at once and are
short, else beside it. Offsets are seconds since the walk began; it ended, at the last of them, when the message's row
says.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.message.envelope import Delivery, Envelope, Release
from gateway.message.receipt import Receipt


class HookNote(Struct, frozen=True, omit_defaults=True):
    """One hook's answer: `verdict` is pass, replace, reject, hold, skip (it failed, policy skip), or released (it holds
    what a person let pass).
    """

    name: str
    verdict: str
    seconds: float = 0.0
    why: str = ""
    outbound: bool = False


class StepNote(Struct, frozen=True, omit_defaults=True):
    """One pipeline step: the model that answered, how long it took, how often it was tried."""

    name: str
    model: str = ""
    seconds: float = 0.0
    tries: int = 1
    why: str = ""


class Story(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The walk in short. `why` and `by` explain an end that is not DONE; `tell` is what the sender may hear.

    `passed`: an earlier walk set the message aside, and this one went on behind that. `delayed`: it came back because
    its delay was over, and a rule may still hold it. `anew`: a hook failed on it before any rule was asked, or no walk
    came to its end, so that rules may hold and delay it when it is put back. `release`: what it takes along then.
    """

    attempt: int = 1
    passed: bool = False
    delayed: bool = False
    anew: bool = False
    stages: dict[str, float] = {}
    hooks: tuple[HookNote, ...] = ()
    rules: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    pipeline: str = ""
    steps: tuple[StepNote, ...] = ()
    tags: tuple[str, ...] = ()
    at: float = 0.0  # when a person did it, epoch seconds; a walk has the record's time
    walked_at: float = 0.0  # when the walk ended, if a person has put an end to the message since
    by: str = ""
    why: str = ""
    tell: str = ""
    release: Release | None = None


class Walked(Struct, frozen=True, array_like=True):
    """A message, the story of its walk and the reply, if it has just one, as `Sealer.seal_together` seals them."""

    envelope: Envelope
    story: Story
    reply: Delivery | None = None


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt at a delivery, kept sealed beside it. `at` is epoch seconds."""

    at: float
    number: int
    receipt: Receipt
    seconds: float = 0.0
    by: str = ""
