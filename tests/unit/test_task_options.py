"""The options of a SingletonTask: what is read, what is refused, what is locked."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from celery_singleton_beat import ConfigurationError, DuplicateLockKey, SingletonTask
from celery_singleton_beat.adapters.entries import read_entry, timing_of
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.options import TaskOptions, lock_key_of
from celery_singleton_beat.adapters.ticket import (
    from_ticket,
    is_singleton,
    new_attempt,
    occurrence_of,
    to_ticket,
)
from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.protocol.occurrence import HEADER, Occurrence
from celery_singleton_beat.protocol.run import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeTask = Callable[..., Any]

AT_NINE = Occurrence("nightly", 1_700_000_000_000, not_after_ms=1_700_000_600_000)


@pytest.fixture
def app() -> Celery:
    return Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)


@pytest.fixture
def make_task(app: Celery) -> MakeTask:
    """A maker of tasks `(customer, *, kind="all")` with these options."""

    def make(name: str = "shop.report", **options: Any) -> Any:
        @app.task(**{"name": name, "base": SingletonTask, "shared": False, **options})
        def report(customer: Any, *, kind: str = "all") -> None:
            del customer, kind

        return app.tasks[name]

    return make


def key_of(task: Any, *args: Any, occurrence: Occurrence | None = None, **kwargs: Any) -> str:
    """What a call of a task locks."""
    return lock_key_of(task, task.singleton_options, args, kwargs, occurrence)


def test_what_a_task_leaves_out_comes_from_the_settings(app: Celery, make_task: MakeTask) -> None:
    """S0-09, S0-10, S4-01, S4-02."""
    app.conf.update(
        singleton_beat_lock_ttl=12,
        singleton_beat_on_locked="retry",
        singleton_beat_lock_retries=3,
        singleton_beat_lock_retry_delay=0.5,
        singleton_beat_on_store_outage="run",
        singleton_beat_dedupe_window=90,
    )

    options = make_task().singleton_options

    assert options == TaskOptions(None, 12_000, 4000, "retry", 3, 500, "run", 90_000)


def test_what_a_task_says_goes_before_the_settings(app: Celery, make_task: MakeTask) -> None:
    """S0-09..S0-11, S4-01..S4-05: durations in seconds or as timedeltas."""
    app.conf.update(singleton_beat_lock_ttl=12, singleton_beat_on_locked="retry")

    options = make_task(
        lock_key="report:{customer}",
        lock_ttl=timedelta(minutes=2),
        on_locked="skip",
        lock_retries=0,
        lock_retry_delay=2,
        on_store_outage="skip",
    ).singleton_options

    expected = TaskOptions("report:{customer}", 120_000, 40_000, "skip", 0, 2000, "skip", 600_000)
    assert options == expected


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("lock_ttl", 0, r"lock_ttl of task shop.report \(0\) must be at least 0.001 seconds"),
        ("lock_ttl", -1, r"lock_ttl of task shop.report \(-1\) must be at least"),
        ("lock_ttl", 300_000, "write 300 if these were milliseconds"),
        ("lock_ttl", "1", "lock_ttl of task shop.report must be a number of seconds"),
        ("lock_ttl", 2, r"must be at least three times singleton_beat_renew_every \(1\)"),
        ("on_locked", "wait", r"on_locked of task shop.report \('wait'\) must be one of 'skip'"),
        ("on_store_outage", "", "on_store_outage of task shop.report"),
        ("lock_retries", -1, r"lock_retries of task shop.report \(-1\) must be at least 0"),
        ("lock_retries", 1.5, "lock_retries of task shop.report must be a whole number"),
        ("lock_retry_delay", 0, "lock_retry_delay of task shop.report"),
        ("singleton", "no", "singleton of task shop.report must be True or False, not 'no'"),
        ("singleton", 0, "singleton of task shop.report must be True or False, not 0"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(
    app: Celery, make_task: MakeTask, option: str, value: object, text: str
) -> None:
    """C2, F13, S4-05, S4-13."""
    app.conf.singleton_beat_renew_every = 1
    task = make_task(**{option: value})

    with pytest.raises(ConfigurationError, match=text):
        task.singleton_options  # noqa: B018  # reading it checks


def test_two_tasks_with_one_explicit_key_are_refused(make_task: MakeTask) -> None:
    """S4-13: both are named; reading one of them twice is fine."""
    first, second = make_task("one", lock_key="k"), make_task("two", lock_key="k")
    assert first.singleton_options is first.singleton_options

    with pytest.raises(DuplicateLockKey, match="tasks one and two have the same lock_key 'k'"):
        second.singleton_options  # noqa: B018  # reading it checks


def test_by_default_a_task_locks_its_name_and_an_occurrence_its_entry_too(
    make_task: MakeTask,
) -> None:
    """S0-28, S1-21, C12: two entries of one task do not exclude each other."""
    task = make_task()

    assert key_of(task, 7) == "shop.report"
    assert key_of(task, 7, occurrence=AT_NINE) == "shop.report:nightly"


def test_a_lock_key_of_its_own_goes_for_all_entries(make_task: MakeTask) -> None:
    """S4-01."""
    task = make_task(lock_key="r:{customer}:{kind}")

    assert key_of(task, 7, occurrence=AT_NINE) == key_of(task, 7) == "r:7:all"


def test_an_attempt_is_named_after_its_message(make_task: MakeTask) -> None:
    """S0-12, S0-22: its holder is new each time, its run is not."""
    task = make_task(lock_ttl=9)
    message = {"id": "r1", "retries": 2, "hostname": "w@h", HEADER: AT_NINE.to_header()}

    first, second = (new_attempt(task, message, (7,), {}) for _ in range(2))

    assert occurrence_of(message) == AT_NINE
    assert (first.run, first.attempt, first.owner, first.ttl_ms) == ("r1", 2, "w@h", 9000)
    assert (first.key, first.not_after_ms) == ("shop.report:nightly", AT_NINE.not_after_ms)
    assert first.holder != second.holder


@pytest.mark.parametrize("header", [None, 7, {}, {"entry": 1}, {"entry": "x", "scheduled_ms": "y"}])
def test_a_header_that_is_none_of_ours_makes_an_ad_hoc_run(
    make_task: MakeTask, header: object
) -> None:
    """S2-20: whatever a foreign client puts there."""
    message = {"id": "r1", HEADER: header}

    attempt = new_attempt(make_task(), message, (7,), {})

    assert occurrence_of(message) is None
    assert (attempt.key, attempt.not_after_ms) == ("shop.report", 0)


def test_a_ticket_is_good_for_the_board_that_it_names(make_task: MakeTask) -> None:
    header = replace(AT_NINE, is_awaited=True, window_ms=7).to_header()
    message = {"id": "r1", "retries": 2, "hostname": "w@h", HEADER: header}
    attempt = new_attempt(make_task(), message, (7,), {})

    ticket = to_ticket(attempt, 5, "b1")

    assert from_ticket(ticket, "b1") == (attempt, 5)
    assert from_ticket(ticket, "b2") is None
    assert from_ticket(None, "b1") is None


def test_a_ticket_leaves_out_no_field_of_its_attempt() -> None:
    values = [f"value {number}" for number, _ in enumerate(fields(Attempt))]

    ticket = to_ticket(Attempt(*values), 5, "b1")  # type: ignore[arg-type]

    assert list(ticket[2:]) == values


def test_a_task_class_for_all_leaves_celerys_own_tasks_as_they_are(app: Celery) -> None:
    """S4-14."""
    whole = Celery("all", task_cls=SingletonTask, set_as_current=False)
    whole.finalize()
    app.finalize()

    own = {name for name in whole.tasks if not is_singleton(whole.tasks[name])}

    assert {"celery.chord_unlock", "celery.map", "celery.backend_cleanup"} <= own
    assert not is_singleton(app.tasks["celery.map"])


def test_a_task_opts_out_by_its_option_or_its_base(make_task: MakeTask) -> None:
    """S4-14, S4-20: what its other options say is nothing then."""

    class Plain(SingletonTask):
        abstract = True
        singleton = False

    assert is_singleton(make_task("one"))
    assert is_singleton(make_task("two", singleton=True))
    assert is_singleton(make_task("three", base=Plain, singleton=True))
    assert not is_singleton(make_task("four", singleton=False, lock_key="{nobody}"))
    assert not is_singleton(make_task("five", base=Plain))


def test_an_occurrence_is_not_awaited_where_nobody_would_know_it_again(
    app: Celery, make_task: MakeTask
) -> None:
    """S4-14, F7: a second message of a task that has opted out would run it twice."""
    make_task("ours"), make_task("plain", singleton=False)
    app.conf.singleton_beat_start_deadline = 20
    settings = extension_of(app).settings

    lines = {name: {"task": name, "schedule": 60.0} for name in ("ours", "plain")}
    entries = {name: read_entry(app, name, line) for name, line in lines.items()}
    asking = read_entry(app, "plain", {**lines["plain"], "start_deadline": 5})

    waits = {name: timing_of(app, entry, settings) for name, entry in entries.items()}
    assert waits["ours"].start_deadline_ms == 20_000
    assert waits["plain"].start_deadline_ms is None
    with pytest.raises(EntryError, match="start_deadline of entry 'plain': task 'plain' is not"):
        timing_of(app, asking, settings)
