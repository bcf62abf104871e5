"""``health``: an exit code for a probe."""

from __future__ import annotations

import socket

import click

from celery_singleton_beat.errors import StoreUnavailable
from celery_singleton_beat.operate.given import Span
from celery_singleton_beat.operate.health import Health, health_of_beats, health_of_host
from celery_singleton_beat.operate.output import NOT_DONE, command, done, note, the_reading


@command("health", examples="health\nhealth --beats 2 --late 60\nhealth --here --tolerate-outage")
@click.option(
    "--beats",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many beats must be alive.",
)
@click.option(
    "--late",
    type=Span(0, 1_000_000_000),
    default=30.0,
    show_default=True,
    help="How many seconds an entry may be overdue.",
)
@click.option("--here", is_flag=True, help="Only: is the beat of this host alive?")
@click.option(
    "--tolerate-outage",
    is_flag=True,
    help="Be well while the store does not answer: for what restarts a beat.",
)
@click.pass_context
def health(
    ctx: click.Context,
    beats: int,
    late: float,
    here: bool,  # noqa: FBT001
    tolerate_outage: bool,  # noqa: FBT001
) -> None:
    """Tell by the exit code whether beats do their work: for a probe.

    The store answers, beats are alive, and nothing is overdue for long; or, with
    --here, a beat of this host is alive. It takes one command to the store.

    A beat that cannot reach its store waits for it and goes on by itself: a probe
    that would restart it wants --tolerate-outage.

    Exit code 0: well. 1: not well, or not known.
    """
    reading = the_reading()
    try:
        fleet = reading.fleet()
    except StoreUnavailable as error:
        if not tolerate_outage:
            raise
        found = Health(is_well=True, reasons=(f"not known, and let pass: {error}",))
    else:
        if reading.extension.is_in_memory:
            note("The store is memory://, which each process has for itself: this is an empty one.")
        if here:
            found = health_of_host(fleet, socket.gethostname())
        else:
            found = health_of_beats(fleet, least=beats, late_ms=round(late * 1000))
    done(
        ("healthy: " if found.is_well else "not healthy: ") + "; ".join(found.reasons),
        found.to_data(),
    )
    if not found.is_well:
        ctx.exit(NOT_DONE)
