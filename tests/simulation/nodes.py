"""The states of the exhaustive exploration: everything that a small deployment is made of.

All of it is frozen or copied, so that every way on from a state can be tried; and
each has a *shape*, by which states that differ in names only are one.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from typing import Any, Final, NamedTuple

from celery_singleton_beat.engine.publisher import Delivery
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.protocol.claim import Settlement
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt, Outcome
from celery_singleton_beat.store.memory_state import State
from tests.simulation.promises import Memory

HOLD_MS: Final = 1000
TRUSTED_MS: Final = 900
TTL_MS: Final = 3000
RENEW_MS: Final = 1000


class Budget(NamedTuple):
    """What may still go wrong."""

    crashes: int = 1
    freezes: int = 1
    answers: int = 2
    questions: int = 0

    @property
    def left(self) -> int:
        """How many things may still go wrong."""
        return self.crashes + self.freezes + self.answers + self.questions

    def covers(self, other: Budget) -> bool:
        """Tell whether all that may go wrong with the other one may with this one."""
        return (
            self.crashes >= other.crashes
            and self.freezes >= other.freezes
            and self.answers >= other.answers
            and self.questions >= other.questions
        )


class Note(NamedTuple):
    """A message in the queue."""

    run: str
    occurrence: Occurrence
    eta_ms: int = 0


class BeatAt(NamedTuple):
    """How far a replica is with its tick."""

    name: str
    ticks: int = 0
    question: tuple[str, int] | None = None
    asked_ms: int = 0
    now_ms: int = 0
    works: tuple[Work, ...] = ()
    sent: tuple[Delivery, ...] = ()
    left: tuple[Settlement, ...] = ()
    is_frozen: bool = False


class WorkerAt(NamedTuple):
    """How far a worker is with the message that it has (None: it has none)."""

    name: str
    taken: int = 0
    note: Note | None = None
    attempt: Attempt | None = None
    token: int = 0
    trusted_ms: int = 0
    renewed_ms: int = 0
    ending: Outcome | None = None
    delay_ms: int | None = None
    is_frozen: bool = False

    @property
    def runs(self) -> bool:
        """Whether a body runs under a lease."""
        return self.token > 0 and self.ending is None


class Node(NamedTuple):
    """One state of everything."""

    store: State
    memory: Memory
    now_ms: int
    beats: tuple[BeatAt, ...]
    workers: tuple[WorkerAt, ...]
    queue: tuple[Note, ...] = ()
    accepted: frozenset[str] = frozenset()
    budget: Budget = Budget()

    def with_beat(self, beat: BeatAt, **changes: Any) -> Node:
        """Put a replica in the place of the one of its name."""
        beats = tuple(beat if old.name == beat.name else old for old in self.beats)
        return self._replace(beats=beats, **changes)

    def with_worker(self, worker: WorkerAt, **changes: Any) -> Node:
        """Put a worker in the place of the one of its name."""
        workers = tuple(worker if old.name == worker.name else old for old in self.workers)
        return self._replace(workers=workers, **changes)


# The others stay empty: no stored entries, no requests, nothing awaited, no overlap, no reruns.
_COPIED: Final = ("due", "held", "slots", "last", "runs", "locks")
_KEPT: Final = tuple(field.name for field in fields(State) if field.name not in _COPIED)


def copied(state: State) -> State:
    """Copy what a step may change."""
    new = object.__new__(State)
    for name in _KEPT:
        setattr(new, name, getattr(state, name))
    for name in _COPIED:
        setattr(new, name, getattr(state, name).copy())
    return new


class _Ranks:
    """Names by the order in which a state mentions them; fences and tokens by their order.

    Nothing compares a fence of a claim with a token of a lease.
    """

    def __init__(self, fences: list[int], tokens: list[int]) -> None:
        self._fences = {fence: rank for rank, fence in enumerate(sorted({0, *fences}))}
        self._tokens = {token: rank for rank, token in enumerate(sorted({0, *tokens}))}
        self._names: dict[str, int] = {"": 0}

    def fence(self, number: int) -> int:
        return self._fences[number]

    def token(self, number: int) -> int:
        return self._tokens[number]

    def name(self, text: str) -> int:
        return self._names.setdefault(text, len(self._names))


def shape(node: Node) -> Hashable:
    """Tell what a state is like, whoever is called what, and whatever numbers fences have.

    Left out is what may still go wrong, and the fleet: all replicas have one
    configuration, so it decides nothing.
    Replicas can be exchanged for one another, and so can workers: of all orders the
    first by their own states is taken.
    """
    store, leases = node.store, node.memory.leases
    fences = [slot.fence for slot in store.slots.values()]
    fences += [held.fence for held in node.memory.claims.values()]
    fences += [work.claim.slot.fence for beat in node.beats for work in beat.works]
    fences += [one.fence for beat in node.beats for one in beat.left]
    tokens = [run.token for run in store.runs.values()]
    tokens += [lock.token for lock in store.locks.values()]
    tokens += [given.token for given in leases.keys.values()]
    tokens += [worker.token for worker in node.workers]
    rank = _Ranks(fences, tokens)
    now_ms = node.now_ms
    beats = sorted(node.beats, key=_beat_order)
    workers = sorted(node.workers, key=_worker_order)
    return (
        node.now_ms,
        tuple(_beat(beat, rank, node) for beat in beats),
        tuple(_worker(worker, rank, now_ms) for worker in workers),
        tuple(sorted((note.run, max(note.eta_ms, now_ms)) for note in node.queue)),
        tuple(
            (name, slot.slot_ms, slot.due_ms, rank.fence(slot.fence),
             _ahead(slot.hold_until_ms, now_ms), slot.runs)
            for name, slot in sorted(store.slots.items())
        ),
        tuple(
            (name, run.state, rank.name(run.holder), rank.token(run.token),
             _ahead(run.deadline_ms, now_ms), _ahead(run.notice_ms, now_ms), run.outcome)
            for name, run in sorted(store.runs.items())
        ),
        tuple(
            (name, rank.name(lock.holder), rank.token(lock.token),
             _ahead(lock.deadline_ms, now_ms), _ahead(lock.notice_ms, now_ms))
            for name, lock in sorted(store.locks.items())
        ),
        tuple(
            (entry, rank.name(held.who), _ahead(held.until_ms, now_ms), held.is_open)
            for entry, held in sorted(node.memory.claims.items())
        ),
        tuple((run, end.how, rank.name(end.holder)) for run, end in sorted(leases.ends.items())),
        tuple(
            (key, rank.name(given.holder), _ahead(given.until_ms, now_ms), given.is_open,
             given.asked_ms and _ahead(given.asked_ms + NOTICE_MS, now_ms))
            for key, given in sorted(leases.keys.items())
        ),
        node.accepted,
    )  # fmt: skip


def _beat_order(beat: BeatAt) -> tuple[object, ...]:
    return (len(beat.works), len(beat.sent), len(beat.left), beat.is_frozen, beat.asked_ms,
            beat.question is None, beat.name)  # fmt: skip


def _worker_order(worker: WorkerAt) -> tuple[object, ...]:
    note = worker.note
    return (note.run if note else "", worker.attempt is None, worker.token > 0, worker.is_frozen,
            worker.trusted_ms, worker.delay_ms or -1, worker.name)  # fmt: skip


def _beat(beat: BeatAt, rank: _Ranks, node: Node) -> Hashable:
    last = node.store.last.get(beat.name)
    question = beat.question
    return (
        rank.name(beat.name),
        question and _ahead(question[1] + TRUSTED_MS, node.now_ms),
        # Only whether its question is the one that the store would answer again.
        bool(last and question and last[0] == question[0]) and last and rank_of(last, rank, node),
        _ahead(beat.asked_ms + TRUSTED_MS, node.now_ms) if beat.works else 0,
        beat.now_ms if beat.works else 0,
        tuple((w.claim.entry, rank.fence(w.claim.slot.fence), w.plan.publish) for w in beat.works),
        tuple(delivery.sent for delivery in beat.sent),
        tuple((s.entry, rank.fence(s.fence), s.slot.slot_ms, s.slot.due_ms) for s in beat.left),
        beat.is_frozen,
    )


def rank_of(last: tuple[str, int, tuple[str, ...]], rank: _Ranks, node: Node) -> Hashable:
    """Tell which of the slots that a question took it still holds."""
    _, first, names = last
    fences = [node.store.slots[name].fence for name in names if name in node.store.slots]
    return tuple(rank.fence(fence) for fence in fences if first <= fence < first + len(names))


def _ahead(at_ms: int, now_ms: int) -> int:
    """Tell a time that is still to come; of what is over it does not matter when it was."""
    return at_ms if at_ms > now_ms else min(at_ms, 1)


def _worker(worker: WorkerAt, rank: _Ranks, now_ms: int) -> Hashable:
    note, attempt = worker.note, worker.attempt
    return (
        rank.name(worker.name),
        note and note.run,
        attempt and rank.name(attempt.holder),
        rank.token(worker.token),
        worker.runs and _ahead(worker.trusted_ms, now_ms),
        worker.runs and _ahead(worker.renewed_ms + RENEW_MS, now_ms),
        worker.ending,
        worker.delay_ms,
        worker.is_frozen,
    )
