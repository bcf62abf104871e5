"""The promise of what is called back: no run that was queued before a change begins after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_singleton_beat.protocol.run import Begun
from tests.simulation.stored import Storing

if TYPE_CHECKING:
    from celery_singleton_beat.protocol.occurrence import Occurrence
    from celery_singleton_beat.protocol.run import Attempt


class Recalling(Storing):
    """Knows by which revision each run was published, and which revisions are called back."""

    def saw_cancel_queued(
        self, who: str, _answer: None, entry: str, revision: int, _keep_ms: int
    ) -> None:
        """What was published before is called back, and awaited no more; what came after is not."""
        self.world.say(who, f"calls back what is queued of {entry}")
        least = self.memory.called_back
        least[entry] = max(least.get(entry, 0), revision)
        for run, (of, dated) in self.dated.items():
            if of == entry and dated < revision:
                self.awaited.discard(run)

    def publishes(self, who: str, occurrence: Occurrence) -> None:
        """What is published a second time is of the revision that it was claimed by."""
        super().publishes(who, occurrence)
        if not occurrence.revision:
            return
        held = self.memory.claims.get(occurrence.cause or occurrence.entry)
        run = self.names.task_id(occurrence.entry, occurrence.scheduled_ms, occurrence.cause)
        is_claimed = (
            held is not None
            and (held.who, held.is_open) == (who, True)
            and held.slot_ms <= occurrence.scheduled_ms
        )
        if run not in self.dated or is_claimed:
            self.dated[run] = (occurrence.entry, occurrence.revision)

    def begins(self, attempt: Attempt, verdict: Begun) -> None:
        """Judge a run by what was called back of its entry; one that has begun goes on."""
        least = self.memory.called_back.get(attempt.entry, 0)
        _, dated = self.dated.get(attempt.run, ("", attempt.revision))
        run, leases = self.names.run(attempt.run), self.memory.leases
        if verdict is Begun.RUN and attempt.run not in leases.runs and 0 < dated < least:
            self.broke(f"{run} begins, and was called back")
        if verdict is Begun.CANCELLED and attempt.revision >= least:
            self.broke(f"{run} is called back, and was published after the change")
        ended = leases.ends.get(attempt.run)
        is_called_back = ended is not None and ended.how == Begun.CANCELLED.value
        if verdict is Begun.RUN and is_called_back and attempt.revision >= max(least, 1):
            # That was an older message of it, and no end of what was claimed since.
            del leases.ends[attempt.run]
        if verdict is Begun.DONE and is_called_back and attempt.revision >= least:
            self.broke(f"{run} does not begin, and what was called back was published before it")
