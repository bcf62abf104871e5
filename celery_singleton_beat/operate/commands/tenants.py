"""``tenants`` and ``limit``: who has how much, and may have how much."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from celery_singleton_beat.operate.completion import complete_tenant
from celery_singleton_beat.operate.given import seconds
from celery_singleton_beat.operate.output import (
    WRONG,
    Cell,
    Column,
    command,
    done,
    stop,
    table,
    the_reading,
    the_timetable,
)
from celery_singleton_beat.operate.words import span_words

if TYPE_CHECKING:
    from celery_singleton_beat.operate.tables import Value
    from celery_singleton_beat.operate.tenant_rows import TenantRow


@command("tenants", examples="tenants\ntenants acme --json")
@click.argument("names", nargs=-1, shell_complete=complete_tenant)
def tenants(*, names: tuple[str, ...]) -> None:
    """List the tenants, what they have, and their limits."""
    reading = the_reading()
    found = reading.some_tenants(list(names)) if names else reading.tenants()
    columns = [
        Column("tenant", may_fold=True),
        Column("entries", is_number=True),
        Column("at most", is_number=True),
        Column("least interval"),
        Column("a minute", is_number=True),
        Column("used now", is_number=True),
        Column("limits"),
        Column("state"),
    ]
    rows = sorted(found, key=lambda tenant: tenant.name)
    table(columns, rows, _row, lambda one: one.to_data(), empty="No tenant has anything.")


@command(
    "limit",
    examples="""
    limit acme --max-entries 100 --min-interval 60
    limit acme --max-per-minute none
    limit acme --default
    """,
)
@click.argument("tenant", shell_complete=complete_tenant)
@click.option("--max-entries", type=str, metavar="N", help="So many entries at most, or none.")
@click.option(
    "--min-interval", type=str, metavar="SECONDS", help="The least distance of runs, or none."
)
@click.option(
    "--max-per-minute", type=str, metavar="N", help="So many runs a minute at most, or none."
)
@click.option("--default", "is_default", is_flag=True, help="The default limits again.")
def limit(*, tenant: str, is_default: bool, **given: str | None) -> None:
    """Give a tenant limits of its own, or the default again.

    "none" is no limit of that kind; what is not given stays as it is. What the tenant
    has already stays, even if it is more than that.
    """
    timetable = the_timetable()
    changes = {name: _number(name, text) for name, text in given.items() if text is not None}
    if is_default == bool(changes):
        stop("give limits, or --default: one of them", WRONG)
    limits = None if is_default else replace(timetable.limits(tenant), **changes)
    timetable.set_limits(tenant, limits)
    (row,) = the_reading().some_tenants([tenant])
    done(f"Tenant {tenant!r} may have {_words(row)}.", row.to_data())


def _number(name: str, text: str) -> Any:
    if text == "none":
        return None
    number = seconds(text)
    if name == "min_interval":
        return timedelta(seconds=number)
    return number


def _words(row: TenantRow) -> str:
    limits = row.limits
    parts = [
        "any number of entries" if limits.max_entries is None else f"{limits.max_entries} entries",
        f"{_interval(row)} apart" if limits.min_interval else "as often as it likes",
        "" if limits.max_per_minute is None else f"{limits.max_per_minute} runs a minute",
    ]
    return ", ".join(part for part in parts if part)


def _interval(row: TenantRow) -> str:
    return span_words(row.limits.min_interval_ms) if row.limits.min_interval else "any"


def _row(row: TenantRow) -> list[Value]:
    return [
        row.name,
        row.entries,
        "any" if row.limits.max_entries is None else row.limits.max_entries,
        _interval(row),
        "any" if row.limits.max_per_minute is None else row.limits.max_per_minute,
        row.used,
        "its own" if row.has_own_limits else "default",
        Cell("paused", "warning") if row.is_paused else Cell("on", "good"),
    ]
