"""Whatever document is to be restored: it is one, or it is refused as a whole."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_singleton_beat.errors import EntryError
from celery_singleton_beat.operate.dumping import read_dump
from tests.fuzz.test_definitions import WHOLE, anything

CHECKED = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
DOCUMENT: dict[str, Any] = {
    "format": "celery-singleton-beat timetable",
    "version": 1,
    "app": "a",
    "exported_at": "2026-01-31T09:00:00+00:00",
    "paused": False,
    "tenants": [{"name": "a", "paused": False, "limits": {"max_entries": 3}}],
    "entries": [{"definition": WHOLE, "paused": True, "note": "n", "changed_by": "me"}],
}


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A document in which something is another's idea, however deep."""
    document = copy.deepcopy(DOCUMENT)
    for _ in range(draw(st.integers(1, 2))):
        at: Any = document
        while True:
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            inner = at[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                at[key] = draw(anything)
                break
            at = inner
    return document


@CHECKED
@given(documents() | anything)
def test_a_document_is_read_or_refused_as_a_whole(document: Any) -> None:
    """S2-12: nothing is restored of one that cannot be read, and what it says can be shown."""
    said = ""
    try:
        read_dump(json.loads(json.dumps(document)))
    except EntryError as error:
        said = str(error)

    assert len(said) < 50_000


def test_the_document_that_is_spoilt_is_one() -> None:
    assert len(read_dump(DOCUMENT).entries) == 1
