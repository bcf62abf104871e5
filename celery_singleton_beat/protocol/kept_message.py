"""Kept messages: what is published again of a run whose worker died, until it begins again.

A task may ask that its run survives its worker. Then the store keeps the run's
message from when it begins, and the beats publish it again once the lease and its
notice are over. The broker may lose that message too, with the next worker that is
killed; so it is kept on, and published again unless the run begins within a
deadline: a TTL and a notice at first, and twice as long each time.

              begin                   end
    (no run) ------> kept (lease) ---------> (nothing)
                      |    ^
     lease and notice |    |  begin
            are over  v    |
                   published again <-+
                      |    |         |  deadline is over: once more,
                      |    +---------+  and it has twice as long
                      v
                   (nothing: its last message)

All these messages may lie in one queue, and the run begins with the first of them.
So none is published much later than the first: the last one still finds the record
of the run, which is kept for its window.
"""

from __future__ import annotations

from typing import NamedTuple

from celery_singleton_beat.protocol.entry import DAY_MS
from celery_singleton_beat.protocol.run import NOTICE_MS, Attempt


class KeptMessage(NamedTuple):
    """A message, and within what time its run is to begin once it is published again.

    That is never longer than ``longest_ms``.
    """

    deadline_ms: int
    longest_ms: int
    text: str

    @classmethod
    def of(cls, attempt: Attempt) -> KeptMessage:
        """Keep the message of an attempt that begins."""
        # All deadlines together are less than twice the longest.
        longest_ms = min(attempt.window_ms // 2, DAY_MS)
        # The first message finds that nobody has given notice yet, and comes again after it.
        deadline_ms = min(attempt.ttl_ms + NOTICE_MS, longest_ms)
        return cls(deadline_ms, longest_ms, attempt.message)

    def again(self) -> KeptMessage | None:
        """Keep it on once it was published again; None if that was the last time."""
        if self.deadline_ms > self.longest_ms:
            return None
        return self._replace(deadline_ms=2 * self.deadline_ms)
