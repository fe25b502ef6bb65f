"""Expose the book of numbers to Prometheus, when it asks.

`prometheus_client` costs 68 ms of CPU to import and some milliseconds to render, so both
happen in a worker thread at the first scrape and at every scrape; the loop only copies the
numbers. Gauges are not kept at all: a callback reads each when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from msgspec import Struct

from gateway.message.message import storable
from gateway.telemetry.book import Book
from gateway.telemetry.counts import Histogram, Labels, Series
from gateway.telemetry.process import OwnProcess

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

Read = Callable[[], float | Mapping[str, float] | Mapping[Labels, float]]


class Gauge(Struct, frozen=True):
    """A number that goes up and down. `read` gives one, or one for each value (or tuple of values) of `labels`."""

    name: str
    help: str
    read: Read
    labels: Labels = ()


class Metrics:
    """The answer to a scrape. `gauges` may be extended until the first one."""

    def __init__(self, book: Book, gauges: Iterable[Gauge] = ()) -> None:
        self._book = book
        self.gauges = list(gauges)
        self._families: list[Callable[[], Metric]] = []
        self._registry: CollectorRegistry | None = None
        # One scrape at a time: two renderings side by side would only fight for the same core.
        self._limiter = trio.CapacityLimiter(1)

    async def scrape(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the text, in the format that an `Accept` header prefers."""
        return await trio.to_thread.run_sync(self._render, accept, self._copy(), limiter=self._limiter)

    def collect(self) -> Iterator[Metric]:
        """Be a Prometheus collector: give what the scrape under way has copied."""
        for family in self._families:
            yield family()

    def _copy(self) -> list[Callable[[], Metric]]:
        """Copy every number in the loop's thread, where nobody changes it meanwhile."""
        book = self._book
        counters = [partial(_counter, c.name, c.help, c.labels, dict(c.values)) for c in book.counters()]
        histograms = [partial(_histogram, h, _series_of(h)) for h in book.histograms()]
        gauges = [partial(_gauge, gauge, gauge.read()) for gauge in self.gauges]
        return [*counters, *histograms, *gauges]

    def _render(self, accept: str, families: list[Callable[[], Metric]]) -> tuple[str, bytes]:
        from prometheus_client.exposition import choose_encoder

        self._families = families
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version that is none, such as 1.a, cannot be compared
            encode, content_type = choose_encoder("")
        return content_type, encode(self._own_registry())

    def _own_registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, GCCollector

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            self._registry.register(OwnProcess())
            GCCollector(registry=self._registry)
            self._registry.register(self)
        return self._registry


def _counter(name: str, text: str, labels: Labels, values: dict[Labels, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in (values or ({} if labels else {(): 0})).items():
        family.add_metric(_texts(key), value)
    return family


def _series_of(histogram: Histogram) -> dict[Labels, tuple[list[int], float]]:
    series = histogram.series
    if not series and not histogram.labels:
        series = {(): Series(len(histogram.bounds) + 1)}
    return {key: (list(one.buckets), one.total) for key, one in series.items()}


def _histogram(histogram: Histogram, series: dict[Labels, tuple[list[int], float]]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    for key, (buckets, total) in series.items():
        below, pairs = 0, []
        for bound, count in zip((*histogram.bounds, inf), buckets, strict=True):
            below += count
            pairs.append(("+Inf" if bound == inf else repr(bound), below))
        family.add_metric(_texts(key), pairs, sum_value=total)
    return family


def _gauge(gauge: Gauge, found: float | Mapping[Any, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
    if not isinstance(found, Mapping):
        found = {(): found}
    for key, value in found.items():
        family.add_metric(_texts((key,) if isinstance(key, str) else key), value)
    return family


def _texts(labels: Labels) -> Labels:
    """A label may come from foreign code; one that has no UTF-8 must not cost the whole answer."""
    return tuple(map(storable, labels))
