"""Jitter: a fixed delay per entry, spread evenly over its range.

The offset moves when an entry is due, never what it is called: the occurrence
keeps its nominal time. It comes from a cryptographic hash of the whole name, so
short and similar names spread as well as long ones.
"""

from __future__ import annotations

from hashlib import blake2b


def offset_ms(entry: str, jitter_ms: int) -> int:
    """Tell the delay of ``entry``, in ``[0, jitter_ms)``; the same on every replica."""
    if jitter_ms <= 0:
        return 0
    digest = blake2b(entry.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * jitter_ms >> 64
