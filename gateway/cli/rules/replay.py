"""`oclaw rules replay`: journaled messages against edited rules: which decisions change, what SHADOW rules would do.

With --with the edited files are compared with the ones in the folder; without it, the files in the folder with what
was decided when the messages came. Nothing is sent and nothing written.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.frame import NotDone, with_config, with_json
from gateway.cli.rules.workplace import Workplace, counted, with_edited
from gateway.cli.show import show, table

if TYPE_CHECKING:
    from gateway.cli.rules.journaled import Journaled
    from rules import Ruleset

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Of each change so many messages are named, for `oclaw rules explain`.
_NAMED = 3


@click.command("replay")
@click.option("--since", default="1h", show_default=True, metavar="AGO", help="How far back: 90s, 30m, 1h, 7d.")
@click.option("--limit", default=100_000, show_default=True, type=click.IntRange(1), help="How many messages at most.")
@with_edited
@with_config
@with_json
def command(since: str, limit: int, edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Decide journaled messages again, each at the moment it came in, and say which decisions change."""
    from gateway.cli.rules import journaled

    new = Workplace(config, edited).ruleset()
    old = Workplace(config).ruleset() if edited else None
    tally = _Tally(old, new)
    for message in journaled.since(config, time.time() - _ago(since), limit):
        tally.add(message)
    answer = tally.answer()
    show(answer, as_json=True) if as_json else click.echo("\n".join(_lines(answer)))


class _Tally:
    """Counts decisions that change, by what they were and what they become."""

    def __init__(self, old: Ruleset | None, new: Ruleset) -> None:
        self._old, self._new = old, new
        self._messages, self._shadow = 0, Counter[str]()
        self._changes: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        self._counts = Counter[tuple[tuple[str, ...], tuple[str, ...]]]()

    def add(self, message: Journaled) -> None:
        """Decide one message again."""
        envelope, story = message
        if self._old is None and story is None:
            return  # still under way: nothing to compare with
        self._messages += 1
        after, shadows = self._decided(self._new, message)
        self._shadow.update(shadows)
        before = self._decided(self._old, message)[0] if self._old else story.actions if story else ()
        if before != after:
            self._counts[before, after] += 1
            named = self._changes.setdefault((before, after), [])
            if len(named) < _NAMED:
                named.append(envelope.id)

    def _decided(self, ruleset: Ruleset, message: Journaled) -> tuple[tuple[str, ...], list[str]]:
        from gateway.flow.route import shown_actions
        from rules import ROUTING

        decision = ruleset.decide(ROUTING, message.envelope, message.envelope.received_at)
        return shown_actions(decision, ruleset), [ref.name for ref in decision.shadows]

    def answer(self) -> dict[str, Any]:
        """Return everything that was counted."""
        changes = [
            {"messages": count, "before": list(before), "after": list(after), "ids": self._changes[before, after]}
            for (before, after), count in self._counts.most_common()
        ]
        return {
            "messages": self._messages,
            "changed": sum(self._counts.values()),
            "changes": changes,
            "shadow": dict(self._shadow.most_common()),
        }


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [f"{counted(answer['messages'], 'message')}, {answer['changed']:,} decided otherwise"]
    rows = [
        {
            "messages": change["messages"],
            "before": ", ".join(change["before"]) or "no action",
            "after": ", ".join(change["after"]) or "no action",
            "example": change["ids"][0],
        }
        for change in answer["changes"]
    ]
    lines += table(rows) if rows else []
    return lines + [f'SHADOW "{name}" would have matched {count:,}' for name, count in answer["shadow"].items()]


def _ago(text: str) -> float:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise NotDone(f'--since is "{text}"; write a number and s, m, h or d, as 1h')
    return int(match[1]) * _SECONDS[match[2]]
