"""The moves of the exhaustive exploration: whatever may happen next, one way after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from celery_singleton_beat.engine.heartbeat import trusted_until_ms
from celery_singleton_beat.engine.publisher import Delivery, Sent
from celery_singleton_beat.engine.work import Work
from celery_singleton_beat.protocol.occurrence import Occurrence
from celery_singleton_beat.protocol.run import Attempt, Begun, Lock, Outcome, Renewed, Run
from celery_singleton_beat.store.port import ClaimRequest, Ending, Renewal
from tests.simulation.nodes import (
    HOLD_MS,
    RENEW_MS,
    TRUSTED_MS,
    TTL_MS,
    BeatAt,
    Node,
    Note,
    WorkerAt,
)
from tests.simulation.rig import Rig

Move = tuple[str, Node]

_LOST: Final = ("", "the question is lost", "the answer is lost")


def moves(rig: Rig, node: Node) -> Iterator[Move]:
    """List what may happen next.

    Time passes when nobody has anything to do. It also passes while one stands still
    that has something to do: which is all that standing still can mean where everybody
    may be slower than everybody else. So it need not begin before time passes, nor end
    before that one's next step.
    """
    busy: list[BeatAt | WorkerAt] = []
    everybody: list[BeatAt | WorkerAt] = [*node.beats, *node.workers]
    for who in everybody:
        found = list(_of_one(rig, node, who))
        if found and not who.is_frozen:
            busy.append(who)
        yield from found
    if len(busy) <= node.budget.freezes:
        yield from _time_passes(rig, node, busy)
    if node.budget.crashes:
        yield from _crashes(node)


def _of_one(rig: Rig, node: Node, who: BeatAt | WorkerAt) -> Iterator[Move]:
    if isinstance(who, BeatAt):
        up = who._replace(is_frozen=False) if who.is_frozen else who
        return _of_beat(rig, node if up is who else node.with_beat(up), up)
    well = who._replace(is_frozen=False) if who.is_frozen else who
    return _of_worker(rig, node if well is who else node.with_worker(well), well)


def _time_passes(rig: Rig, node: Node, busy: list[BeatAt | WorkerAt]) -> Iterator[Move]:
    next_ms = _next_time(node)
    if next_ms is None:
        return
    text = f"it is {next_ms - rig.start_ms} ms"
    later = node._replace(now_ms=next_ms)
    for who in busy:
        text = f"{who.name} stands still, and {text}"
        later = later._replace(budget=node.budget._replace(freezes=0))
        frozen = who._replace(is_frozen=True)
        later = later.with_beat(frozen) if isinstance(frozen, BeatAt) else later.with_worker(frozen)
    yield text, later


def _crashes(node: Node) -> Iterator[Move]:
    budget = node.budget._replace(crashes=0)
    for beat in node.beats:
        if beat.works or beat.left or beat.question:
            beats = tuple(BeatAt(f"{b.name}'") if b is beat else b for b in node.beats)
            yield f"{beat.name} is killed", node._replace(beats=beats, budget=budget)
    for worker in node.workers:
        if worker.note is not None:
            workers = tuple(WorkerAt(f"{w.name}'") if w is worker else w for w in node.workers)
            queue = (*node.queue, worker.note)
            changed = node._replace(workers=workers, queue=queue, budget=budget)
            yield f"{worker.name} is killed", changed


def _next_time(node: Node) -> int | None:
    """Tell when something may be different from now."""
    store, now_ms = node.store, node.now_ms
    times = [*store.due.values(), *store.held.values()]
    times += [note.eta_ms for note in node.queue]
    records: list[Run | Lock] = [*store.runs.values(), *store.locks.values()]
    for record in records:
        times += [record.deadline_ms, record.notice_ms]
    times += [worker.trusted_ms for worker in node.workers if worker.runs]
    return min((at for at in times if at > now_ms), default=None)


def _fates(node: Node) -> Iterator[tuple[str, Node]]:
    """Let a question and its answer arrive, or lose one of them."""
    yield "", node
    budget = node.budget
    if budget.questions:
        yield _LOST[1], node._replace(budget=budget._replace(questions=budget.questions - 1))
    if budget.answers:
        yield _LOST[2], node._replace(budget=budget._replace(answers=budget.answers - 1))


def _of_beat(rig: Rig, node: Node, beat: BeatAt) -> Iterator[Move]:
    if beat.works:
        yield from _publish(rig, node, beat)
    elif beat.left:
        yield from _settle(rig, node, beat)
    else:
        dues = (*node.store.due.values(), *node.store.held.values())
        if beat.question or any(at <= node.now_ms for at in dues):
            yield from _claim(rig, node, beat)


def _claim(rig: Rig, node: Node, beat: BeatAt) -> Iterator[Move]:
    question, ticks = beat.question, beat.ticks
    if question is None or node.now_ms >= question[1] + TRUSTED_MS:
        question, ticks = (f"{beat.name}-{ticks}", node.now_ms), ticks + 1
    asking = beat._replace(question=question, ticks=ticks)
    for fate, start in _fates(node):
        if fate == _LOST[1]:
            yield f"{beat.name} claims: {fate}", start.with_beat(asking)
            continue
        after, store = rig.enter(start)
        request = ClaimRequest(beat.name, "a", question[0], rig.batch, HOLD_MS, 15_000)
        answer = store.claim(request)
        rig.promises.saw_claim(beat.name, answer, request)
        if fate:
            yield f"{beat.name} claims: {fate}", after.with_beat(asking)
            continue
        works = tuple(
            Work.of(claim, rig.timings[claim.entry], answer.now_ms) for claim in answer.claims
        )
        has = asking._replace(
            question=None, asked_ms=question[1], now_ms=answer.now_ms, works=works, sent=()
        )
        names = ", ".join(rig.name(claim.entry, claim.slot.slot_ms) for claim in answer.claims)
        yield f"{beat.name} claims {names or 'nothing'}", after.with_beat(has)


def _publish(rig: Rig, node: Node, beat: BeatAt) -> Iterator[Move]:
    occurrence: Occurrence = beat.works[0].plan.publish[len(beat.sent)]
    run, name = rig.names.task_id(occurrence.entry, occurrence.scheduled_ms), rig.of(occurrence)
    if node.now_ms >= beat.asked_ms + TRUSTED_MS:
        given_up = beat._replace(sent=(*beat.sent, Delivery(Sent.UNSENT, run)))
        yield f"{beat.name} does not publish {name}: too late", _planned(node, given_up)
        return
    for fate, start in _fates(node):
        rig.enter(start)
        rig.promises.publishes(beat.name, occurrence)
        sent = beat._replace(sent=(*beat.sent, Delivery(Sent.UNKNOWN if fate else Sent.SENT, run)))
        after = _planned(start, sent)
        if fate != _LOST[1]:
            after = after._replace(
                queue=(*after.queue, Note(run, occurrence)),
                accepted=after.accepted | {run},
            )
        yield f"{beat.name} publishes {name} {fate}", after


def _planned(node: Node, beat: BeatAt) -> Node:
    """Say what shall become of a slot, once all that was planned for it was tried."""
    work, *works = beat.works
    if len(beat.sent) < len(work.plan.publish):
        return node.with_beat(beat)
    is_in_time = node.now_ms < beat.asked_ms + TRUSTED_MS
    settlement, _ = work.settlement(beat.sent, beat.now_ms, beat.name, is_in_time=is_in_time)
    return node.with_beat(beat._replace(works=tuple(works), sent=(), left=(*beat.left, settlement)))


def _settle(rig: Rig, node: Node, beat: BeatAt) -> Iterator[Move]:
    for fate, start in _fates(node):
        if fate == _LOST[1]:
            yield f"{beat.name} settles: {fate}", start
            continue
        after, store = rig.enter(start)
        verdicts = store.settle("a", beat.left)
        rig.promises.saw_settle(beat.name, verdicts, "a", beat.left)
        told = ", ".join(f"{s.entry} {v.value}" for s, v in zip(beat.left, verdicts, strict=True))
        left = beat if fate else beat._replace(left=())
        yield f"{beat.name} settles {told} {fate}", after.with_beat(left)


def _of_worker(rig: Rig, node: Node, worker: WorkerAt) -> Iterator[Move]:
    if worker.note is None:
        for note in dict.fromkeys(node.queue):
            if note.eta_ms <= node.now_ms:
                yield _receive(rig, node, worker, note)
    elif worker.delay_ms is not None:
        yield from _queue_again(rig, node, worker, worker.delay_ms)
    elif worker.ending is not None:
        yield from _finish(rig, node, worker, worker.ending)
    elif worker.runs:
        yield _body_ends(rig, node, worker)
        if node.now_ms - worker.renewed_ms >= RENEW_MS:
            yield from _renew(rig, node, worker)
    else:
        yield from _begin(rig, node, worker)


def _receive(rig: Rig, node: Node, worker: WorkerAt, note: Note) -> Move:
    taken = worker.taken + 1
    attempt = Attempt(
        note.run, f"{worker.name}.{taken}", rig.key_of(note.run), TTL_MS,
        window_ms=note.occurrence.window_ms, not_after_ms=note.occurrence.not_after_ms,
        entry=note.occurrence.entry, scheduled_ms=note.occurrence.scheduled_ms,
    )  # fmt: skip
    queue = list(node.queue)
    queue.remove(note)
    has = WorkerAt(worker.name, taken, note, attempt)
    return f"{worker.name} receives {rig.of(note.occurrence)}", node.with_worker(
        has, queue=tuple(queue)
    )


def _begin(rig: Rig, node: Node, worker: WorkerAt) -> Iterator[Move]:
    attempt: Any = worker.attempt
    for fate, start in _fates(node):
        away = worker._replace(delay_ms=2000, ending=Outcome.INTERRUPTED)
        if fate == _LOST[1]:
            yield f"{worker.name} begins: {fate}", start.with_worker(away)
            continue
        after, store = rig.enter(start)
        answer = store.begin(attempt, close_if_busy=False, grace_ms=TTL_MS)
        rig.promises.saw_begin(worker.name, answer, attempt, close_if_busy=False, grace_ms=TTL_MS)
        text = f"{worker.name} begins {rig.names.run(attempt.run)}: {answer.verdict.value} {fate}"
        if fate:
            yield text, after.with_worker(away)
            continue
        match answer.verdict:
            case Begun.RUN:
                trusted_ms = trusted_until_ms(node.now_ms, TTL_MS)
                has = worker._replace(
                    token=answer.token, trusted_ms=trusted_ms, renewed_ms=node.now_ms
                )
            case Begun.TWIN | Begun.WAIT | Begun.BUSY:
                has = worker._replace(delay_ms=max(answer.wait_ms, 1))
            case _:
                has = WorkerAt(worker.name, worker.taken)
        yield text, after.with_worker(has)


def _queue_again(rig: Rig, node: Node, worker: WorkerAt, delay_ms: int) -> Iterator[Move]:
    note: Any = worker.note
    queue = (*node.queue, note._replace(eta_ms=node.now_ms + delay_ms))
    rest = worker._replace(delay_ms=None)
    if worker.ending is None:
        rest = WorkerAt(worker.name, worker.taken)
    yield (
        f"{worker.name} queues {rig.names.run(note.run)} again",
        node.with_worker(rest, queue=queue),
    )


def _body_ends(rig: Rig, node: Node, worker: WorkerAt) -> Move:
    note: Any = worker.note
    ended = worker._replace(ending=Outcome.SUCCEEDED)
    return f"{worker.name} has run {rig.names.run(note.run)}", node.with_worker(ended)


def _renew(rig: Rig, node: Node, worker: WorkerAt) -> Iterator[Move]:
    attempt: Any = worker.attempt
    for fate, start in _fates(node):
        if fate == _LOST[1]:
            yield f"{worker.name} renews: {fate}", start
            continue
        after, store = rig.enter(start)
        answers = store.renew([Renewal(attempt, worker.token)])
        rig.promises.saw_renew(worker.name, answers, [Renewal(attempt, worker.token)])
        kept = worker._replace(renewed_ms=node.now_ms)
        if answers[0].verdict is Renewed.KEPT and not fate:
            kept = kept._replace(trusted_ms=trusted_until_ms(node.now_ms, TTL_MS))
        elif answers[0].verdict is Renewed.LOST and not fate:
            kept = kept._replace(trusted_ms=0)
        text = f"{worker.name} renews: {answers[0].verdict.value} {fate}"
        yield text, after.with_worker(worker if fate else kept)


def _finish(rig: Rig, node: Node, worker: WorkerAt, outcome: Outcome) -> Iterator[Move]:
    attempt: Any = worker.attempt
    for fate, start in _fates(node):
        if fate == _LOST[1]:
            yield f"{worker.name} finishes: {fate}", start
            continue
        after, store = rig.enter(start)
        endings = [Ending(attempt, outcome)]
        verdicts = store.finish(endings)
        rig.promises.saw_finish(worker.name, verdicts, endings)
        text = f"{worker.name} finishes, {outcome.value}: {verdicts[0].value} {fate}"
        rest = worker if fate else WorkerAt(worker.name, worker.taken)
        yield text, after.with_worker(rest)
