"""Where long work may rest, and how large things are let go of piece by piece.

A host whose other threads must go on hands in a `Breathe` that sleeps now and then; it is called every few
microseconds. Nothing that holds the interpreter for long may be done between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Any  # mappings and lists of anything

Breathe = Callable[[], None]
# Sorting so many tuples takes 2 ms.
SORTED_AT_ONCE = 4096


def at_once() -> None:
    """Do not rest."""


def empty(mapping: dict[Any, Any], breathe: Breathe) -> None:
    """Take everything out, one by one: freeing 100,000 entries whole holds the interpreter for 60 ms."""
    while mapping:
        mapping.popitem()
        breathe()


def in_order(pairs: list[Any], breathe: Breathe) -> Iterator[Any]:
    """The elements in order, out of a list that is emptied; sorting 100,000 at once holds the interpreter for 40 ms."""
    runs: list[Iterable[Any]] = []
    while pairs:
        runs.append(sorted(pairs[-SORTED_AT_ONCE:]))
        del pairs[-SORTED_AT_ONCE:]
        breathe()
    return merge(*runs)
