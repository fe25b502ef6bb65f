"""What an installed action may do: the contract between the rules and a package of somebody else's.

An entry point in the group `oclaw.actions` names a module or an object with `spec`, a `rules.ActionSpec`, and
`apply(call)`, which says in the gateway's own actions what is to be done: `[Do("tag", {"names": ("vip",)})]`.
It runs in the loop while the message is routed, so it must return in microseconds and touch nothing
outside; state it keeps must be bounded. What it raises counts as an error of the rule and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from gateway.message.message import Message
from rules import ActionSpec


class ActionCall(Struct, frozen=True, kw_only=True):
    """One use of the action by a rule that matched: typed arguments by name, the value of PER, the message, the time.

    A duration is in seconds; an argument that is read from the message is None where the message lacks it.
    """

    args: Mapping[str, Any]
    per: Any
    message: Message
    now: float
    rule: str


class Do(Struct, frozen=True):
    """One of the gateway's own actions with its arguments by name, as rules/README and `oclaw rules` name them."""

    action: str
    args: Mapping[str, Any] = {}


class InstalledAction(Protocol):
    """An action that a package brings."""

    @property
    def spec(self) -> ActionSpec:
        """What rules may pass to it."""

    def apply(self, call: ActionCall) -> Iterable[Do]:
        """Say what is to be done instead. Never waits."""
