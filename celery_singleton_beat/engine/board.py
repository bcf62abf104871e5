"""The board: what a worker's processes tell each other about their leases.

Runs in: worker, main process and children.

An anonymous shared memory map, made before the pool forks. The main process
gives every attempt a record; the child writes when it has begun and ended, the
main process renews what has begun and writes how long it may be trusted. So a
child sees a lost lease by itself, also when the main process is dead or stands
still: nobody moves the deadline any more, and its own clock passes it.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.protocol.run import Outcome

# A byte of stage, one of outcome and one that says that a signal is on its way, and the process
# that runs the body; then until when the lease is trusted, its token, the delay of a retry and
# when the body began.
# Numbers are aligned, so that each is written at once.
_RECORD: Final = struct.Struct("<BBBxIQQQQ")
_NUMBER: Final = struct.Struct("<Q")
_PID: Final = struct.Struct("<I")
_PAUSE_S: Final = 0.001
_OUTCOMES: Final = tuple(Outcome)
_NUMBER_OF: Final = {outcome: number for number, outcome in enumerate(_OUTCOMES)}


class Stage(IntEnum):
    """How far an attempt is."""

    FREE = 0
    OPEN = 1  # the main process has handed it to the pool
    BEGUN = 2  # its child holds the lease; it is to be renewed
    DECLINED = 3  # its child was told not to run
    FINISHED = 4  # its end is recorded in the store
    LOST = 5  # another run has, or may have had, its key
    RETRYING = 6  # the store knows that its child retries; whether it was published is open
    POSTPONED = 7  # its child got no answer and queues it again; it may have begun all the same
    ENDED = 8  # its child is through with it, and the store may not know: its outcome is here


_STAGES: Final = tuple(Stage)


class Board:
    """Records of the attempts in hand. Made by the main process; inherited by its children."""

    def __init__(self, size: int = 16_384, *, clock_ms: Callable[[], int] = boot_ms) -> None:
        self._map = mmap.mmap(-1, size * _RECORD.size)
        self._free = deque(range(size))
        self._guard = threading.Lock()
        self._main_pid = os.getpid()
        self._clock_ms = clock_ms
        self.name = os.urandom(8).hex()

    def open(self) -> int | None:
        """Give a record to a new attempt; None if all are taken. Main process only."""
        with self._guard:
            if not self._free:
                return None
            index = self._free.popleft()
        _RECORD.pack_into(self._map, index * _RECORD.size, Stage.OPEN, 0, 0, 0, 0, 0, 0, 0)
        return index

    def close(self, index: int) -> None:
        """Take a record back. Main process only."""
        self.mark(index, Stage.FREE)
        with self._guard:
            self._free.append(index)

    def stage(self, index: int) -> Stage:
        return _STAGES[self._map[index * _RECORD.size]]

    def mark(self, index: int, stage: Stage) -> None:
        self._map[index * _RECORD.size] = stage

    def end(self, index: int, outcome: Outcome, wait_ms: int = 0) -> None:
        """Note how the attempt ended, for whoever tells the store: from now on that may be done."""
        at = index * _RECORD.size
        self._map[at + 1] = _NUMBER_OF[outcome]
        _NUMBER.pack_into(self._map, at + 24, wait_ms)
        self._map[at] = Stage.ENDED

    def ending(self, index: int) -> tuple[Outcome, int]:
        """Tell how an attempt that is ``ENDED`` did, and the delay of its retry."""
        at = index * _RECORD.size
        wait_ms: int = _NUMBER.unpack_from(self._map, at + 24)[0]
        return _OUTCOMES[self._map[at + 1]], wait_ms

    def begin(self, index: int, *, trusted_until_ms: int, token: int) -> None:
        """Note that the lease is held, and until when that may be believed (boot clock)."""
        self.trust(index, trusted_until_ms=trusted_until_ms, token=token)
        _PID.pack_into(self._map, index * _RECORD.size + 4, os.getpid())
        _NUMBER.pack_into(self._map, index * _RECORD.size + 32, self._clock_ms())
        self.mark(index, Stage.BEGUN)

    def trust(self, index: int, *, trusted_until_ms: int, token: int) -> None:
        at = index * _RECORD.size
        _NUMBER.pack_into(self._map, at + 16, token)
        _NUMBER.pack_into(self._map, at + 8, trusted_until_ms)

    def token(self, index: int) -> int:
        token: int = _NUMBER.unpack_from(self._map, index * _RECORD.size + 16)[0]
        return token

    def pid(self, index: int) -> int:
        """Tell which process began the attempt."""
        pid: int = _PID.unpack_from(self._map, index * _RECORD.size + 4)[0]
        return pid

    def running_ms(self, index: int) -> int:
        """Tell for how long the body of an attempt runs by now."""
        began_ms: int = _NUMBER.unpack_from(self._map, index * _RECORD.size + 32)[0]
        return max(self._clock_ms() - began_ms, 0)

    def aim(self, index: int, *, is_aimed: bool) -> None:
        """Note that a signal for the body of this attempt may be about to be sent, or that it was.

        Whoever aims looks at the stage afterwards, and whoever runs the body
        changes the stage before ``wait_out``: so one of them sees the other, and
        the signal does not meet what its process does next. Main process only.
        """
        self._map[index * _RECORD.size + 2] = is_aimed

    def wait_out(self, index: int) -> None:
        """At the end of a body: let a signal that is on its way come now, to no effect."""
        at = index * _RECORD.size + 2
        try:
            while self._map[at] and os.getppid() == self._main_pid:
                time.sleep(_PAUSE_S)
            os.getppid()  # whoever comes out of the kernel has got what was sent before
        except Exception:  # noqa: BLE001, S110  # whatever its handler raises
            pass

    def is_trusted(self, index: int) -> bool:
        """Tell whether the lease may still be believed to be held."""
        at = index * _RECORD.size
        if self._map[at] == Stage.LOST:
            return False
        until_ms: int = _NUMBER.unpack_from(self._map, at + 8)[0]
        return self._clock_ms() < until_ms
