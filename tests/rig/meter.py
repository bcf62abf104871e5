"""A meter of what an operation takes: script calls, commands, and instructions of our own code.

None of the three depends on how busy the machine is. Instructions are Python's bytecodes, of
modules of the package alone, so that another release of a library changes nothing; another Python
does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import celery_singleton_beat

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = str(Path(celery_singleton_beat.__file__).parent)
SCRIPT_CALL = "evalsha"
# What opens a connection or asks for these very figures, and no operation's own.
OVERHEAD = ("info", "script|load", "hello", "client|setinfo", "select", "subscribe", "ping")


class Cost(NamedTuple):
    """What something took."""

    scripts: float
    commands: float
    instructions: float

    def each(self, count: int) -> Cost:
        return Cost(*(round(value / count, 2) for value in self))


def measure(client: Any, operation: Callable[[], object]) -> Cost:
    """Tell what an operation takes of a server that nobody else uses, and of this process."""
    before = _calls(client)
    instructions = _instructions(operation)
    after = _calls(client)
    calls = {name: count - before.get(name, 0) for name, count in after.items()}
    scripts = calls.pop(SCRIPT_CALL, 0)
    return Cost(scripts, sum(calls.values()), instructions)


def _calls(client: Any) -> dict[str, int]:
    stats = client.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}
    return {name: count for name, count in counts.items() if name not in OVERHEAD}


def _instructions(operation: Callable[[], object]) -> int:
    count = 0

    def within(_: FrameType, event: str, __: object) -> Any:
        nonlocal count
        count += event == "opcode"
        return within

    def on_call(frame: FrameType, _: str, __: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return within

    earlier = sys.gettrace()
    sys.settrace(on_call)
    try:
        operation()
    finally:
        sys.settrace(earlier)
    return count
