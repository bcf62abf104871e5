"""The entry that users write: of the protocol, and it understands Celery's schedule objects.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

from celery.schedules import BaseSchedule

from celery_singleton_beat.adapters.convert import own_zone_name, spec_of_schedule
from celery_singleton_beat.protocol import definition


class Entry(definition.Entry):
    """One entry of the timetable that can be stored and changed at run time.

    As the protocol's `definition.Entry`; its ``recurrence`` may also be one of
    Celery's ``crontab``, ``schedule`` and ``solar`` objects, or an ``rrule`` of
    dateutil's. A schedule object with a zone of its own gives it to an entry
    that is left in UTC.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        given = self.recurrence
        if isinstance(given, BaseSchedule) or type(given).__module__ == "dateutil.rrule":
            if self.timezone == "UTC" and (zone := own_zone_name(given)) is not None:
                object.__setattr__(self, "timezone", zone)
            object.__setattr__(self, "recurrence", spec_of_schedule(given, self.name))
        super().__post_init__()
