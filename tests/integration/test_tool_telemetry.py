"""OpenTelemetry's Celery instrumentation beside us: publish and run are one trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.timetabled import Timetabled
from tests.integration.workers import ENOUGH

if TYPE_CHECKING:
    import pathlib

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import Processes


class Traced(Timetabled):
    """A shop whose beats and workers are instrumented, and the spans they export."""

    module = "tests.integration.telemetry_app"

    def wait_spans(self, run: str, names: set[str]) -> dict[str, dict[str, Any]]:
        """The spans of a run by their names, once it has these."""

        def spans() -> dict[str, dict[str, Any]]:
            told = [fact["told"] for fact in self.witness.facts() if fact["kind"] == "span"]
            return {span["name"]: span for span in told if span["message"] == run}

        self.witness.wait_until(lambda _: names <= set(spans()), ENOUGH)
        return spans()


@pytest.fixture
def traced(
    own_redis: EmbeddedServer, processes: Processes, tmp_path: pathlib.Path
) -> Iterator[Traced]:
    shop = Traced(own_redis, processes, tmp_path)
    yield shop
    shop.close()


SENT_AND_RUN = {"apply_async/shop.early", "run/shop.early"}


def assert_linked(spans: dict[str, dict[str, Any]]) -> None:
    sent, run = spans["apply_async/shop.early"], spans["run/shop.early"]
    assert (sent["kind"], run["kind"]) == ("PRODUCER", "CONSUMER")
    assert sent["parent"] is None
    assert (run["trace"], run["parent"]) == (sent["trace"], sent["id"])


def test_a_run_continues_the_trace_of_its_dispatch(traced: Traced) -> None:
    traced.beat()
    traced.worker()

    run = traced.asked("seen", "shop.early", "one")

    assert_linked(traced.wait_spans(run, SENT_AND_RUN))


def test_a_run_that_gives_way_ends_its_span_and_spoils_no_other(traced: Traced) -> None:
    traced.beat()
    traced.worker()
    traced.send("early", "one", ("gate", "g"))
    traced.began("one")

    skipped = traced.asked("second", "shop.early", "one")
    spans = traced.wait_spans(skipped, SENT_AND_RUN)
    following = traced.asked("third", "shop.early", "two")

    assert_linked(spans)
    assert spans["run/shop.early"]["status"] != "ERROR"
    assert_linked(traced.wait_spans(following, SENT_AND_RUN))


def test_what_could_not_be_sent_is_no_part_of_what_was_sent_after_it(traced: Traced) -> None:
    """Its span is never ended, and would be the parent of all that this beat sends."""
    beat = traced.beat()
    traced.worker()
    traced.asked("unsendable", "shop.early", "one", options={"serializer": "of nobody"})
    beat.wait_for("An entry could not be dispatched", ENOUGH)

    run = traced.asked("seen", "shop.early", "two")

    assert_linked(traced.wait_spans(run, SENT_AND_RUN))
