"""The page about the doctor, compared with the checks that there are."""

from __future__ import annotations

import re
from pathlib import Path

from celery_singleton_beat.operate.doctor.checks import CHECKS, render_table

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def test_the_page_shows_every_check_as_it_is() -> None:
    """S0-42..44."""
    assert render_table() in PAGE.read_text(encoding="utf-8")


def test_every_check_stands_under_a_symptom() -> None:
    """S0-42..44: from what hurts to where to look."""
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("| where something hurts") : page.index("It changes nothing")]

    named = set(re.findall(r"`([a-z-]+)`", table))

    assert named == {check.name for check in CHECKS} - {"store-version"}
