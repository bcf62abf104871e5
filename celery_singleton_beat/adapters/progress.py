"""A line on the terminal that tells how far a long piece of work came.

Runs in: whatever process changes the timetable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from celery_singleton_beat.engine.report import Report

Progress = Callable[[Report], None]

_EVERY_SECONDS: Final = 0.1
_CLEAR: Final = "\x1b[K"


def progress_of(wanted: Progress | bool | None) -> ProgressLine | Called:
    """What tells of progress: a callable that was given; else a line, if there is a terminal.

    True asks for the line also where no terminal is, False for nothing.
    """
    if callable(wanted):
        return Called(wanted)
    stream = sys.stderr
    is_shown = stream is not None and stream.isatty() if wanted is None else wanted
    return ProgressLine(stream if is_shown else None)


class Called:
    """Calls what was given."""

    def __init__(self, call: Progress) -> None:
        self.tell = call

    def close(self) -> None:
        pass


class ProgressLine:
    """One line, written over and over; nothing without a stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._told_at = 0.0

    def tell(self, report: Report) -> None:
        """Show a report, ten times a second at most."""
        now = time.monotonic()
        if self._stream is None or now - self._told_at < _EVERY_SECONDS:
            return
        self._told_at = now
        rate = report.rows / max(now - self._began, 0.001)
        self._stream.write(f"\r{report}, {rate:,.0f} rows/s{_CLEAR}")
        self._stream.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._told_at:
            self._stream.write(f"\r{_CLEAR}")
            self._stream.flush()
