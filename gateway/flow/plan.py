"""What the rules decided for one message, in the gateway's own words.

`route.py` makes it of the rules' Decision; the walk carries it out. What is set and tagged is seen
by pipelines and later rulesets, not by the rules that decided it.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.message.envelope import Envelope
from gateway.message.message import Message

PlanKind = Literal["pipeline", "reply", "reject", "drop", "hold", "delay", "nothing"]


class Plan(Struct, frozen=True, kw_only=True):
    """One way to go on (`kind`), and what happens besides. `by` names the rule; '' is the default pipeline's."""

    kind: PlanKind
    by: str = ""
    pipeline: str = ""
    text: str = ""
    why: str = ""
    tell: str = ""
    delay_seconds: float = 0.0
    forwards: tuple[tuple[str, str], ...] = ()  # channel, conversation ('' = the channel's default)
    tags: tuple[str, ...] = ()
    sets: tuple[tuple[tuple[str, ...], Any], ...] = ()  # where in the metadata, and what
    content: str | None = None
    priority: int = 0
    deadline_seconds: float = 0.0
    model: str = ""
    rules: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def applied(self, envelope: Envelope) -> Envelope:
        """Return the envelope with what the rules tagged, set and ranked; the same one when they did none of it."""
        written = self.sets or self.content is not None
        if not (self.tags or written or self.priority or self.deadline_seconds):
            return envelope
        message = self._written(envelope.message) if written else envelope.message
        deadline = envelope.received_at + self.deadline_seconds if self.deadline_seconds else envelope.deadline
        return replace(
            envelope,
            message=message,
            tags=envelope.tags + self.tags,
            priority=self.priority or envelope.priority,
            deadline=deadline,
        )

    def _written(self, message: Message) -> Message:
        metadata = message.metadata
        for keys, value in self.sets:
            metadata = _put(metadata, keys, value)
        content = message.content if self.content is None else self.content
        return replace(message, content=content, metadata=metadata)


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return `values` with one more under `keys`; what is no mapping on the way gives way to one."""
    first, *rest = keys
    if rest:
        inner = values.get(first)
        value = _put(inner if isinstance(inner, dict) else {}, tuple(rest), value)
    return {**values, first: value}
