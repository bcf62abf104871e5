"""``history`` and ``stats``: what happened, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.operate.completion import complete_entry, complete_lock
from celery_singleton_beat.operate.output import (
    WRONG,
    Cell,
    Column,
    command,
    record,
    stop,
    table,
    the_reading,
)
from celery_singleton_beat.operate.words import duration, moment
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.recurrences.bounds import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_singleton_beat.operate.figures import Figures
    from celery_singleton_beat.operate.reading import Reading
    from celery_singleton_beat.operate.tables import Tone, Value

_TONES: dict[str, Tone] = {
    "succeeded": "good",
    "failed": "bad",
    "dispatch_failed": "bad",
    "lost": "bad",
    "given up": "bad",
    "dropped": "bad",
    "refused": "warning",
    "skipped": "warning",
    "superseded": "warning",
    "interrupted": "warning",
}
_ENDED = ("succeeded", "failed", "retrying", "interrupted")
_FIGURES = (
    Column("of", may_fold=True),
    *(
        Column(title, is_number=True)
        for title in (
            *("sent", "begun", "ok", "failed", "skipped", "left out", "lost", "got"),
            *("lag p50", "lag p99", "run p50", "run p99"),
        )
    ),
)
_OF_ENTRIES = ("sent", "left out", "lag p50", "lag p99")


@command(
    "history", examples="history\nhistory acme:nightly --limit 10\nhistory --kind failed --json"
)
@click.argument("name", required=False, shell_complete=complete_entry)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="Look at the last so many.",
)
@click.option("--kind", "kinds", multiple=True, help="Only facts of this kind; repeatable.")
def history(*, name: str | None, limit: int, kinds: tuple[str, ...]) -> None:
    """List what happened, the newest first: of one entry, or of all.

    How much is kept the settings singleton_beat_history and
    singleton_beat_entry_history say.
    """
    reading = the_reading()
    facts = reading.history(limit, name or "")
    if name is not None and not facts:
        _see_that_it_is_there(reading, name)
    columns = [
        Column("at (UTC)"),
        Column("what"),
        Column("entry", may_fold=True),
        Column("scheduled (UTC)"),
        Column("note", may_fold=True),
        Column("by", may_fold=True),
        Column("run", may_fold=True),
    ]
    found = [fact for fact in facts if not kinds or fact.kind in kinds]
    table(columns, found, _fact_row, _fact_data, empty="Nothing is noted.")


@command(
    "stats",
    examples="stats\nstats acme:nightly\nstats --keys --limit 100 --json\nstats --key report:42",
)
@click.argument("name", required=False, shell_complete=complete_entry)
@click.option("--keys", is_flag=True, help="List lock keys instead of entries.")
@click.option("--key", shell_complete=complete_lock, help="All of one lock key.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="List so many, those first to which something happened last.",
)
def stats(*, name: str | None, keys: bool, key: str | None, limit: int) -> None:
    """Tell how often what happened, how late, and for how long bodies ran.

    In all and by entries, or by lock keys; with a name all that is known of that
    one. Lag is from the scheduled time to the publish. "Got" is how many of the
    tries to take a lock key had it. What is counted is bounded by the setting
    singleton_beat_statistics.
    """
    reading = the_reading()
    if name is not None or key is not None:
        if key is not None and name is not None:
            stop("give the name of an entry, or --key: not both", WRONG)
        (one,) = reading.figures([("key", key)] if key is not None else [("entry", name or "")])
        if name is not None and not one.facts:
            _see_that_it_is_there(reading, name)
        record(_pairs(one), one.to_data())
        return
    found = reading.all_figures("key" if keys else "entry", limit)
    shown = [column for column in _FIGURES if not (keys and column.title in _OF_ENTRIES)]

    def row(figures: Figures) -> list[Value]:
        cells = dict(zip(_FIGURES, _row(figures), strict=True))
        return [cells[column] for column in shown]

    table(shown, found, row, lambda one: one.to_data(), empty="Nothing was counted yet.")


def _see_that_it_is_there(reading: Reading, name: str) -> None:
    """See that a name of which nothing is known is not mistyped.

    Raises:
        Failure: there is no such entry.
    """
    if not reading.some_entries([name]):
        stop(f"there is no entry {name!r}, and nothing is known of one that was")


def _fact_row(fact: Fact) -> list[Value]:
    note = fact.note
    if fact.kind in _ENDED and note.isdecimal():
        note = f"in {duration(int(note))}"
    return [
        moment(datetime_of(fact.at_ms)),
        Cell(fact.kind.replace("_", " "), _TONES.get(fact.kind, "plain")),
        fact.entry,
        moment(datetime_of(fact.scheduled_ms)) if fact.scheduled_ms else "",
        note,
        fact.by,
        fact.run if fact.attempt < 1 else f"{fact.run} #{fact.attempt}",
    ]


def _fact_data(fact: Fact) -> dict[str, Any]:
    scheduled = datetime_of(fact.scheduled_ms).isoformat() if fact.scheduled_ms else None
    return {
        "at": datetime_of(fact.at_ms).isoformat(),
        "kind": fact.kind,
        "entry": fact.entry,
        "scheduled": scheduled,
        "run": fact.run,
        "attempt": fact.attempt,
        "by": fact.by,
        "note": fact.note,
    }


def _row(one: Figures) -> list[Value]:
    return [
        Cell("everything", "dim") if one.kind == "all" else one.name,
        one.sent,
        one.begun,
        one.succeeded,
        Cell(str(one.failed), "bad") if one.failed else 0,
        one.skipped,
        one.left_out,
        Cell(str(one.lost), "bad") if one.lost else 0,
        "" if one.got is None else f"{one.got:.0%}",
        *(_span(one.lag.percentile(share)) for share in (0.5, 0.99)),
        *(_span(one.run_time.percentile(share)) for share in (0.5, 0.99)),
    ]


def _pairs(one: Figures) -> Iterator[tuple[str, Value]]:
    yield one.kind, one.name
    for kind, count in sorted(one.facts.items()):
        yield kind.replace("_", " "), Cell(str(count), _TONES.get(kind, "plain"))
    if one.got is not None:
        yield "lock key got", f"{one.got:.1%} of the tries"
    for label, histogram in (("lag", one.lag), ("run time", one.run_time)):
        if histogram.count:
            spans = (
                f"{title} {_span(histogram.percentile(share))}"
                for title, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("most", 1.0))
            )
            mean = _span(histogram.sum_ms // histogram.count)
            yield label, f"{', '.join(spans)}, mean {mean}, of {histogram.count}"


def _span(span_ms: int | None) -> str:
    return "" if span_ms is None else duration(span_ms)
