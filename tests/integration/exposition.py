"""A page of metrics, read as Prometheus reads it, and what its linter would say of it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample and its labels."""

BUILD_INFO = "celery_singleton_beat_build_info"
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_info")
# Base units are used, and no type stands in a name.
FOREIGN_WORDS = re.compile(
    r"_(ms|millis|milliseconds|minutes|hours|days|percent|ratio_percent|gauge|counter|histogram)\b"
)


class Page:
    """The families and series of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    @property
    def series(self) -> dict[Series, float]:
        """The value of each series."""
        return {series_of(sample): sample.value for sample in self._samples()}

    def value(self, name: str, **labels: str) -> float:
        """The value of one series."""
        return self.series[name, tuple(sorted(labels.items()))]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name that have these labels."""
        return sum(
            sample.value
            for sample in self._samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def values_of(self) -> dict[str, dict[str, set[str]]]:
        """The values that each label has, by the names of samples."""
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for sample in self._samples():
            found[sample.name]  # it is there, without labels too
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
        return found

    def _samples(self) -> Iterator[Sample]:
        for family in self.families:
            yield from family.samples


def series_of(sample: Sample) -> Series:
    return sample.name, tuple(sorted(sample.labels.items()))


def complaints(page: Page) -> list[str]:
    """What is not as Prometheus' conventions want it."""
    said = []
    for family in page.families:
        said += [f"{family.name}: {text}" for text in _about(family)]
        announced = re.findall(rf"^# TYPE {family.name}(?:_total)? ", page.text, re.MULTILINE)
        if len(announced) != 1:
            said.append(f"{family.name}: announced {len(announced)} times")
    told = Counter(series_of(sample) for family in page.families for sample in family.samples)
    return said + [f"{series}: told {count} times" for series, count in told.items() if count > 1]


def _about(family: Metric) -> Iterator[str]:
    name = family.name
    if not re.fullmatch(r"celery_singleton_beat_[a-z][a-z_]*[a-z]", name):
        yield "no name of ours in snake_case"
    if FOREIGN_WORDS.search(name):
        yield "a unit that is no base unit, or a type"
    if not family.documentation.endswith("."):
        yield "no help"
    if family.type not in {"counter", "gauge", "histogram"}:
        yield f"type {family.type!r}"
    if family.type == "histogram" and not name.endswith("_seconds"):
        yield "a histogram without a unit"
    if family.type == "gauge" and name.endswith(SUFFIXES) and name != BUILD_INFO:
        yield "a gauge that ends as something else"
    for sample in family.samples:
        yield from _about_sample(family, sample)
    yield from _about_buckets(family)


def _about_sample(family: Metric, sample: Sample) -> Iterator[str]:
    if (family.type == "counter") != sample.name.endswith("_total"):
        yield "what ends in _total is a counter, and only that"
    if sample.value < 0:
        yield "a value below zero"
    for label, value in sample.labels.items():
        if not re.fullmatch("[a-z][a-z_]*", label) or not value:
            yield f"label {label}={value!r}"


def _about_buckets(family: Metric) -> Iterator[str]:
    """Buckets are cumulative and end with all."""
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    counts: dict[str, float] = {}
    for sample in family.samples:
        entry = sample.labels.get("entry", "")
        if sample.name.endswith("_bucket"):
            buckets[entry].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[entry] = sample.value
    for entry, found in buckets.items():
        bounds, values = zip(*found, strict=True)
        if list(bounds) != sorted(set(bounds)) or list(values) != sorted(values):
            yield f"buckets of {entry!r} do not rise"
        if bounds[-1] != float("inf") or values[-1] != counts[entry]:
            yield f"the last bucket of {entry!r} is not all"
