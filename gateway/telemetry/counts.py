"""Count notices in plain integers: what the hot path pays for metrics, well under a microsecond each.

Nothing here knows Prometheus; `metrics.py` reads these numbers when somebody scrapes.
Which notice moves which number stands in `book.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

Labels = tuple[str, ...]

# A label's values may come from outside (an unknown event's kind); beyond this many, new ones count as "other".
MOST_SERIES = 500

# Around the promises: 5 ms at p99, the 200 ms deadline, and the doubling above it.
OVERHEAD_BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
DELIVERY_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3600.0)
STEP_BOUNDS = (0.00001, 0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Counter:
    """Numbers that only grow, one for each combination of label values."""

    __slots__ = ("help", "labels", "name", "values")

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self.help, self.labels = name, text, labels
        self.values: dict[Labels, int] = {}

    def add(self, *values: str, times: int = 1) -> None:
        """Count one, or so many at once."""
        try:
            self.values[values] += times
        except KeyError:
            key = values if len(self.values) < MOST_SERIES else ("other",) * len(values)
            self.values[key] = self.values.get(key, 0) + times

    def by(self, *fields: str) -> Callable[[Any], None]:
        """Return what counts a notice under the values of these fields."""
        if len(fields) != 1:
            return lambda notice: self.add(*[getattr(notice, field) for field in fields])
        values, value_of = self.values, attrgetter(*fields)

        def count(notice: Any) -> None:
            key = (value_of(notice),)
            if key in values:
                values[key] += 1
            else:
                self.add(*key)

        return count

    def expect(self, *values: str) -> None:
        """Show these labels with 0 from now on: a rate can only be taken of what was there before."""
        if len(self.values) < MOST_SERIES:
            self.values.setdefault(values, 0)

    def total(self) -> int:
        """Sum over all label values."""
        return sum(self.values.values())


class Series:
    """One histogram's numbers: how many fell at or below each bound (and above all), and their sum."""

    __slots__ = ("buckets", "total")

    def __init__(self, size: int) -> None:
        self.buckets = [0] * size
        self.total = 0.0


class Histogram:
    """How long things took, one `Series` for each combination of label values."""

    __slots__ = ("bounds", "help", "labels", "name", "series")

    def __init__(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> None:
        self.name, self.help, self.labels, self.bounds = name, text, labels, tuple(bounds)
        self.series: dict[Labels, Series] = {}

    def observe(self, seconds: float, *values: str) -> None:
        """Count one duration."""
        series = self.series.get(values) or self._new(values)
        series.buckets[bisect_left(self.bounds, seconds)] += 1
        series.total += seconds

    def quantile(self, share: float) -> float:
        """Return the bound under which `share` of all durations lie; 0 when there are none, inf above the last."""
        sums = [sum(column) for column in zip(*(one.buckets for one in self.series.values()), strict=True)]
        wanted, seen = share * sum(sums), 0
        for bound, count in zip((*self.bounds, float("inf")), sums, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return 0.0

    def _new(self, values: Labels) -> Series:
        key = values if len(self.series) < MOST_SERIES else ("other",) * len(values)
        return self.series.setdefault(key, Series(len(self.bounds) + 1))
