"""The meaning of a checked condition, in the plainest words.

Walks the core tree with no index, no sharing and no cleverness. The compiled engine must agree
with it on every rule and every message; property tests hold them side by side, and `explain`
shows its answers leaf by leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never  # facts are the host's own objects

from rules import core
from rules.matchers import minute_of_week, pattern_search
from rules.values import read

# What a leaf answered: the leaf, the value it saw, whether it held.
Witness = Callable[[core.Leaf | core.Window | core.Constant, Any, bool], None]


def holds(condition: core.Core, facts: Any, moment: float, witness: Witness | None = None) -> bool:
    """Whether `condition` holds. With a witness every leaf is tried, else it stops early."""
    match condition:
        case core.All(items=items):
            return all(_each(items, facts, moment, witness))
        case core.Some(items=items):
            return any(_each(items, facts, moment, witness))
        case core.Inverse(item=item):
            own = witness is not None and (item.start, item.end) == (condition.start, condition.end)
            return not holds(item, facts, moment, _inverting(witness) if own else witness)
        case core.Constant():
            return _seen(condition, None, condition.holds, witness)
        case core.Window():
            return _seen(condition, None, in_window(condition, moment), witness)
        case core.Leaf():
            value = read(condition.reading, facts)
            return _seen(condition, value, value is not None and _test(condition, value, facts), witness)
        case never:
            assert_never(never)


def in_window(window: core.Window, moment: float) -> bool:
    """Whether `moment` is in the window. After midnight the day is the one it began on."""
    day, minute = divmod(minute_of_week(window.zone, moment), 24 * 60)
    if window.first < window.until:
        return window.first <= minute < window.until and day in window.days
    if minute >= window.first:
        return day in window.days
    return minute < window.until and (day - 1) % 7 in window.days


def _each(items: tuple[core.Core, ...], facts: Any, moment: float, witness: Witness | None) -> Any:
    answers = (holds(item, facts, moment, witness) for item in items)
    return answers if witness is None else list(answers)


def _inverting(witness: Witness | None) -> Witness | None:
    # `!=` and `x NOT IN y` are written as one test, so the witness hears whether that one held.
    return witness and (lambda leaf, value, answer: witness(leaf, value, not answer))


def _seen(leaf: Any, value: Any, answer: bool, witness: Witness | None) -> bool:  # noqa: FBT001
    if witness is not None:
        witness(leaf, value, answer)
    return answer


def _test(leaf: core.Leaf, value: Any, facts: Any) -> bool:
    wanted = leaf.value
    if leaf.other is not None:
        wanted = read(leaf.other, facts)
        if wanted is None:
            return False
        if leaf.operator in ("contains", "starts", "ends", "member"):
            wanted = (wanted,)
    match leaf.operator:
        case "==":
            return bool(value == wanted)
        case "<":
            return bool(value < wanted)
        case "<=":
            return bool(value <= wanted)
        case ">":
            return bool(value > wanted)
        case ">=":
            return bool(value >= wanted)
        case "in" if leaf.other is None:
            return value in wanted
        case "contains" | "member":
            return any(text in value for text in wanted)
        case "starts":
            return any(value.startswith(text) for text in wanted)
        case "ends":
            return any(value.endswith(text) for text in wanted)
        case "matches":
            return any(pattern_search(pattern)(value) for pattern in wanted)
        case "exists":
            return True
        case other:
            raise AssertionError(other)
