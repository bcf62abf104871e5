"""The collector for Prometheus: what the store has counted, and how the deployment stands.

It reads the store when it is scraped, and counts nothing by itself: every
process that exports tells the same. It costs a scrape a handful of commands,
however many entries, locks or runs there are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from celery_singleton_beat.adapters.about import versions
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.errors import ConfigurationError, StoreError
from celery_singleton_beat.operate.fleet_view import FleetView, fleet_view
from celery_singleton_beat.operate.metric_table import (
    BOUNDS_MS,
    COUNTERS,
    DISTRIBUTIONS,
    GAUGES,
    INFO,
    NAMESPACE,
    OTHER,
    UP,
    Counter,
    Distribution,
)
from celery_singleton_beat.protocol.statistics import TOTAL, Counts, Histogram, entry_subject

if TYPE_CHECKING:
    from celery import Celery

_logger = logging.getLogger(__name__)

ENTRIES: Final = 50
"""So many entries have series of their own, unless it is said otherwise."""

MOST_ENTRIES: Final = 1000


class SingletonCollector(Collector):
    """The metrics of an app's beats and runs, for a registry of ``prometheus_client``.

    ``entries`` says which entries have series of their own: that many of
    ``beat_schedule``, the first by name, or exactly those of these names, stored
    ones too. All others, and runs of no entry, are told together, as the entry
    ``"other"``. The choice is made here and does not change, so that no series
    falls.

    A scrape never raises: while the store does not answer,
    ``celery_singleton_beat_up`` is 0 and nothing else is told.

    Raises:
        ConfigurationError: there is no store, or more entries are asked for than 1,000.
    """

    def __init__(self, app: Celery, *, entries: int | Sequence[str] = ENTRIES) -> None:
        self._extension = extension_of(app)
        self._extension.store_url  # noqa: B018  # says now what is missing in the settings
        if isinstance(entries, int):
            chosen: Sequence[str] = sorted(map(str, app.conf.beat_schedule))[:entries]
        else:
            chosen = [entries] if isinstance(entries, str) else entries
        # A series of its own for this one could not be told from that of all the others.
        self._entries = [str(name) for name in dict.fromkeys(chosen) if name != OTHER]
        if len(self._entries) > MOST_ENTRIES:
            msg = (
                f"{len(self._entries)} entries with series of their own are too many for "
                f"Prometheus: give at most {MOST_ENTRIES} names, all others are told together"
            )
            raise ConfigurationError(msg)

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without asking the store."""
        return [_up(0), _info(None), *_gauges(None), *_counted({})]

    def collect(self) -> Iterator[Metric]:
        """Ask the store, and tell all metrics."""
        try:
            fleet = fleet_view(self._extension, self._extension.store.overview(), "")
            counts = self._counts()
        except StoreError as error:
            _logger.warning("The store cannot be read: %s", error)
            yield _up(0)
            return
        except Exception:
            # Prometheus shows a page that says so; of an error it shows that there was one.
            _logger.exception("The metrics could not be made")
            yield _up(0)
            return
        yield _up(1)
        yield _info(fleet)
        yield from _gauges(fleet)
        yield from _counted(counts)

    def _counts(self) -> dict[str, Counts]:
        """What was counted of each entry that is told by itself, and of the rest."""
        subjects = [TOTAL, *map(entry_subject, self._entries)]
        total, *counts = self._extension.store.counts(subjects)
        by_entry = dict(zip(self._entries, counts, strict=True))
        return {**by_entry, OTHER: _without(total, counts)}


def _up(value: float) -> Metric:
    return GaugeMetricFamily(NAMESPACE + UP[0], UP[1], value=value)


def _info(fleet: FleetView | None) -> Metric:
    family = InfoMetricFamily(NAMESPACE + INFO[0], INFO[1])
    if fleet is not None:
        version = versions()["celery-singleton-beat"]
        family.add_metric([], {"app": fleet.app, "version": version, "schema": str(fleet.schema)})
    return family


def _gauges(fleet: FleetView | None) -> Iterator[Metric]:
    for gauge in GAUGES:
        labels = [gauge.label] if gauge.label else []
        family = GaugeMetricFamily(NAMESPACE + gauge.name, gauge.help, labels=labels)
        for value, number in gauge.values(fleet).items() if fleet is not None else ():
            family.add_metric([value] if labels else [], float(number))
        yield family


def _counted(counts: Mapping[str, Counts]) -> Iterator[Metric]:
    for counter in COUNTERS:
        yield _counter_family(counter, counts)
    for distribution in DISTRIBUTIONS:
        yield _histogram_family(distribution, counts)


def _counter_family(counter: Counter, counts: Mapping[str, Counts]) -> Metric:
    labels = ["entry", counter.label] if counter.label else ["entry"]
    family = CounterMetricFamily(NAMESPACE + counter.name, counter.help, labels=labels)
    for entry, of in counts.items():
        for value, number in counter.values(of):
            family.add_metric([entry, value][: len(labels)], number)
    return family


def _histogram_family(distribution: Distribution, counts: Mapping[str, Counts]) -> Metric:
    family = HistogramMetricFamily(
        NAMESPACE + distribution.name, distribution.help, labels=["entry"]
    )
    for entry, of in counts.items():
        histogram = distribution.of(of)
        family.add_metric([entry], _buckets(histogram), sum_value=histogram.sum_ms / 1000)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """How many were below each bound. A duration is of whole milliseconds, rounded down."""
    found: list[tuple[str, float]] = [
        (str(bound_ms / 1000), histogram.at_most(bound_ms - 1)) for bound_ms in BOUNDS_MS
    ]
    return [*found, ("+Inf", histogram.count)]


def _without(total: Counts, counts: Sequence[Counts]) -> Counts:
    """What was counted of all but these."""
    facts = {
        kind: max(many - sum(of[kind] for of in counts), 0) for kind, many in total.facts.items()
    }
    return Counts(
        facts,
        _rest(total.lag, [of.lag for of in counts]),
        _rest(total.run_time, [of.run_time for of in counts]),
    )


def _rest(total: Histogram, parts: Sequence[Histogram]) -> Histogram:
    buckets = dict(total.buckets)
    for part in parts:
        for bound_ms, many in part.buckets:
            buckets[bound_ms] = max(buckets.get(bound_ms, 0) - many, 0)
    sum_ms = max(total.sum_ms - sum(part.sum_ms for part in parts), 0)
    return Histogram(sum(buckets.values()), sum_ms, tuple(sorted(buckets.items())))
