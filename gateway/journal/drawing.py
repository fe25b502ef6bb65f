"""Draw the lifecycle from its tables: `python -m gateway.journal.drawing` prints what the README shows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TypeVar

from gateway.message.lifecycle import DELIVERY, INBOUND, DeliveryState, InboundState

State = TypeVar("State", InboundState, DeliveryState)


def drawing() -> str:
    """Return one line for each state: where it may go, or that it is an end."""
    return f"a message\n{_draw(INBOUND, InboundState)}\na reply\n{_draw(DELIVERY, DeliveryState)}"


def _draw(table: Mapping[State, frozenset[State]], order: Iterable[State]) -> str:
    states = list(order)
    lines = []
    for state in states:
        following = " ".join(other for other in states if other in table[state])
        lines.append(f"  {state:<10} {'──▶ ' + following if following else '■'}\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(drawing())
