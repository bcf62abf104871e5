"""The page about the doctor, compared with the checks that there are."""

from __future__ import annotations

from pathlib import Path

from celery_singleton_beat.operate.doctor.checks import render_table

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def test_the_page_shows_every_check_as_it_is() -> None:
    """S0-42..44."""
    assert render_table() in PAGE.read_text(encoding="utf-8")
