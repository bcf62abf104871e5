"""``pause``, ``resume``, ``enable`` and ``disable``: what is dispatched, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import click

from celery_singleton_beat.operate.completion import complete_entry, complete_tenant
from celery_singleton_beat.operate.output import (
    WRONG,
    command,
    done,
    stop,
    the_timetable,
    who_option,
)
from celery_singleton_beat.operate.stored_names import see_that_it_is_stored

_names = click.argument("names", nargs=-1, shell_complete=complete_entry)
_all = click.option(
    "--all", "is_all", is_flag=True, help="Everything, the entries of beat_schedule included."
)
_tenant = click.option("--tenant", shell_complete=complete_tenant, help="All that a tenant has.")
_queued = click.option(
    "--cancel-queued", is_flag=True, help="Let nothing begin that is queued of it."
)


@command(
    "pause",
    examples="""
    pause acme:nightly --note 'invoice overdue'
    pause --all
    pause --all --tenant acme
    """,
)
@_names
@_all
@_tenant
@click.option("--note", default="", help="Why, for whoever asks later.")
@_queued
@who_option
def pause(
    *,
    names: tuple[str, ...],
    is_all: bool,
    tenant: str | None,
    note: str,
    cancel_queued: bool,
    by: str,
) -> None:
    """Stop dispatching an entry, a tenant's entries, or everything.

    What is queued still runs, and runs go on. What is due meanwhile is not caught
    up after `resume`.
    """
    if _is_for_names(names, tenant, is_all=is_all):
        timetable = the_timetable()
        _each(
            names,
            lambda name: timetable.pause(name, note=note, by=by, cancel_queued=cancel_queued),
            "paused",
        )
    else:
        if note or cancel_queued:
            stop("--note and --cancel-queued are for single entries", WRONG)
        _tell_all(tenant, "paused", is_change=the_timetable().pause_all(tenant=tenant))


@command("resume", examples="resume acme:nightly\nresume --all\nresume --all --tenant acme")
@_names
@_all
@_tenant
@who_option
def resume(*, names: tuple[str, ...], is_all: bool, tenant: str | None, by: str) -> None:
    """Dispatch again what was paused, from now on.

    What was paused for itself stays so when its tenant or all goes on.
    """
    if _is_for_names(names, tenant, is_all=is_all):
        timetable = the_timetable()
        _each(names, lambda name: timetable.resume(name, by=by), "resumed")
    else:
        _tell_all(tenant, "resumed", is_change=the_timetable().resume_all(tenant=tenant))


@command("enable", examples="enable acme:nightly")
@click.argument("names", nargs=-1, required=True, shell_complete=complete_entry)
@who_option
def enable(*, names: tuple[str, ...], by: str) -> None:
    """Let a stored entry be dispatched, from now on."""
    timetable = the_timetable()
    _each(names, lambda name: _switched(name, lambda: timetable.enable(name, by=by)), "enabled")


@command("disable", examples="disable acme:nightly\ndisable acme:nightly --cancel-queued")
@click.argument("names", nargs=-1, required=True, shell_complete=complete_entry)
@_queued
@who_option
def disable(*, names: tuple[str, ...], cancel_queued: bool, by: str) -> None:
    """Keep a stored entry without dispatching it."""
    timetable = the_timetable()

    def switch(name: str) -> bool:
        return _switched(name, lambda: timetable.disable(name, by=by, cancel_queued=cancel_queued))

    _each(names, switch, "disabled")


def _is_for_names(names: tuple[str, ...], tenant: str | None, *, is_all: bool) -> bool:
    if names and (is_all or tenant is not None):
        stop("give names, or --all: not both", WRONG)
    if not names and not is_all and tenant is None:
        stop("give the name of an entry, or --all, or --tenant", WRONG)
    return bool(names)


def _switched(name: str, switch: Callable[[], int]) -> bool:
    before = the_timetable().get(name).revision
    return switch() != before


def _each(names: tuple[str, ...], act: Callable[[str], bool], what: str) -> None:
    for name in names:
        see_that_it_is_stored(name)
    changed = [name for name in names if act(name)]
    texts = [f"{name!r} is {'' if name in changed else 'already '}{what}." for name in names]
    done(texts, {what: list(names), "changed": changed})


def _tell_all(tenant: str | None, what: str, *, is_change: bool) -> None:
    which = "Everything" if tenant is None else f"Everything of tenant {tenant!r}"
    text = f"{which} is {'' if is_change else 'already '}{what}."
    done(text, {what: "all", "tenant": tenant, "changed": is_change})
