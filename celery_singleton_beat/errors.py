"""Every exception this package raises.

The tree::

    SingletonBeatError
    ├── ConfigurationError          a setting, an entry or a task option is wrong
    │   ├── UnknownSetting          a ``singleton_beat_…`` name that does not exist
    │   ├── EntryError              one entry of the timetable cannot be used
    │   │   ├── RecurrenceError     its rule can never be due, or cannot be read
    │   │   ├── LimitExceeded       a limit of its tenant forbids it
    │   │   └── UnreadableEntry     its stored definition is not what a release of ours wrote
    │   │       └── EntryTooNew     a newer release wrote it
    │   ├── DuplicateLockKey        two tasks claim one explicit lock key
    │   └── StoreTooOld             the store's server is of a release that is not supported
    ├── StoreError                  the store did not do what was asked
    │   ├── StoreUnavailable        it could not answer: nothing is known
    │   ├── StoreCorrupt            a key holds something that is not ours
    │   ├── ForeignStore            the prefix belongs to another application
    │   └── StoreTooNew             a newer release wrote it
    ├── LeaseLost                   this run is no longer the holder of its lock key
    ├── Locked                      the lock key is held by another run
    ├── UnknownEntry                there is no stored entry of that name
    ├── EntryStopped                an entry is not to run now: it is paused or disabled
    ├── BackfillTooLong             a backfill has more occurrences than it may
    ├── RequestConflict             the id of a request was given to another one before
    ├── RevisionConflict            a stored entry was changed by somebody else meanwhile
    ├── ReconcileStopped            a timetable was not brought in line with its source
    └── GivenUp                     this run's workers died as often as it may be begun

Losing a race is an answer (a verdict), never one of these. The driver's own
error, where there was one, is the ``__cause__``.
"""

from __future__ import annotations


class SingletonBeatError(Exception):
    """Root of the tree."""


class ConfigurationError(SingletonBeatError, ValueError):
    """A setting, an entry or a task option is wrong; the text names it and the way out."""


class UnknownSetting(ConfigurationError):
    """A ``singleton_beat_…`` setting that does not exist."""


class EntryError(ConfigurationError):
    """One entry of the timetable cannot be used; the others go on."""


class RecurrenceError(EntryError):
    """A rule that cannot be read, or that can never be due."""


class LimitExceeded(EntryError):
    """A limit of the entry's tenant forbids it: which one, what it is, and what was asked for."""

    def __init__(
        self,
        text: str,
        *,
        limit: str = "",
        allowed: object = None,
        value: object = None,
        tenant: str = "",
    ) -> None:
        super().__init__(text)
        self.limit = limit
        self.allowed = allowed
        self.value = value
        self.tenant = tenant


class UnreadableEntry(EntryError):
    """A stored definition that cannot be read; it is set aside, and the others go on."""


class EntryTooNew(UnreadableEntry):
    """A stored definition of a newer release: not damaged, but not to be read by this one."""


class DuplicateLockKey(ConfigurationError):
    """Two different tasks were given the same explicit ``lock_key``."""


class StoreTooOld(ConfigurationError):
    """The store's server is of a release that cannot do what is asked of it."""


class StoreError(SingletonBeatError):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store could not answer. Nothing is known: the request may have been carried out."""


class StoreCorrupt(StoreError):
    """A key of ours holds something we did not write."""


class ForeignStore(StoreError):
    """The key prefix belongs to another application."""


class StoreTooNew(StoreError):
    """The store was written by a newer release, whose records this one cannot read."""


class LeaseLost(SingletonBeatError):
    """This run is no longer the holder of its lock key."""


class Locked(SingletonBeatError):
    """The lock key is held by another run."""


class UnknownEntry(SingletonBeatError, LookupError):
    """There is no stored entry of that name."""


class EntryStopped(SingletonBeatError):
    """An entry is not to run now; ``stopped_by`` says why.

    It is ``"disabled"``, ``"paused"``, ``"tenant"`` (which is paused) or ``"all"`` (everything is).
    """

    def __init__(self, text: str, stopped_by: str = "") -> None:
        super().__init__(text)
        self.stopped_by = stopped_by


class BackfillTooLong(SingletonBeatError, ValueError):
    """A backfill has about ``count`` occurrences, and may have ``most``; none was asked for."""

    def __init__(self, text: str, count: int = 0, most: int = 0) -> None:
        super().__init__(text)
        self.count = count
        self.most = most


class RequestConflict(SingletonBeatError):
    """The id of a request is known, and was given to another one; this one was not asked for."""


class RevisionConflict(SingletonBeatError):
    """A stored entry does not have the revision that was asked for; ``revision`` is its own."""

    def __init__(self, text: str, revision: int = 0) -> None:
        super().__init__(text)
        self.revision = revision


class ReconcileStopped(SingletonBeatError):
    """Entries were not brought in line with their source to the end: nothing was removed.

    ``report`` tells what was done before. It is safe to begin again.
    """

    def __init__(self, text: str, report: object = None) -> None:
        super().__init__(text)
        self.report = report


class GivenUp(SingletonBeatError):
    """The workers of this run died as often as it may be begun (``max_attempts``)."""
