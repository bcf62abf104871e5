"""A lease as the code that runs under it sees it.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from celery_singleton_beat.engine.board import Board
from celery_singleton_beat.errors import LeaseLost


class Lease:
    """The right to be the only run of a lock key, for as long as it is renewed.

    ``token`` is the fencing number: it only grows, from holder to holder, and a
    resource that refuses a lower one than it has seen stops whoever has lost
    the lease without noticing.
    """

    def __init__(self, key: str, board: Board, index: int) -> None:
        self.key = key
        self._board = board
        self._index = index
        self._is_over = False

    @property
    def token(self) -> int:
        """The fencing number; it grows if the store forgot the lease and it was taken back."""
        return self._board.token(self._index)

    @property
    def lost(self) -> bool:
        """Whether the key may be another run's by now, judged without asking anybody."""
        return self._is_over or not self._board.is_trusted(self._index)

    def end(self) -> None:
        """Believe in it no more: the store is about to be told that this attempt is over."""
        self._is_over = True

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises:
            LeaseLost: the key may be another run's by now.
        """
        if self.lost:
            msg = f"the lease on {self.key!r} is over: another run may hold the key"
            raise LeaseLost(msg)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "held"
        return f"<Lease {self.key!r} token={self.token} {state}>"
