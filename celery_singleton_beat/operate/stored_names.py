"""Names of entries that are to be changed: only stored ones can be."""

from __future__ import annotations

from celery_singleton_beat.errors import UnknownEntry
from celery_singleton_beat.operate.output import WRONG, stop, the_app, the_timetable


def see_that_it_is_stored(name: str) -> None:
    """See that a stored entry has this name, or say what can be done instead.

    Raises:
        UnknownEntry: there is none, and none of ``beat_schedule``.
    """
    try:
        the_timetable().get(name)
    except UnknownEntry:
        if name in (the_app().conf.beat_schedule or {}):
            stop(
                f"{name!r} is an entry of beat_schedule: it is changed in the app's configuration, "
                "and only stored entries are changed here (`pause --all` stops it with all others)",
                WRONG,
            )
        raise
    except ValueError:  # it cannot be read; it can be removed, paused and replaced all the same
        return
