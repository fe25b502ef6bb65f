"""What a person at the control socket may ask of the running gateway, and the shape of each answer.

`Control` is the seam: the daemon implements it, `control_socket.py` serves it as JSON, the
CLI prints it. All times are epoch seconds, all durations seconds. Message text appears only
in `content` and `preview`; the socket's mode 0600 keeps both with the operator.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from gateway.pipelines.workers import Standing
from gateway.supervise import ChildState

Kind = Literal["inbound", "delivery"]
"""A message that gave up on its walk, or a reply that did not get through."""


class JournalStatus(Struct, frozen=True, kw_only=True):
    """`failing` is why it cannot write, or ''. `tally` counts rows by state, as 'inbound.accepted'."""

    failing: str = ""
    backlog: int = 0
    tally: dict[str, int] = {}


class Loaded(Struct, frozen=True, kw_only=True):
    """A configuration, or the rules: which generation is live, and why a newer one was refused, or ''.

    `refused_at` is when somebody asked for that reload: what was wrong may have been mended since. What is said of the
    rules is about the files as they are now, and has no time.
    """

    path: str
    generation: int
    loaded_at: float
    refused_at: float = 0.0
    refused: str = ""


class RulesStatus(Struct, frozen=True, kw_only=True):
    """The live ruleset at a glance; `changes` is what its last reload changed."""

    files: int
    rules: int
    loaded: Loaded
    changes: tuple[str, ...] = ()


class RuleLine(Struct, frozen=True, kw_only=True):
    """One rule and what it did since the start; `last_match` is 0 for never."""

    rule: str
    ruleset: str
    place: str
    priority: int = 0
    shadow: bool = False
    matched: int = 0
    shadow_matched: int = 0
    conflicts: int = 0
    mismatches: int = 0
    errors: int = 0
    last_match_at: float = 0.0


class LastError(Struct, frozen=True):
    """One of the latest notices of level "error"."""

    at: float
    event: str
    text: str
    envelope_id: str = ""


class FailingDestination(Struct, frozen=True):
    """A destination that is down: after so many failures in a row one probe at a time is sent, and the rest waits."""

    channel: str
    destination: str
    failures: int
    why: str


class Status(Struct, frozen=True, kw_only=True):
    """`oclaw status`: health at a glance. `ready` as /readyz says it, and why not; `since` is when `state` was entered.

    `waiting_for_reload` are files that differ from what serves until `oclaw reload`; rules go live by themselves.
    `certificate_ends_at` is of the one that is shown at this moment, 0 without TLS.
    """

    ready: bool
    problems: tuple[str, ...] = ()
    state: Literal["starting", "ready", "draining"]
    since: float
    started_at: float
    version: str
    pid: int
    addresses: tuple[str, ...]
    certificate_ends_at: float = 0.0
    configuration: Loaded
    rules: RulesStatus
    journal: JournalStatus
    waiting_for_reload: tuple[str, ...] = ()
    children: tuple[ChildState, ...] = ()
    workers: tuple[Standing, ...] = ()
    failing_destinations: tuple[FailingDestination, ...] = ()
    queues: dict[str, int] = {}
    counters: dict[str, int] = {}
    loop_lag_seconds: float = 0.0
    last_errors: tuple[LastError, ...] = ()


class SendOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`oclaw send`: a message as if `sender` had written it; it takes the same walk as every other one."""

    channel: str
    content: str
    conversation: str = "cli"
    sender: str = "cli"
    wait_seconds: float = 0.0


class Undelivered(Struct, frozen=True, kw_only=True):
    """A reply that has not arrived: for whom it is, until when it waits, and what kept it."""

    id: str
    channel: str
    conversation: str
    state: str
    expires_at: float
    why: str = ""


class Sent(Struct, frozen=True, kw_only=True):
    """What became of it so far: an `InboundState` word, the replies' texts once the walk has ended, and which of
    them are not there yet. `what_now` says what a person can do about it.
    """

    id: str
    state: str
    why: str = ""
    replies: tuple[str, ...] = ()
    what_now: str = ""
    undelivered: tuple[Undelivered, ...] = ()


class TraceStep(Struct, frozen=True, kw_only=True):
    """One thing that happened to a message or delivery.

    `stage`: accept, recover, hook, rule, route, step, reply, aside, attempt, settle, person.
    `by` names who did it (a hook, a rule with its line, a pipeline's step), `outcome` what it
    answered (pass, replace, reject, matched, delivered, deferred…), `why` its reason.
    """

    at: float
    stage: str
    outcome: str
    by: str = ""
    why: str = ""
    seconds: float = 0.0
    attempt: int = 0


class DeliveryTrace(Struct, frozen=True, kw_only=True):
    """One reply's life: its attempts and receipts as steps, oldest first."""

    id: str
    channel: str
    conversation: str
    state: str
    created_at: float
    expires_at: float
    attempt: int = 0
    due_at: float = 0.0
    content: str = ""
    steps: tuple[TraceStep, ...] = ()


class Trace(Struct, frozen=True, kw_only=True):
    """`oclaw trace ID`: one message's whole life, oldest first.

    `gateway_seconds` is its walk's time without that of the pipeline's steps. `held_answers` are what its pipeline
    answered and an outbound hook holds back, until a person lets the message go. `what_now` says what a person can do.
    """

    id: str
    channel: str
    platform: str
    conversation: str
    sender: str
    state: str
    received_at: float
    changed_at: float
    attempt: int = 1
    traceparent: str = ""
    gateway_seconds: float = 0.0
    content: str = ""
    held_answers: tuple[str, ...] = ()
    steps: tuple[TraceStep, ...] = ()
    deliveries: tuple[DeliveryTrace, ...] = ()
    what_now: str = ""


class Explained(Struct, frozen=True, kw_only=True):
    """How the rules in force decide on a message, leaf by leaf, and what was decided on its walk."""

    id: str
    text: str
    actions: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    then_actions: tuple[str, ...] = ()
    then_rules: tuple[str, ...] = ()
    note: str = ""
    verdicts: tuple[dict[str, Any], ...] = ()


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message or delivery that gave up, or a delivery of unknown outcome (`state` says which)."""

    id: str
    kind: Kind
    channel: str
    conversation: str
    state: str
    why: str
    attempt: int
    created_at: float
    changed_at: float
    preview: str = ""


class DeadStory(Struct, frozen=True):
    """A dead letter with the life of the message it belongs to."""

    letter: DeadLetter
    trace: Trace


class HeldMessage(Struct, frozen=True, kw_only=True):
    """A message that a rule or hook holds or delays; `due_at` is 0 for one that waits for a person.

    `answer` begins what its pipeline had answered when an outbound hook held it: what a release would send.
    """

    id: str
    channel: str
    conversation: str
    sender: str
    state: str
    by: str
    why: str
    received_at: float
    due_at: float = 0.0
    preview: str = ""
    answer: str = ""


class Done(Struct, frozen=True):
    """What was asked is committed; `state` is the new one."""

    id: str
    state: str


class ReloadReport(Struct, frozen=True, kw_only=True):
    """What a reload made live, or all that kept it from it; the old configuration serves on in that case."""

    applied: bool
    generation: int
    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class DisabledAddress(Struct, frozen=True, kw_only=True):
    """An address, or a conversation, of a channel that asked never to be sent to again."""

    channel: str
    address: str


class Control(Protocol):
    """What the daemon does for a person. Raises `NotThere` for an unknown id or channel, `NotPossible` where the state
    forbids it, `Overloaded` and `JournalError` as the flow does.
    """

    async def status(self) -> Status: ...

    async def send(self, order: SendOrder) -> Sent:
        """Return after the commit, or when the walk has ended, at the latest after `wait_seconds`."""

    async def trace(self, envelope_id: str) -> Trace:
        """Tell a message's life; a delivery's id is taken for its message's."""

    async def dead(self, kind: Kind | None, *, limit: int) -> Sequence[DeadLetter]:
        """List dead letters of one kind or of both, the latest change first."""

    def dead_stories(self) -> AsyncGenerator[DeadStory]:
        """Yield all dead letters, each with the life of its message."""

    async def dead_letter(self, letter_id: str) -> DeadStory: ...

    async def retry(self, letter_id: str) -> Done:
        """Take it up again at the tail of its conversation, marked as replayed."""

    async def drop(self, letter_id: str) -> Done: ...

    async def held(self, *, limit: int) -> Sequence[HeldMessage]: ...

    async def release(self, envelope_id: str) -> Done: ...

    async def discard(self, envelope_id: str) -> Done:
        """Drop a message that is set aside, for good."""

    async def disabled(self) -> Sequence[DisabledAddress]:
        """List the addresses that asked never to be sent to again."""

    async def enable(self, what: DisabledAddress) -> Done:
        """Let an address be sent to again."""

    async def reload(self) -> ReloadReport:
        """Validate all, then swap whole; on any problem keep the old and say why."""

    async def rules(self, *, limit: int) -> Sequence[RuleLine]:
        """List the rules in rank order with their counts, those that did something first."""

    async def explain(self, envelope_id: str) -> Explained:
        """Say how the rules in force decide on a journaled message, and why."""
