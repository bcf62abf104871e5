"""``export`` and ``restore``: the stored timetable as a document of JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, TextIO

import click

from celery_singleton_beat.operate.output import (
    WRONG,
    command,
    done,
    note,
    stop,
    the_reading,
    who_option,
)

if TYPE_CHECKING:
    from celery_singleton_beat.operate.reading import Reading


@command("export", examples="export > timetable.json\nexport --output timetable.json")
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write into this file, which is replaced when all is written.",
)
def export(*, path: Path | None) -> None:
    """Write the stored timetable as JSON.

    Definitions, what is paused and why, tenants and their limits; not the entries
    of beat_schedule, and not what was run. The output is JSON with or without --json.
    """
    reading = the_reading()
    if path is None:
        count, unreadable = _write(reading, sys.stdout)
    else:
        try:
            count, unreadable = _replace(path, reading)
        except OSError as error:
            stop(f"it cannot be written to {path}: {error.strerror or error}")
        note(f"{count} entries are in {path}.")
    if unreadable:
        names = ", ".join(map(repr, sorted(unreadable)[:10]))
        stop(f"{len(unreadable)} entries cannot be read here, and are left out: {names}")


@command("restore", examples="restore timetable.json --dry-run\nrestore - < timetable.json")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be done.")
@who_option
def restore(*, file: TextIO, dry_run: bool, by: str) -> None:
    """Put back a timetable that `export` wrote.

    The whole file is checked before anything is written. Entries that it does not
    have stay as they are, nothing is fired, and doing it again changes nothing
    more. Limits of tenants do not keep out what they had.
    """
    from celery_singleton_beat.operate.dumping import read_dump  # noqa: PLC0415  not for --help
    from celery_singleton_beat.operate.restoring import Restoring  # noqa: PLC0415

    try:
        data = json.load(file)
    except (ValueError, RecursionError) as error:
        stop(f"{file.name} is no JSON: {error}", WRONG)
    dump, reading = read_dump(data), the_reading()
    taken = [one.entry.name for one in dump.entries if one.entry.name in reading.config.names]
    if taken:
        listed = ", ".join(map(repr, taken[:10]))
        note(f"Warning: beats leave out what beat_schedule has entries of the same names: {listed}")
    report = Restoring(reading, dump, by=by, dry_run=dry_run).run()
    done(f"Entries: {report}.", report.to_data())


def _replace(path: Path, reading: Reading) -> tuple[int, list[str]]:
    """Write a document into a file that takes the place of this one when all is written."""
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.absolute().parent, prefix="timetable-", delete=False
    ) as file:
        try:
            written = _write(reading, file)
            file.flush()
            os.replace(file.name, path)  # noqa: PTH105  Path.replace is the same
        except BaseException:
            Path(file.name).unlink()
            raise
    return written


def _write(reading: Reading, file: Any) -> tuple[int, list[str]]:
    """Write a document an entry a line; tell how many entries it has, and which it has not."""
    from celery_singleton_beat.operate.dumping import entries_of, head_of  # noqa: PLC0415

    unreadable: list[str] = []
    count = 0
    head = json.dumps(head_of(reading), indent=2)
    file.write(head.removesuffix("\n}") + ',\n  "entries": [')
    for count, entry in enumerate(entries_of(reading, unreadable), 1):
        file.write((",\n    " if count > 1 else "\n    ") + json.dumps(entry))
    file.write("\n  ]\n}\n")
    return count, unreadable
