"""Stored entries for the benchmarks: many quiet ones, and some that fall due when they should.

So that a million takes a minute, of the quiet ones only one for each rule is made as a user makes
it, and the others are copies of what is sent to the store for it, under other names. It is the
store's own script that stores them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING

from celery_singleton_beat import Entry
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.engine.timetable import Change, StoreClock, put_of
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.tenant import Quota
from tests.benchmarks.bench_app import KEYED, AppSpec, make_app

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery_singleton_beat.protocol.stored import Put
    from tests.benchmarks.servers import MeasuredServer

BATCH = 500
QUIET_FROM_S, QUIET_TO_S = 2 * 3600, 22 * 3600
QUIET_RULES = 997
NO_LIMITS = Quota(ABSENT, 0, ABSENT)
EVERY_SECOND = "* * * * * *"


@dataclass(frozen=True)
class Awake:
    """Which entries fall due: so many in each second from a moment on, or all in every second."""

    numbers: range
    from_s: int
    per_second: int
    every_second: bool = False
    jitter_s: int = 0


class Filler:
    """Stores entries, many at a time; of `tenants` tenants in turn, or of none."""

    def __init__(self, broker: MeasuredServer, store: MeasuredServer, tenants: int = 0) -> None:
        self._app = make_app(AppSpec(broker.url, store.url))
        self._store = extension_of(self._app).store
        self._clock = StoreClock(self._store)
        self._tenants = tenants

    def fill(self, count: int) -> None:
        """Store entries that run once a day, at many times of it, none within two hours."""
        step_s = (QUIET_TO_S - QUIET_FROM_S) / QUIET_RULES
        soon = datetime.now(timezone.utc) + timedelta(seconds=QUIET_FROM_S)
        times = [soon + timedelta(seconds=step_s * number) for number in range(QUIET_RULES)]
        models = [self._put_of(_entry("<name>", daily(at), tenant="<tenant>")) for at in times]
        self._send(self._copy(models[number % QUIET_RULES], number) for number in range(count))

    def add_tick(self) -> None:
        """Store one more, due every second: its messages tell that a beat is at work."""
        self._send([self._put_of(_entry("tick", EVERY_SECOND, ""))])

    def wake(self, awake: Awake) -> None:
        """Store some anew, to fall due when they are asked to."""
        self._store.remove([name_of(number) for number in awake.numbers])
        self._send(map(self._put_of, self._awake(awake)))

    def close(self) -> None:
        """Close the app's connections."""
        self._app.close()

    def _awake(self, awake: Awake) -> Iterator[Entry]:
        first = datetime.fromtimestamp(awake.from_s, timezone.utc)
        for index, number in enumerate(awake.numbers):
            at = first + timedelta(seconds=index // awake.per_second)
            rule = EVERY_SECOND if awake.every_second else daily(at)
            yield _entry(name_of(number), rule, self._tenant(number), awake.jitter_s)

    def _put_of(self, entry: Entry) -> Put:
        return put_of(entry, Change(), self._clock.now_ms())

    def _copy(self, model: Put, number: int) -> Put:
        name, tenant = name_of(number), self._tenant(number)
        definition = model.definition.replace("<name>", name)
        definition = (
            definition.replace("<tenant>", tenant)
            if tenant
            else definition.replace(',"tenant":"<tenant>"', "")
        )
        return model._replace(entry=name, definition=definition, tenant=tenant)

    def _tenant(self, number: int) -> str:
        return f"tenant-{number % self._tenants:06d}" if self._tenants else ""

    def _send(self, puts: Iterable[Put]) -> None:
        walk = iter(puts)
        while batch := list(islice(walk, BATCH)):
            self._store.put(batch, NO_LIMITS)


def name_of(number: int) -> str:
    """Name an entry."""
    return f"entry-{number:07d}"


def daily(moment: datetime) -> str:
    """Return the cron text of a time of day, in UTC."""
    return f"{moment.second} {moment.minute} {moment.hour} * * *"


def _entry(name: str, recurrence: str, tenant: str, jitter_s: int = 0) -> Entry:
    return Entry(name, KEYED, recurrence, kwargs={"key": name}, tenant=tenant, jitter=jitter_s)
