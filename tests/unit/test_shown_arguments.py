"""Arguments as messages show them: what Celery would write, whichever way is taken."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.utils.saferepr import saferepr
from hypothesis import example, given
from hypothesis import strategies as st

from celery_singleton_beat.adapters.entries import shown

APP = Celery("shown", broker="memory://")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.integers(1, 200))
@example({"key": "it's"}, 100)
@example({"key": 'say "no"'}, 100)
@example({"key": "a\\b\n"}, 100)
@example({"key": "x" * 12}, 20)
def test_named_arguments_are_shown_as_celery_shows_them(given: dict[str, Any], most: int) -> None:
    text = shown(APP, given, given.values(), most)

    assert text == saferepr(given, most, maxlevels=APP.conf.task_repr_maxlevels)


@given(st.lists(VALUES, max_size=5), st.integers(1, 200))
def test_arguments_by_place_are_shown_as_celery_shows_them(given: list[Any], most: int) -> None:
    args = given or ()

    text = shown(APP, args, args, most)

    assert text == saferepr(args, most, maxlevels=APP.conf.task_repr_maxlevels)
