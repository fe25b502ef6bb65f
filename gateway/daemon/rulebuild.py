"""Compile rule files against what is configured, run their TESTs, say what changed; or all that is wrong.

The start, `oclaw check`, a reload and the commands of `oclaw rules` all come through here, so nothing goes live
that one of them would refuse. May take seconds at 100,000 rules: not on the loop.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct

from gateway.config.settings import Settings
from gateway.daemon.rulefiles import FolderLoader
from gateway.flow.actions import InstalledAction
from gateway.flow.vocabulary import vocabulary
from rules import Rejected, RuleRef, Ruleset, Vocabulary, load

# A terminal's worth several times over; what is wrong is mended from the top.
MOST_PROBLEMS = 200
# Of each kind of change, so many are named in a log line.
MOST_NAMED = 20
# What took longer to build stands on so much that no collection may walk through it again: 20 to 60 ms each time.
LARGE_SECONDS = 0.03
# How long another thread may compute before the loop gets its turn; Python's own 5 ms, paid at every
# socket call of the loop, would let a compile of seconds take most of the gateway's throughput.
TURN_SECONDS = 0.0001
BREATH_SECONDS = 0.001


class Compiled(Struct, frozen=True):
    """A ruleset that may serve, and how it differs from the one before."""

    ruleset: Ruleset
    changes: tuple[str, ...] = ()
    added: tuple[RuleRef, ...] = ()
    removed: tuple[RuleRef, ...] = ()
    changed: tuple[RuleRef, ...] = ()


class Wrong(Struct, frozen=True):
    """Everything that keeps rule files from serving, each as lines for a person."""

    problems: tuple[str, ...]


def words_of(
    settings: Settings, pipelines: Iterable[str], models: Iterable[str], actions: Mapping[str, InstalledAction]
) -> Vocabulary:
    """Return what rules may speak of in this configuration."""
    more = {name: action.spec for name, action in actions.items()}
    return vocabulary(pipelines=pipelines, models=models, channels=settings.channels, more=more)


def compiled(files: Mapping[str, bytes], words: Vocabulary, loader: FolderLoader) -> Compiled | Wrong:
    """Compile rule files from nothing."""
    with unhurried():
        made = load(files, words, loader)
        if isinstance(made, Rejected):
            return _wrong(made)
        return _tested(made) or Compiled(made)


def recompiled(
    old: Ruleset, known: Mapping[str, bytes], files: Mapping[str, bytes], words: Vocabulary | None = None
) -> Compiled | Wrong:
    """Compile edited rule files, at the price of the edit where that is possible; `old` is left as it is.

    `known` are the bytes that `old` was made of.
    """
    from rules import reload

    with unhurried():
        texts = {name: old.sources[name] if known.get(name) == content else content for name, content in files.items()}
        breathe = Breath()
        done = reload(old, texts, words, breathe=breathe)
        if isinstance(done, Rejected):
            return _wrong(done)
        wrong = _tested(done.ruleset)
        if wrong:
            done.ruleset.discard(old, breathe)
            return wrong
        changes = (
            *_named("added", done.added),
            *_named("removed", done.removed),
            *_named("changed", done.changed),
            *(
                f"list {name} changed"
                for name, lines in done.ruleset.lists.items()
                if old.lists.get(name, lines) != lines
            ),
        )
        return Compiled(done.ruleset, changes, done.added, done.removed, done.changed)


class Breath:
    """Rests as long as it computed, a millisecond each: a loop under load needs most of the one interpreter."""

    def __init__(self) -> None:
        self._since = time.thread_time()

    def __call__(self) -> None:
        """Rest when this thread has computed for a millisecond since the last rest."""
        if time.thread_time() - self._since > BREATH_SECONDS:
            time.sleep(BREATH_SECONDS)
            self._since = time.thread_time()


class _Hurry:
    """How many compute unhurriedly at once, and what the process goes back to after the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._many, self._turn, self._collecting = 0, 0.0, False

    def enter(self) -> None:
        with self._lock:
            if not self._many:
                self._turn, self._collecting = sys.getswitchinterval(), gc.isenabled()
                sys.setswitchinterval(TURN_SECONDS)
                gc.disable()
            self._many += 1

    def leave(self, *, freeze: bool) -> None:
        with self._lock:
            self._many -= 1
            if freeze:
                gc.freeze()  # a full collection over 100,000 rules would hold the loop for 250 ms
            if not self._many:
                sys.setswitchinterval(self._turn)
                if self._collecting:
                    gc.enable()


_HURRY = _Hurry()


@contextmanager
def unhurried() -> Iterator[None]:
    """Compute beside a loop that must go on: short turns, and no collection of what is being built."""
    began = time.thread_time()
    _HURRY.enter()
    try:
        yield
    finally:
        _HURRY.leave(freeze=time.thread_time() - began > LARGE_SECONDS)


def _tested(ruleset: Ruleset) -> Wrong | None:
    if not any(places.tests for places in ruleset.places.values()):
        return None  # and the tools that run TESTs are not even imported
    from rules import run_tests

    outcomes = run_tests(ruleset)
    if isinstance(outcomes, Rejected):
        return _wrong(outcomes)
    failed = [
        f'{one.file}:{one.line}: TEST "{one.name}" fails: {failure}' for one in outcomes for failure in one.failures
    ]
    return Wrong(_bounded(failed)) if failed else None


def _wrong(rejected: Rejected) -> Wrong:
    shown = [problem.render() for problem in rejected.problems[: MOST_PROBLEMS + 1]]
    return Wrong(_bounded(shown, len(rejected.problems)))


def _bounded(problems: list[str], total: int = 0) -> tuple[str, ...]:
    total = total or len(problems)
    if total <= MOST_PROBLEMS:
        return tuple(problems)
    return (*problems[:MOST_PROBLEMS], f"and {total - MOST_PROBLEMS} more problems")


def _named(what: str, rules: tuple[RuleRef, ...]) -> tuple[str, ...]:
    """Name the rules that were added, removed or changed; one without a name by its place."""
    named = tuple(
        [
            f'rule "{ref.name}" {what} ({ref.file}:{ref.line})'
            if ref.named
            else f"rule at {ref.file}:{ref.line} {what}"
            for ref in rules[:MOST_NAMED]
        ]
    )
    rest = len(rules) - MOST_NAMED
    return (*named, f"and {rest} more rules {what}") if rest > 0 else named
