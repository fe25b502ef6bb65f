"""What the rules decided for one message, in the gateway's own words.

`route.py` makes it of the rules' Decision; the walk carries it out. What is set and tagged is seen
by pipelines and later rulesets, not by the rules that decided it.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.message.envelope import Envelope

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
    sets: dict[str, Any] = {}
    priority: int = 0
    deadline_seconds: float = 0.0
    model: str = ""
    rules: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def applied(self, envelope: Envelope) -> Envelope:
        """Return the envelope with what the rules tagged, set and ranked; the same one when they did none of it."""
        if not (self.tags or self.sets or self.priority or self.deadline_seconds):
            return envelope
        message = envelope.message
        if self.sets:
            message = replace(message, metadata={**message.metadata, **self.sets})
        deadline = envelope.received_at + self.deadline_seconds if self.deadline_seconds else envelope.deadline
        return replace(
            envelope,
            message=message,
            tags=envelope.tags + self.tags,
            priority=self.priority or envelope.priority,
            deadline=deadline,
        )
