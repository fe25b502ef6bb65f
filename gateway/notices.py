"""The named facts of the gateway's life, from which log lines and metrics follow: `report(EnvelopeAccepted(...))`.

`level` is the log line's; a notice of level "debug" is counted and shown by `oclaw tail`, but only logged on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from msgspec import Struct


class Notice(Struct, frozen=True):
    """The form of every notice: a frozen struct whose class name is the fact's name."""

    level: ClassVar[str] = "info"


Report = Callable[[Notice], None]


class EnvelopeAccepted(Notice, frozen=True):
    """A message is committed and was acknowledged."""

    level: ClassVar[str] = "debug"
    envelope_id: str
    channel: str
    conversation: str


class EnvelopeDuplicate(Notice, frozen=True):
    """A redelivery of a message that is known; acknowledged, nothing else."""

    level: ClassVar[str] = "debug"
    envelope_id: str
    channel: str


class EnvelopeRefused(Notice, frozen=True):
    """A message was refused at the door: `reason` is one of a small, fixed set of words."""

    level: ClassVar[str] = "warning"
    channel: str
    reason: str
    detail: str = ""


class EnvelopeRejected(Notice, frozen=True):
    """A hook or a rule refused an accepted message."""

    envelope_id: str
    channel: str
    stage: str
    by: str
    why: str


class EnvelopeRouted(Notice, frozen=True):
    """The rules decided; `rule` is empty when the default pipeline took it."""

    level: ClassVar[str] = "debug"
    envelope_id: str
    pipeline: str
    rule: str


class EnvelopeUnrouted(Notice, frozen=True):
    """No rule and no default pipeline took the message."""

    level: ClassVar[str] = "warning"
    envelope_id: str
    channel: str


class EnvelopeSetAside(Notice, frozen=True):
    """A rule or hook holds or delays the message."""

    envelope_id: str
    channel: str
    state: str
    why: str


class EnvelopeDropped(Notice, frozen=True):
    """A rule or a person discarded the message."""

    envelope_id: str
    channel: str
    why: str


class EnvelopeSettled(Notice, frozen=True):
    """The walk ended and its replies' intents are committed; `gateway_seconds` is our share of the journey."""

    level: ClassVar[str] = "debug"
    envelope_id: str
    channel: str
    replies: int
    gateway_seconds: float


class EnvelopeBuried(Notice, frozen=True):
    """A message gave up after its attempts and lies with the dead letters."""

    level: ClassVar[str] = "error"
    envelope_id: str
    channel: str
    why: str


class HookRan(Notice, frozen=True):
    """A hook answered; only reported for hooks that took over 1 ms, so that the hot path stays quiet."""

    level: ClassVar[str] = "debug"
    hook: str
    seconds: float
    verdict: str


class HookOverran(Notice, frozen=True):
    """A hook took longer than its deadline."""

    level: ClassVar[str] = "warning"
    envelope_id: str
    hook: str
    seconds: float
    allowed_seconds: float


class HookFailed(Notice, frozen=True):
    """A hook raised something other than a rejection; its policy decided."""

    level: ClassVar[str] = "warning"
    envelope_id: str
    hook: str
    error: str
    policy: str


class RulesRan(Notice, frozen=True):
    """The rules decided on one message in `seconds`."""

    level: ClassVar[str] = "debug"
    seconds: float


class RuleMismatch(Notice, frozen=True):
    """A rule met a value of the wrong type in a dynamic field."""

    level: ClassVar[str] = "debug"
    rule: str


class RuleFailed(Notice, frozen=True):
    """A rule matched and one of its actions could not be done; its other actions were."""

    level: ClassVar[str] = "warning"
    envelope_id: str
    rule: str
    action: str
    why: str


class StepFailed(Notice, frozen=True):
    """A pipeline step did not answer."""

    level: ClassVar[str] = "warning"
    envelope_id: str
    pipeline: str
    step: str
    why: str


class EventIgnored(Notice, frozen=True):
    """A platform told of something that is not for us: `reason` is one of a few words (`own`, `echo`, `bot`)."""

    level: ClassVar[str] = "debug"
    channel: str
    reason: str


class TypingFailed(Notice, frozen=True):
    """A platform would not show that an answer is being made; nothing else suffers."""

    level: ClassVar[str] = "debug"
    channel: str
    why: str


class DeliverySettled(Notice, frozen=True):
    """A reply arrived; `seconds` counts from its intent to the receipt."""

    level: ClassVar[str] = "debug"
    delivery_id: str
    channel: str
    attempt: int
    seconds: float


class DeliveryDeferred(Notice, frozen=True):
    """A reply did not get through and will be tried again."""

    delivery_id: str
    channel: str
    attempt: int
    after_seconds: float
    why: str


class DeliveryUnknown(Notice, frozen=True):
    """A reply may or may not have arrived; a person must decide."""

    level: ClassVar[str] = "error"
    delivery_id: str
    channel: str
    why: str


class DeliveryBuried(Notice, frozen=True):
    """A reply gave up and lies with the dead letters."""

    level: ClassVar[str] = "error"
    delivery_id: str
    channel: str
    why: str


class DestinationDisabled(Notice, frozen=True):
    """A destination asked never to be sent to again."""

    level: ClassVar[str] = "warning"
    channel: str
    destination: str
    why: str


class BreakerChanged(Notice, frozen=True):
    """A destination's circuit breaker opened, or closed again."""

    level: ClassVar[str] = "warning"
    channel: str
    destination: str
    state: str


class ChildChanged(Notice, frozen=True):
    """A supervised child changed its state: starting, ready, waiting, disconnected, failed, stopped."""

    child: str
    state: str
    why: str = ""


class ChildDisconnected(Notice, frozen=True):
    """A channel has no connection to its platform: told in place of `ChildChanged` when it was not for a while."""

    level: ClassVar[str] = "warning"
    child: str
    why: str = ""


class ChildCrashed(Notice, frozen=True):
    """A supervised child raised; `again_in_seconds` is negative when it is given up."""

    level: ClassVar[str] = "error"
    child: str
    error: str
    again_in_seconds: float


class ChildLate(Notice, frozen=True):
    """A supervised child takes long to start or to stop; nothing waits for it any more, and it carries on."""

    level: ClassVar[str] = "warning"
    child: str
    doing: str
    seconds: float


class UnknownEvent(Notice, frozen=True):
    """A platform sent an event that the channel does not know; counted, never an error."""

    level: ClassVar[str] = "debug"
    channel: str
    kind: str


class RequestRefused(Notice, frozen=True):
    """Bytes came that are no acceptable request, or came too slowly: answered with `status` and cut."""

    level: ClassVar[str] = "debug"
    status: int
    peer: str
    detail: str


class ConnectionRefused(Notice, frozen=True):
    """A connection was turned away or cut: `reason` is limit or slow_reader."""

    level: ClassVar[str] = "debug"
    reason: str
    peer: str
    detail: str


class AcceptingPaused(Notice, frozen=True):
    """The system has no descriptor or memory for another connection; accepting pauses for a second."""

    level: ClassVar[str] = "warning"
    error: str


class RequestFailed(Notice, frozen=True):
    """Our code or a plugin's raised where nothing may. `where` labels a metric: a place in the gateway, no message."""

    level: ClassVar[str] = "error"
    where: str
    error: str
    envelope_id: str = ""


class CallEnded(Notice, frozen=True):
    """A gRPC call is over; `status` is its code's name, LEFT when its caller went away before it had one."""

    level: ClassVar[str] = "debug"
    method: str
    status: str
    seconds: float


class JournalFailed(Notice, frozen=True):
    """The journal could not write; the door is closed until it can."""

    level: ClassVar[str] = "error"
    why: str


class DeadLettersShed(Notice, frozen=True):
    """There are more dead letters than are kept: the oldest are dropped."""

    level: ClassVar[str] = "warning"
    count: int


class JournalCallbackFailed(Notice, frozen=True):
    """What was to run after a commit raised; the commit stands, the callbacks behind it run."""

    level: ClassVar[str] = "error"
    error: str


class TransitionRefused(Notice, frozen=True):
    """A message or delivery was to move where its lifecycle does not lead; nothing changed."""

    level: ClassVar[str] = "warning"
    why: str


class JournalRecovered(Notice, frozen=True):
    """The journal writes again, or was read back at start: what was found unfinished."""

    inbound: int
    deliveries: int
    seconds: float


class LoopStalled(Notice, frozen=True):
    """One task step held the event loop for longer than it may."""

    level: ClassVar[str] = "warning"
    task: str
    seconds: float


class ConfigurationLoaded(Notice, frozen=True):
    """A configuration, or a part of it, went live: what exactly changed."""

    what: str
    changes: str


class ConfigurationRefused(Notice, frozen=True):
    """A new configuration was wrong; the old one keeps serving."""

    level: ClassVar[str] = "error"
    what: str
    why: str


class GatewayReady(Notice, frozen=True):
    """Serving."""

    addresses: str
    seconds: float


class GatewayDraining(Notice, frozen=True):
    """No longer accepting; finishing what is in hand."""

    why: str


class GatewayStopped(Notice, frozen=True):
    """Over; what is left lies in the journal."""

    left_inbound: int
    left_deliveries: int
