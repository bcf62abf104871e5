"""``reconcile`` and ``import``: entries taken over from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

import click

from celery_singleton_beat.operate.given import json_object, rows_of_file
from celery_singleton_beat.operate.output import (
    WRONG,
    Failure,
    command,
    done,
    is_json,
    note,
    stop,
    the_timetable,
    who_option,
)

if TYPE_CHECKING:
    from celery_singleton_beat.engine.report import Report

_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be done.")


@command(
    "reconcile",
    examples="""
    reconcile rows.json --source crm-db --dry-run
    reconcile - --source crm-db --defaults '{"task": "reports.run"}' < rows.jsonl
    """,
)
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--source", required=True, help="Whose entries these are: only its are removed.")
@click.option("--defaults", type=json_object, help="Fields for rows that leave them out.")
@click.option("--may-remove-all", is_flag=True, help="Also if no row is left.")
@_dry_run
@who_option
def reconcile(
    *,
    file: TextIO,
    source: str,
    defaults: dict[str, Any] | None,
    may_remove_all: bool,
    dry_run: bool,
    by: str,
) -> None:
    """Bring the entries of a source in line with a JSON file.

    FILE is a list of rows, or has a row in each line; - is the standard input. A
    row has the fields of an entry, or the names that are known besides. What is
    new is added, what differs changed, what has no row any more removed.
    """
    report = the_timetable().reconcile(
        rows_of_file(file),
        source,
        defaults=defaults,
        dry_run=dry_run,
        may_remove_all=may_remove_all,
        by=by,
    )
    _tell(report)


@command(
    "import",
    examples="""
    import redbeat --dry-run
    import redbeat --url redis://old:6379/1 --key-prefix redbeat:
    import django-celery-beat
    """,
)
@click.argument("scheduler", type=click.Choice(["redbeat", "django-celery-beat"]))
@click.option("--url", help="Of RedBeat's Redis; left out, what the app's settings say.")
@click.option("--key-prefix", help="Of RedBeat's keys; left out, what the app's settings say.")
@click.option("--source", help="What the entries' source is called; left out, the scheduler.")
@_dry_run
@who_option
def import_(
    *,
    scheduler: str,
    url: str | None,
    key_prefix: str | None,
    source: str | None,
    dry_run: bool,
    by: str,
) -> None:
    """Take over the timetable of another scheduler.

    With the times of the last runs: what it dispatched is not dispatched again.
    Look at a dry run, stop the old beat, import, start the new beats. Importing
    again takes over what was changed, and removes nothing.
    """
    about: dict[str, Any] = {"source": source or scheduler, "dry_run": dry_run, "by": by}
    about["progress"] = None  # a line on a terminal
    if scheduler == "redbeat":
        _tell(the_timetable().import_redbeat(url, key_prefix=key_prefix, **about))
        return
    if url is not None or key_prefix is not None:
        stop("--url and --key-prefix are RedBeat's", WRONG)
    _tell(_with_django(lambda: the_timetable().import_django_celery_beat(**about)))


def _with_django(read: Callable[[], Report]) -> Report:
    """Read Django's tables, with Django set up.

    Raises:
        Failure: Django cannot be used here.
    """
    try:
        import django  # noqa: PLC0415  not ours
        from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415
    except ImportError as error:
        text = f"Django cannot be imported here ({error}): run this where the project runs"
        raise Failure(text, WRONG) from error
    try:
        django.setup()
        return read()
    except (ImproperlyConfigured, ImportError) as error:
        text = (
            f"{error}: set DJANGO_SETTINGS_MODULE to the project's settings, with "
            "django_celery_beat in its INSTALLED_APPS"
        )
        raise Failure(text, WRONG) from error


def _tell(report: Report) -> None:
    done(f"{report}.", {**vars(report), "refusals": [one._asdict() for one in report.refusals]})
    if not report.refused:
        return
    if not is_json():
        for refusal in report.refusals:
            note(f"  {refusal.name or '(without a name)'}: {refusal.reason}")
    stop(f"{report.refused} rows were refused")
