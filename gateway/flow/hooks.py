"""A chain of hooks over one message: pass, replace, reject, hold.

Each hook gets a draft of its own and answers under its own deadline and policy. A plain hook runs
where the walk runs and costs nothing more; an async one makes the walk step aside first. What a
hook raises is a verdict (`ValueError` exactly, `Reject`, `Hold`) or a failure that its policy decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from time import perf_counter
from typing import Any, Literal, assert_never

import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import DraftError, Hold, Reject, as_text, bounded, in_words, lone, stays_contained
from gateway.flow.aside import Turn
from gateway.flow.story import HookNote
from gateway.message.draft import Draft, verified
from gateway.message.envelope import Envelope
from gateway.message.message import Message
from gateway.notices import HookFailed, HookOverran, HookRan, Report
from gateway.ports import HookContext


class Passed(Struct, frozen=True):
    """The message as the chain leaves it; the very same object when no hook changed it."""

    message: Message


class Rejected(Struct, frozen=True):
    """A hook refused: `tell` is what the sender hears, '' for nothing."""

    by: str
    why: str
    tell: str = ""


class Held(Struct, frozen=True):
    """The message is set aside for a person; released, it passes `hook`, which is stage and name, '' for none."""

    by: str
    why: str
    hook: str = ""


Verdict = Passed | Rejected | Held

# Reported as a notice of its own only beyond this; the story has every hook's time anyway.
WORTH_A_NOTICE = 0.001


class Link(Struct):
    """One hook in a chain, with how it is run. `mode` moves from loop to slow when it keeps overrunning.

    `loop`: on the event loop; a plain hook cannot be cancelled there. `slow`: a plain hook in a worker
    thread, abandoned at its deadline. `quarantined`: not run any more; its policy decides at once.
    """

    name: str
    call: Callable[..., Any]
    takes_context: bool = False
    is_async: bool = False
    mode: Literal["loop", "slow", "quarantined"] = "loop"
    policy: Literal["reject", "skip", "hold"] = "reject"
    deadline_seconds: float = 0.05
    overrun: Literal["slow", "quarantine"] = "slow"
    overruns_allowed: int = 3  # then it is moved off the loop: it has had its chance
    tell: str = ""  # what the sender hears when this hook rejects without words of its own
    channels: frozenset[str] = frozenset()
    overruns: int = 0


class Chain:
    """The hooks of one direction, in order. `threads` gives by a hook's name what bounds its threads."""

    def __init__(
        self,
        stage: Literal["inbound", "outbound"],
        links: Sequence[Link],
        report: Report,
        threads: Callable[[str], trio.CapacityLimiter],
    ) -> None:
        self.stage, self.links = stage, tuple(links)
        self._outbound = stage == "outbound"
        self._report, self._threads = report, threads

    async def run(self, envelope: Envelope, message: Message, turn: Turn, notes: list[HookNote]) -> Verdict:
        """Give the message to every hook in turn; adds a note for each. Never raises what a hook raises."""
        verdict: Verdict = Passed(message)
        began = perf_counter()
        for link in self.links:
            if link.channels and message.channel not in link.channels:
                continue
            verdict, word = await self._judge(link, envelope, message, turn)
            ended = perf_counter()
            seconds, began = ended - began, ended
            if seconds > WORTH_A_NOTICE:
                self._tell(link, envelope, seconds, word)
            match verdict:
                case Passed():
                    message = verdict.message
                    notes.append(HookNote(link.name, word, seconds, "", self._outbound))
                case _:
                    verdict = replace(verdict, why=bounded(verdict.why))
                    notes.append(HookNote(link.name, word, seconds, verdict.why, self._outbound))
                    break
        return verdict

    def concerns(self, channel: str) -> bool:
        """Say whether any hook of the chain sees messages of this channel."""
        return any(not link.channels or channel in link.channels for link in self.links)

    async def _judge(self, link: Link, envelope: Envelope, message: Message, turn: Turn) -> tuple[Verdict, str]:
        draft = Draft(message)
        arguments = (draft, self._context(envelope, message)) if link.takes_context else (draft,)
        try:
            answer = link.call(*arguments) if link.mode == "loop" else await self._elsewhere(link, arguments, turn)
            # A plain hook that changes nothing is the rule: it pays for no other question than this one.
            left = draft.finish() if answer is draft or answer is None else await self._left(link, answer, draft, turn)
        except trio.Cancelled:
            raise
        except BaseException as error:  # sys.exit() in a hook is no reason to end the gateway
            if not stays_contained(error):
                raise
            return self._raised(link, envelope, message, draft, lone(error))
        return Passed(left), "pass" if left is message else "replace"

    def _raised(
        self, link: Link, envelope: Envelope, message: Message, draft: Draft, error: BaseException
    ) -> tuple[Verdict, str]:
        match error:
            case Reject():
                return Rejected(link.name, error.reason, error.tell or link.tell), "reject"
            case Hold():
                return self._held(link, envelope, message, draft, error)
            case _ if type(error) is ValueError:
                return Rejected(link.name, as_text(error), link.tell), "reject"
            case _:
                return self._failed(link, envelope, message, error)

    async def _left(self, link: Link, answer: Any, draft: Draft, turn: Turn) -> Message:
        """Return the message that a hook left, by what it returned or by its draft."""
        if isawaitable(answer):
            answer = await self._awaited(link, answer, turn)
        match answer:
            case None:
                return draft.finish()
            case Draft():
                return answer.finish()
            case Message():
                return verified(answer)
        raise TypeError(f"returned {type(answer).__name__}; a hook returns its message, another one, or None")

    async def _awaited(self, link: Link, answer: Awaitable[Any], turn: Turn) -> Any:
        await turn.aside(answer)
        with trio.move_on_after(link.deadline_seconds) as scope:
            return await answer
        assert scope.cancelled_caught
        raise TimeoutError(f"no answer within {link.deadline_seconds:g} s")

    async def _elsewhere(self, link: Link, arguments: tuple[Any, ...], turn: Turn) -> Any:
        if link.mode == "quarantined":
            raise RuntimeError("quarantined after too many overruns")
        await turn.aside()
        with trio.move_on_after(link.deadline_seconds):
            return await trio.to_thread.run_sync(
                link.call, *arguments, abandon_on_cancel=True, limiter=self._threads(link.name)
            )
        raise TimeoutError(f"no answer within {link.deadline_seconds:g} s")

    def _context(self, envelope: Envelope, message: Message) -> HookContext:
        return HookContext(envelope.id, self.stage, message.channel, envelope.attempt, envelope.received_at)

    def _held(self, link: Link, envelope: Envelope, message: Message, draft: Draft, hold: Hold) -> tuple[Verdict, str]:
        """Set the message aside, unless a person let it pass this very hook: then it goes on as the hook left it."""
        hook, release = f"{self.stage} {link.name}", envelope.release
        if release is None or hook not in release.hooks:
            return Held(link.name, hold.reason, hook), "hold"
        try:
            return Passed(draft.finish()), "released"
        except DraftError as error:
            return self._failed(link, envelope, message, error)

    def _failed(self, link: Link, envelope: Envelope, message: Message, error: BaseException) -> tuple[Verdict, str]:
        said = in_words(error)
        self._report(HookFailed(envelope.id, link.name, said, link.policy))
        if isinstance(error, TimeoutError):
            self._report(HookOverran(envelope.id, link.name, link.deadline_seconds, link.deadline_seconds))
        match link.policy:
            case "skip":
                return Passed(message), "skip"
            case "hold":  # until the hook is mended, and then it judges anew
                return Held(link.name, said), "hold"
            case "reject":
                return Rejected(link.name, said, link.tell), "reject"
            case never:
                assert_never(never)

    def _tell(self, link: Link, envelope: Envelope, seconds: float, word: str) -> None:
        """Report a hook that took long; a plain one on the loop beyond its deadline has overrun."""
        self._report(HookRan(link.name, seconds, word))
        if seconds <= link.deadline_seconds or link.mode != "loop" or link.is_async:
            return
        self._report(HookOverran(envelope.id, link.name, seconds, link.deadline_seconds))
        link.overruns += 1
        if link.overruns >= link.overruns_allowed:
            link.mode = "slow" if link.overrun == "slow" else "quarantined"
