"""The dashboard and the alert rules that are shipped, against what an exporter really shows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from celery import Celery
from prometheus_client import CollectorRegistry, generate_latest

from celery_singleton_beat.operate.metrics import SingletonCollector
from tests.integration.exposition import Page

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"

# What Prometheus adds to each series it scrapes.
OF_THE_TARGET = {"instance", "job"}
SELECTOR = re.compile(r"(celery_singleton_beat_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)")
WORDS = {
    *("sum", "max", "by", "without", "unless", "rate", "increase", "changes", "absent"),
    "histogram_quantile",
}


class Expression(NamedTuple):
    """An expression, where it stands, and the labels of its results that are spoken of there."""

    place: str
    text: str
    shown: set[str]


def dashboard() -> Any:
    return json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))


def rules() -> list[Any]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def expressions() -> Iterator[Expression]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            yield Expression(panel["title"], target["expr"], shown)
    for rule in rules():
        texts = " ".join(rule["annotations"].values())
        yield Expression(rule["alert"], rule["expr"], set(re.findall(r"\$labels\.(\w+)", texts)))


@pytest.fixture
def page(redis_url: str) -> Page:
    """What an exporter shows, of a store where nothing has happened yet."""
    app = Celery("shop", set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url, beat_schedule={"nightly": {}})
    registry = CollectorRegistry()
    registry.register(SingletonCollector(app))
    return Page(generate_latest(registry).decode())


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize("told", EXPRESSIONS, ids=lambda told: told.place)
def test_an_expression_speaks_of_series_that_there_are(page: Page, told: Expression) -> None:
    """From the first scrape on: one that appears with its first event is not seen to grow."""
    there = page.values_of()
    found = SELECTOR.findall(told.text)

    assert found
    for name, matchers in found:
        assert name in there, name
        for label, operator, value in MATCHER.findall(matchers):
            assert label in there[name], (name, label)
            assert value == "$entry" or chosen(operator, value, there[name][label]), value


def chosen(operator: str, value: str, there: set[str]) -> bool:
    """Whether each value that a matcher names is one that there is."""
    named = value.split("|") if operator.endswith("~") else [value]
    return set(named) <= there


@pytest.mark.parametrize("told", EXPRESSIONS, ids=lambda told: told.place)
def test_an_expression_groups_by_labels_that_its_series_have(page: Page, told: Expression) -> None:
    there = page.values_of()
    labels = {label for name, _ in SELECTOR.findall(told.text) for label in there[name]}

    grouped = [
        (word, {label.strip() for label in group.split(",")})
        for word, group in GROUPING.findall(told.text)
    ]
    kept = {label for word, group in grouped if word == "by" for label in group}

    assert all(group <= labels | OF_THE_TARGET for _, group in grouped)
    assert told.shown <= (kept or labels)


@pytest.mark.parametrize("told", EXPRESSIONS, ids=lambda told: told.place)
def test_an_expression_can_be_read(told: Expression) -> None:
    """As far as a few lines can tell: its brackets close, and its words are PromQL's."""
    plain = GROUPING.sub(r"\1", SELECTOR.sub("1", re.sub(r'"[^"]*"', '""', told.text)))
    words = set(re.findall(r"[a-zA-Z_]\w*", re.sub(r"\[[^\]]*\]", "", plain)))

    assert words <= WORDS
    assert balance(told.text) == ""
    ranges = re.findall(r"\[([^\]]*)\]", told.text)
    assert all(re.fullmatch(r"\d+[smhd]|\$__rate_interval", span) for span in ranges)


def balance(text: str) -> str:
    """What is left open."""
    before, rest = None, re.sub(r"[^()\[\]{}]", "", text)
    while before != rest:
        before, rest = rest, re.sub(r"\(\)|\[\]|\{\}", "", rest)
    return rest


@pytest.mark.parametrize("told", EXPRESSIONS, ids=lambda told: told.place)
def test_counters_are_only_looked_at_as_they_grow_and_many_exporters_count_as_one(
    told: Expression,
) -> None:
    counters = re.findall(r"(\w*)\((celery_singleton_beat_\w+(?:_total|_bucket))", told.text)

    assert len(counters) == len(
        re.findall(r"celery_singleton_beat_\w+(?:_total|_bucket)", told.text)
    )
    assert {function for function, _ in counters} <= {"rate", "increase"}
    if "absent" not in told.text:
        assert told.text.count("max without (instance)") == len(SELECTOR.findall(told.text))


def test_every_metric_is_looked_at_by_somebody(page: Page) -> None:
    used = {name for told in EXPRESSIONS for name, _ in SELECTOR.findall(told.text)}
    about = {"celery_singleton_beat_build_info"}
    # Somebody asked for these: the history says who.
    about |= {f"celery_singleton_beat_{name}_total" for name in ASKED_FOR}

    there = {name for name in page.values_of() if not name.endswith(("_sum", "_count"))}

    assert there - used - about == set()


ASKED_FOR = ("requests", "requests_cancelled", "locks_forced")


def test_the_dashboard_is_laid_out() -> None:
    panels = dashboard()["panels"]
    places = Counter(
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert max(places.values()) == 1
    assert max(x for x, _ in places) == 23
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert {v["name"] for v in dashboard()["templating"]["list"]} == {"datasource", "entry"}


def test_an_alert_says_how_bad_it_is_and_what_it_means() -> None:
    found = rules()
    names = [rule["alert"] for rule in found]

    assert len(set(names)) == len(names)
    assert {rule["labels"]["severity"] for rule in found} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in found)
    assert all(re.fullmatch(r"\d+[smhd]", rule.get("for", "0s")) for rule in found)
    assert all(name.startswith("SingletonBeat") for name in names)
