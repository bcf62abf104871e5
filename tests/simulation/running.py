"""The promises of runs and leases, checked at every begin, renewal and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.run import Attempt, Begun, Finished, Outcome
from celery_singleton_beat.store.port import BeginAnswer, Ending, Renewal, RenewAnswer
from tests.simulation.judge import Judge
from tests.simulation.leases import CLOSING

if TYPE_CHECKING:
    from celery_singleton_beat.engine.lease import Lease
    from tests.simulation.world import Process

_SEEN_TO: Final = (*CLOSING, Begun.REFUSED)


class Running(Judge):
    """Sees what workers ask of the store, and what their bodies are told."""

    def saw_begin(
        self, who: str, answer: BeginAnswer, attempt: Attempt, *, close_if_busy: bool, grace_ms: int
    ) -> None:
        """See ``Leases.begun``."""
        run = self.names.run(attempt.run)
        if self.is_told:
            token = f" with {self.names.fence(answer.token)}" if answer.token else ""
            self.world.say(
                who,
                f"begin {run} as {self.names.run(attempt.holder)}: {answer.verdict.value}{token}",
            )
        self.begins(attempt, answer.verdict)
        self._judge(self.memory.leases.begun(attempt, answer, closes=close_if_busy), who, run)
        self.top_fence = max(self.top_fence, answer.token)
        if answer.verdict is Begun.RUN:
            self.begun.add(attempt.run)
            self.freed.pop(attempt.holder, None)
            if attempt.run in self.hopeless:
                self.hopeless[attempt.run] = False
        if answer.verdict in _SEEN_TO or (answer.verdict is Begun.BUSY and close_if_busy):
            self.seen_to.add(attempt.run)
        del grace_ms

    def saw_renew(self, who: str, answers: list[RenewAnswer], renewals: Sequence[Renewal]) -> None:
        """See ``Leases.renewed``."""
        now_ms = self.world.store_ms()
        for renewal, answer in zip(renewals, answers, strict=True):
            run = self.names.run(renewal.attempt.run)
            if self.is_told:
                holder = self.names.run(renewal.attempt.holder)
                self.world.say(who, f"renew {run} as {holder}: {answer.verdict.value}")
            told = self.memory.leases.renewed(
                renewal.attempt, answer, now_ms, has_forgotten=self.has_forgotten
            )
            if answer.token:
                self.freed.pop(renewal.attempt.holder, None)
            self._judge(told, who, run)

    def saw_unlock(self, who: str, was_held: bool, key: str, _by: str) -> None:  # an answer
        """See ``Leases.freed``. Its holder may believe in it for a while, and no longer."""
        self.world.say(who, f"frees {key}: {was_held}")
        holder, told = self.memory.leases.freed(key, was_held=was_held)
        if told:
            self.broke(f"{key} was freed: {told}")
        if holder:
            self.freed[holder] = self.world.now_ms + self.ttl_ms

    def saw_finish(self, who: str, verdicts: list[Finished], endings: Sequence[Ending]) -> None:
        """See ``Leases.finished``."""
        now_ms = self.world.store_ms()
        for ending, verdict in zip(endings, verdicts, strict=True):
            run = self.names.run(ending.attempt.run)
            if self.is_told:
                how = f"{ending.outcome.value}: {verdict.value}"
                holder = self.names.run(ending.attempt.holder)
                self.world.say(who, f"finish {run} as {holder}, {how}")
            told = self.memory.leases.finished(ending, verdict, now_ms)
            if verdict is Finished.RECORDED and ending.outcome is Outcome.FAILED:
                self.seen_to.add(ending.attempt.run)
            self._judge(told, who, run)

    def body_runs(self, process: Process, attempt: Attempt, lease: Lease) -> None:
        """Know of a body that may ask whether it still has its key."""
        self.bodies.append((process, attempt, lease))
        self._one_yes()

    def body_ends(self, attempt: Attempt, lease: Lease) -> None:
        """Judge once more at the end of a body."""
        del lease
        self._one_yes()
        self.body_is_gone(attempt)

    def body_is_gone(self, attempt: Attempt) -> None:
        """Know that a body asks no more."""
        self.bodies = [body for body in self.bodies if body[1] is not attempt]

    def _one_yes(self) -> None:
        """At most one of those who ask whether they have a key is told yes."""
        if (len(self.bodies) < 2 and not self.freed) or self.is_lenient:
            return
        told: dict[str, str] = {}
        for _, attempt, lease in self.bodies:
            if not lease.lost:
                holder = self.names.run(attempt.holder)
                if (until_ms := self.freed.get(attempt.holder)) is not None:
                    if until_ms < self.world.now_ms:
                        self.broke(f"{holder} is told yes, and its key was freed long ago")
                    continue
                if attempt.key in told:
                    self.broke(f"{told[attempt.key]} and {holder} are both told yes")
                told[attempt.key] = holder

    def _judge(self, told: str, who: str, run: str) -> None:
        self._one_yes()
        if told:
            self.broke(f"{run} of {who}: {told}")
