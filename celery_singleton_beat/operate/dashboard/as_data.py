"""What pages show, as data for JSON, and facts as people read them."""

from __future__ import annotations

from typing import Any

from celery_singleton_beat.operate.dashboard.listing import Cut
from celery_singleton_beat.operate.dashboard.looking import Pulse
from celery_singleton_beat.operate.dashboard.marks import Lane
from celery_singleton_beat.operate.dashboard.runs import Run
from celery_singleton_beat.operate.words import duration
from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.protocol.history import Fact, LeftOut


def now_of(pulse: Pulse) -> int:
    """The store's time when it was looked at."""
    return round(pulse.fleet.now.timestamp() * 1000)


def note_of(fact: Fact) -> str:
    """A fact's note, as a person reads it."""
    if fact.kind in {"succeeded", "failed", "retrying", "interrupted"} and fact.note.isdigit():
        return f"after {duration(int(fact.note))}"
    if fact.kind == "superseded":
        left_out = LeftOut.from_note(fact.note)
        by = left_out.by
        reason = "a later one stands for them" if by.isdigit() else by or "too late"
        return f"{left_out.many} occurrences: {reason}" if left_out.many else reason
    if fact.kind == "started" and fact.run and fact.run in fact.note:
        return ""  # a key of its own says nothing
    return fact.note


def about_of(about: About) -> list[tuple[str, str]]:
    """What a replica tells of itself, in pairs to read; its name has its host and process."""
    pairs = [("broker", about.broker), *about.versions.items()]
    if about.ahead_ms is not None:
        sign = "+" if about.ahead_ms > 0 else "-" if about.ahead_ms < 0 else ""
        pairs.append(("clock", f"{sign}{duration(abs(about.ahead_ms))}"))
    return [(name, value) for name, value in pairs if value]


def run_data(run: Run) -> dict[str, Any]:
    """A run, for JSON."""
    return {
        "run": run.run,
        "entry": run.entry,
        "scheduled_ms": run.scheduled_ms,
        "published_ms": run.published_ms,
        "dispatcher": run.dispatcher,
        "worker": run.worker,
        "cause": run.cause,
        "outcome": run.outcome,
        "bodies": len(run.bodies),
        "began_late_ms": run.began_late_ms,
        "took_ms": run.took_ms,
    }


def lane_data(lane: Lane) -> dict[str, Any]:
    """A lane, for JSON."""
    return {
        "entry": lane.name,
        "summary": [note.text for note in lane.summary],
        "has_trouble": lane.has_trouble,
        "runs": [run_data(run) for run in lane.runs],
    }


def cut_data(page: Cut[Any]) -> dict[str, int]:
    """Which page of a list it is, for JSON."""
    return {"page": page.page, "pages": page.pages, "total": page.total}
