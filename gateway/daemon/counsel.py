"""What a person is told of a message: what to do, by where it and its replies stand, and why it was not even taken."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.records import DeliveryRow, InboundRow

# Somebody has to decide about these; nothing happens to them by itself.
GIVEN_UP = frozenset((DeliveryState.DEAD, DeliveryState.UNKNOWN))
# They go out by themselves, sooner or later, or expire.
WAITING = frozenset((DeliveryState.PENDING, DeliveryState.DEFERRED))
# A command takes any number of them; a line on a terminal does not.
_MOST_NAMED = 3

_WAYS = {
    InboundState.HELD: "`oclaw held release {id}` lets it go on, `oclaw held drop {id}` ends it",
    InboundState.DELAYED: "it goes on when it is due; `oclaw held release {id}`: at once; `oclaw held drop`: never",
    InboundState.UNROUTED: "no rule and no default pipeline took it: mend that, then `oclaw held release {id}`",
    InboundState.DEAD: "`oclaw dead retry {id}` takes it up again, `oclaw dead drop {id}` ends it",
    InboundState.REJECTED: "rejected is final, as its sender may have been told; to put such messages aside, "
    'let the rule hold(…), or the hook raise Hold or have policy = "hold"',
}
_REFUSALS = {
    "draining": "the gateway is shutting down",
    "overloaded": "the gateway has more in hand than it can finish in time",
    "full": "as many messages wait as [flow] max_waiting allows",
    "conversation_full": "as many messages of this conversation wait as [flow] max_waiting_per_conversation allows",
}


def not_taken(why: str, failing: str) -> str:
    """Return what a refusal at the door means; `failing` is what keeps the journal from writing, or ''."""
    means = f"the journal cannot write: {failing}" if why == "journal" else _REFUSALS.get(why, why)
    return f"the message was not taken; {means}"


def what_now(message: InboundRow, replies: Sequence[DeliveryRow]) -> str:
    """Return the ways on, as a sentence; '' where all is over."""
    ways = [_WAYS[message.state].format(id=message.id)] if message.state in _WAYS else []
    given_up = [reply.id for reply in replies if reply.state in GIVEN_UP]
    if given_up:
        ways.append(f"`oclaw dead retry {_named(given_up)}` sends it again, `oclaw dead drop` ends it")
    waiting = [reply.id for reply in replies if reply.state in WAITING]
    if waiting:
        ways.append(
            f"what waits goes out when it can, until it expires; `oclaw dead drop {_named(waiting)}` ends the wait"
        )
    return "; ".join(ways)


def way_on(message: InboundRow) -> str:
    """Return what to do about a message that is no dead letter, or cannot be taken up again."""
    return f": {_WAYS[message.state].format(id=message.id)}" if message.state in _WAYS else ""


def _named(ids: Sequence[str]) -> str:
    return " ".join(ids[:_MOST_NAMED]) + (" …" if len(ids) > _MOST_NAMED else "")
