"""Entries brought in line with their source: put what it has, then remove what it has no more.

Runs in: any process.

Mark and sweep. A number greater than all before is drawn, and every row's entry
is put with it; what the source owns and was last put with a lower one is gone
from the source. Nothing is kept here of the rows but fingerprints of their
names, eight bytes each, so that a name that comes twice is noticed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from celery_singleton_beat.engine.report import Report
from celery_singleton_beat.engine.timetable import Change, StoreClock, put_of, refused
from celery_singleton_beat.errors import ReconcileStopped, SingletonBeatError
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.definition import Entry
from celery_singleton_beat.protocol.stored import Put, PutAnswer, Stored, refusal
from celery_singleton_beat.protocol.switch import first_slot_ms, last_slot_ms
from celery_singleton_beat.protocol.tenant import Quota, Tenant
from celery_singleton_beat.store.port import Store

_MOST_IN_A_BATCH: Final = 5000
_ANY_MARK: Final = 1


class Row(NamedTuple):
    """What a row of a source says: an entry, or why it is none.

    ``since_ms`` is of an entry that another scheduler ran until now: what was due
    since then is due here. ``has_run`` tells whether it ran then.
    """

    name: str
    entry: Entry | None = None
    reason: str = ""
    since_ms: int | None = None
    has_run: bool = True


class Seen:
    """Tells whether a name came before; of each it keeps eight bytes."""

    def __init__(self) -> None:
        self._buckets: dict[int, array[int]] = {}

    def __contains__(self, name: str) -> bool:
        number = hash(name)
        return number in self._buckets.get(number & 0xFFFF, ())

    def add(self, name: str) -> bool:
        """Note a name; False if it came before."""
        number = hash(name)
        bucket = self._buckets.get(number & 0xFFFF)
        if bucket is None:
            bucket = self._buckets[number & 0xFFFF] = array("q")
        if number in bucket:
            return False
        bucket.append(number)
        return True


class Target(Protocol):
    """Where the entries go: the store, or nowhere."""

    def put(self, puts: Sequence[Put]) -> list[PutAnswer]:
        """Store definitions, each for itself."""

    def keep(self, names: Sequence[str]) -> None:
        """Let entries stay whose rows were refused."""

    def unmarked(self, limit: int) -> Iterator[list[str]]:
        """Name what the source has no more, part by part; each is removed before the next."""

    def remove(self, names: Sequence[str]) -> list[Stored]:
        """Remove entries that are the source's own."""


class Reconciliation:
    """Brings the entries of one source in line with its rows.

    ``progress`` is told the report after each batch.
    """

    def __init__(
        self,
        store: Store,
        quota: Quota,
        source: str,
        *,
        dry_run: bool = False,
        by: str = "",
        batch: int = 500,
        progress: Callable[[Report], None] = lambda _: None,
    ) -> None:
        if not 1 <= batch <= _MOST_IN_A_BATCH:
            msg = f"batch ({batch}) must be 1 to {_MOST_IN_A_BATCH}"
            raise ValueError(msg)
        self.report = Report(source, dry_run)
        self._clock = StoreClock(store)
        self._batch = batch
        self._progress = progress
        self._seen = Seen()
        self._change = Change(by=by, mark=_ANY_MARK if dry_run else store.mark())
        self._target: Target = (
            Rehearsal(store, quota, source, self._seen)
            if dry_run
            else Writing(store, quota, source, self._change.mark)
        )

    def put(self, rows: Iterable[Row]) -> None:
        """Put the entries of all rows.

        Raises:
            ReconcileStopped: the rows raised an error; those before it are put.
        """
        pending: list[Row] = []
        for row in self._all_of(rows, pending):
            self.report.rows += 1
            if row.name and not self._seen.add(row.name):
                self.report.refuse(row.name, "its name came before: the first row of it counts")
                continue
            pending.append(row)
            if len(pending) >= self._batch:
                self._flush(pending)
        self._flush(pending)

    def sweep(self, *, may_remove_all: bool) -> None:
        """Remove what no row was for.

        Raises:
            ReconcileStopped: no row was usable, and all of the source would be removed.
        """
        report = self.report
        for names in self._target.unmarked(self._batch):
            if not report.accepted and not may_remove_all:
                raise ReconcileStopped(
                    f"of {report.rows} rows none is an entry, and all entries of "
                    f"{report.source!r} would be removed: nothing was. If that is meant, say "
                    "may_remove_all=True",
                    report,
                )
            for name, verdict in zip(names, self._target.remove(names), strict=True):
                if verdict is Stored.REMOVED:
                    report.note("removed", name)
            self._progress(report)

    def _all_of(self, rows: Iterable[Row], pending: list[Row]) -> Iterator[Row]:
        walk = iter(rows)
        while True:
            try:
                row = next(walk)
            except StopIteration:
                return
            except SingletonBeatError:  # it says what is wrong by itself
                raise
            except Exception as error:
                self._flush(pending)
                raise ReconcileStopped(
                    f"the rows of {self.report.source!r} broke off after {self.report.rows} "
                    f"({type(error).__name__}: {error}): what came before is put, nothing was "
                    "removed, and it is safe to begin again",
                    self.report,
                ) from error
            yield row

    def _flush(self, pending: list[Row]) -> None:
        now_ms = self._clock.now_ms()
        kept = []
        puts, entries = [], []
        for row in pending:
            if row.entry is None:
                self.report.refuse(row.name, row.reason)
                kept.append(row.name)
                continue
            entries.append(row.entry)
            puts.append(_put_of(row, row.entry, self._change, now_ms))
        for entry, answer in zip(entries, self._target.put(puts), strict=True):
            error = refused(entry, answer)
            if error is None:
                self.report.note(answer.verdict.value.lower(), entry.name)
            else:
                self.report.refuse(entry.name, str(error))
                kept.append(entry.name)
        self._target.keep([name for name in kept if name])
        pending.clear()
        self._progress(self.report)


def _put_of(row: Row, entry: Entry, change: Change, now_ms: int) -> Put:
    asked = put_of(entry, change, now_ms)
    if row.since_ms is None:
        return asked
    timing = entry.timing()
    slot_ms = first_slot_ms(timing.recurrence, row.since_ms, now_ms)
    last_ms = last_slot_ms(timing.recurrence, row.since_ms) if row.has_run else ABSENT
    if slot_ms is None:
        return asked._replace(slot_ms=ABSENT, due_ms=ABSENT, last_ms=last_ms)
    return asked._replace(slot_ms=slot_ms, due_ms=slot_ms + timing.offset_ms, last_ms=last_ms)


class Writing:
    """Writes into the store."""

    def __init__(self, store: Store, quota: Quota, source: str, mark: int) -> None:
        self._store = store
        self._quota = quota
        self._source = source
        self._mark = mark

    def put(self, puts: Sequence[Put]) -> list[PutAnswer]:
        return self._store.put(puts, self._quota) if puts else []

    def keep(self, names: Sequence[str]) -> None:
        """Put again what is there, with the mark."""
        if not names:
            return
        puts = []
        for name, kept in zip(names, self._store.kept(names), strict=True):
            if kept is not None and kept.card.source == self._source:
                card = kept.card
                again = Put(name, card.definition, "", ABSENT, ABSENT, card.tenant, card.source)
                puts.append(
                    again._replace(
                        is_enabled=card.is_enabled, if_revision=card.revision, mark=self._mark
                    )
                )
        self.put(puts)

    def unmarked(self, limit: int) -> Iterator[list[str]]:
        while names := self._store.unmarked(self._source, self._mark, limit):
            yield names

    def remove(self, names: Sequence[str]) -> list[Stored]:
        return self._store.remove(names, source=self._source)


class Rehearsal:
    """Writes nothing, and answers as the store would."""

    def __init__(self, store: Store, quota: Quota, source: str, seen: Seen) -> None:
        self._store = store
        self._quota = quota
        self._source = source
        self._seen = seen
        self._growth: dict[str, int] = {}

    def put(self, puts: Sequence[Put]) -> list[PutAnswer]:
        """Judge by the rule that the store's scripts are twins of."""
        if not puts:
            return []
        names = sorted({asked.tenant for asked in puts})
        tenants = dict(zip(names, self._store.tenants(names), strict=True))
        kept = self._store.kept([asked.entry for asked in puts])
        answers = []
        for asked, known in zip(puts, kept, strict=True):
            card = known.card if known else None
            tenant = self._grown(tenants[asked.tenant], asked.tenant)
            answer = refusal(asked, card, tenant, self._quota)
            if answer is None:
                self._count(asked.tenant, card.tenant if card else None)
                answer = PutAnswer(Stored.CHANGED if card else Stored.ADDED)
            answers.append(answer)
        return answers

    def keep(self, names: Sequence[str]) -> None:
        pass

    def unmarked(self, limit: int) -> Iterator[list[str]]:
        """Read all entries there are: what of the source came in no row."""
        cursor, told = "", Seen()
        while True:
            page = self._store.entry_names(None, cursor)
            names = [name for name in page.names if name not in self._seen and told.add(name)]
            kept = zip(names, self._store.kept(names), strict=True) if names else ()
            ours = [name for name, it in kept if it and it.card.source == self._source]
            for at in range(0, len(ours), limit):
                yield ours[at : at + limit]
            cursor = page.cursor
            if not cursor:
                return

    def remove(self, names: Sequence[str]) -> list[Stored]:
        return [Stored.REMOVED for _ in names]

    def _grown(self, tenant: Tenant, name: str) -> Tenant:
        growth = self._growth.get(name, 0)
        if not growth:
            return tenant
        quota = tenant.quota
        return Tenant(tenant.entries + growth, quota=quota)

    def _count(self, tenant: str, before: str | None) -> None:
        if tenant == before:
            return
        self._growth[tenant] = self._growth.get(tenant, 0) + 1
        if before is not None:
            self._growth[before] = self._growth.get(before, 0) - 1
