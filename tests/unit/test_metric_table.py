"""The table of metrics in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from celery import Celery

from celery_singleton_beat.operate.metric_table import metrics_table
from celery_singleton_beat.operate.metrics import SingletonCollector

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*) \| (.*) \|$", re.MULTILINE)


def collected() -> dict[str, Any]:
    """The families of a collector, by the names that the page gives them."""
    app = Celery("shop", set_as_current=False)
    app.conf.singleton_beat_redis_url = "memory://"
    endings = {"counter": "_total", "info": "_info"}
    return {
        family.name + endings.get(family.type, ""): family
        for family in SingletonCollector(app).collect()
    }


def test_the_page_has_the_table_of_the_code() -> None:
    assert metrics_table() in PAGE.read_text(encoding="utf-8")


def test_the_table_tells_what_a_collector_collects() -> None:
    """Names, types, help, labels, and each value of each label but those of the user's."""
    told = {name: rest for name, *rest in ROW.findall(metrics_table())}
    families = collected()

    assert set(told) == set(families)
    for name, (kind, labels, meaning) in told.items():
        family = families[name]
        assert (kind, meaning) == (family.type, family.documentation)
        shown = {
            label.strip("`"): values for label, values in re.findall(r"`(\w+)`:? ?([^;]*)", labels)
        }
        samples = [sample for sample in family.samples if not sample.name.endswith("_bucket")]
        for sample in samples:
            assert set(sample.labels) == set(shown), name
        for label, values in shown.items():
            if values:
                assert set(values.split(", ")) == {sample.labels[label] for sample in samples}


def test_to_describe_a_collector_asks_nobody_and_names_all() -> None:
    app = Celery("shop", set_as_current=False)
    app.conf.singleton_beat_redis_url = "redis://127.0.0.1:1/0"

    described = {family.name for family in SingletonCollector(app).describe()}

    assert described == {family.name for family in collected().values()}
