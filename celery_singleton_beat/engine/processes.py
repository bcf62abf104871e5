"""Processes of this host, as the kernel knows them.

Runs in: worker, main process.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    if (known := _state_and_parent(pid)) is not None:
        return known[0] in b"ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def send(number: int, pid: int) -> bool:
    """Send a signal to a child of this process; tell whether there is one of that id."""
    known = _state_and_parent(pid)
    if pid == os.getpid() or (known and int(known[1]) != os.getpid()):
        return False  # a process that has ended: its id may have become another's
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def _state_and_parent(pid: int) -> tuple[bytes, bytes] | None:
    """Ask the kernel about a process; None if there is none, or no such kernel."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:2]
    except OSError:
        return None
    return state, parent
