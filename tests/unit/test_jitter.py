"""Jitter: the same on every replica, and even also for short names."""

from __future__ import annotations

from celery_singleton_beat.protocol.jitter import offset_ms


def test_it_depends_on_the_name_alone() -> None:
    """S2-06, S2-07: deterministic by entry."""
    assert offset_ms("nightly", 30_000) == offset_ms("nightly", 30_000) == 28_797


def test_it_stays_within_its_range_and_none_is_none() -> None:
    offsets = [offset_ms(str(n), 10) for n in range(1000)]

    assert set(offsets) == set(range(10))
    assert offset_ms("x", 0) == 0


def test_short_names_spread_evenly() -> None:
    """F15: names of one and two characters, in ten equal parts of the range."""
    names = [str(n) for n in range(1000)]

    parts = [offset_ms(name, 30_000) // 3000 for name in names]

    counts = [parts.count(part) for part in range(10)]
    assert min(counts) > 60
    assert max(counts) < 140
