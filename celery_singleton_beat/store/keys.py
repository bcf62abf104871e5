"""Every key of the store, under one prefix and one hash tag.

================  =======  ======================================================
key               type     holds
================  =======  ======================================================
``meta``          hash     app, schema, epoch, fence, governor, adopted, fleet clock
``replicas``      hash     replica -> configuration, first and last heard of, info
``numbers``       hash     configuration -> its number
``due``           zset     entry -> when to look at it (ms)
``held``          zset     entry -> when its hold is over (ms)
``slots``         hash     entry -> slot record
``aside``         hash     entry -> a record that could not be read
``awaited``       zset     run -> when it should have begun (ms)
``published``     hash     run -> its occurrence, while it is awaited
``crashable``     zset     run -> when its worker, or its message, counts as lost (ms)
``messages``      hash     run -> its message, to be published again then; its deadlines
``history``       stream   facts, the last ones
``history:of:e:E`` stream  the last facts of entry E
``history:counts:S`` hash  what is counted of subject S: of all ("") or of e:E or k:KEY
``history:counted`` zset   subject -> when something happened to it last (ms)
``spent:KEY``     string   when a lock key that has one run per interval had its last
``progress``      hash     ``b:E``, ``p:E`` -> last begun, last published of entry E
``last:R``        string   what replica R claimed with its last request
``run:ID``        string   run record
``lock:KEY``      string   lock record
``locks``         zset     lock key -> its deadline (ms)
``cards``         hash     stored entry -> its definition, and what was done to it
``stored``        hash     stored entry -> slot record
``tenants``       hash     tenant -> what it has, and how it stands
``turns``         zset     tenant -> when to look at it (ms; inf: never)
``of:T``          zset     stored entry of tenant T -> when to look at it (ms; inf: never)
``source:S``      zset     stored entry of source S -> the highest mark it was put with
``took:R``        string   what replica R claimed of stored entries with its last request
``queued``        zset     published run -> until when it counts as queued, if it does not begin
``cancelled:E``   string   the revision of stored entry E before which what is queued is refused
``asked``         zset     request for runs of a stored entry -> when to look at it (ms)
``asked:C``       zset     the same, for entries of the configuration (C: ``config``)
``asks``          hash     request -> what is asked for
``asked_slots``   hash     request -> slot record
``asked_over``    zset     request that is over -> when it may be forgotten (ms)
``asked_of:E``    zset     open request for runs of entry E -> when it was asked (ms)
``took_asked:R``  string   what replica R claimed of requests with its last one
``alerts``        hash     open alert -> what it says; ``""`` -> who is on duty
``wake``          channel  told of each change of stored entries
``never``         none     never there (see ``lua/whole.lua``)
================  =======  ======================================================

An entry is in ``due`` or in ``held`` or in neither (its rule has ended, or the
governing configuration does not know it), never in both. No command looks for
keys by pattern: what is to be listed has an index.
"""

from __future__ import annotations

from functools import cached_property

from celery_singleton_beat.protocol.statistics import entry_subject


class Keys:
    """Names keys under a prefix; the whole prefix is the hash tag if it has none of its own."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix if "{" in prefix and "}" in prefix else "{" + prefix + "}"
        self.meta = self._of("meta")
        self.replicas = self._of("replicas")
        self.numbers = self._of("numbers")
        self.due = self._of("due")
        self.held = self._of("held")
        self.slots = self._of("slots")
        self.aside = self._of("aside")
        self.locks = self._of("locks")
        self.awaited = self._of("awaited")
        self.published = self._of("published")
        self.progress = self._of("progress")
        self.crashable = self._of("crashable")
        self.messages = self._of("messages")
        self.history = self._of("history")
        self.counted = self._of("history:counted")
        self.queued = self._of("queued")
        self.wake = self._of("wake")
        self.turns = self._of("turns")
        self.cards = self._of("cards")
        self.asked = self._of("asked")
        self.asked_config = self._of("asked:config")

    @cached_property
    def timetable(self) -> tuple[str, ...]:
        """The keys that every script about stored entries is told."""
        return (
            *(self.meta, self.cards, self._of("stored"), self._of("tenants"), self.turns),
            *(self._of("of:"), self._of("source:"), self.aside),
        )

    @cached_property
    def asking(self) -> tuple[str, ...]:
        """The keys that every script about requests is told besides."""
        return (
            *(self.asked, self.asked_config, self._of("asks"), self._of("asked_slots")),
            *(self._of("asked_over"), self._of("asked_of:"), self.slots, self.history),
        )

    @cached_property
    def overview(self) -> tuple[str, ...]:
        """The keys of all that the overview looks at."""
        return (
            *(self.meta, self.replicas, self.numbers, self.due, self.held, self.slots),
            *(self.cards, self._of("tenants"), self.turns, self.asked, self.asked_config),
            *(self.locks, self.awaited, self.queued, self.crashable),
        )

    @property
    def alerts(self) -> str:
        return self._of("alerts")

    @property
    def never(self) -> str:
        return self._of("never")

    def history_of(self, entry: str) -> str:
        return f"{self.history}:of:{entry_subject(entry)}"

    def counts(self, subject: str) -> str:
        return f"{self.history}:counts:{subject}"

    def last(self, replica: str) -> str:
        return f"{self.prefix}:last:{replica}"

    def cancelled(self, entry: str) -> str:
        return f"{self.prefix}:cancelled:{entry}"

    def took(self, replica: str) -> str:
        return f"{self.prefix}:took:{replica}"

    def took_asked(self, replica: str) -> str:
        return f"{self.prefix}:took_asked:{replica}"

    def run(self, run: str) -> str:
        return f"{self.prefix}:run:{run}"

    def lock(self, key: str) -> str:
        return f"{self.prefix}:lock:{key}"

    def spent(self, key: str) -> str:
        return f"{self.prefix}:spent:{key}"

    def _of(self, name: str) -> str:
        return f"{self.prefix}:{name}"
