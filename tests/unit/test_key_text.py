"""Texts of lock keys: one for all that is equal, whoever wrote it."""

from __future__ import annotations

import enum
import math
import string
from collections import OrderedDict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.serialization import registry

from celery_singleton_beat.protocol.key_text import LONGEST, bounded, moment_of, text_of

UTC = timezone.utc
messages: Any = registry
A_UUID = "00000000-0000-0000-0000-00000000000a"


class Colour(enum.Enum):
    """A choice."""

    RED = "red"


class Size(enum.IntEnum):
    """A choice of numbers."""

    LARGE = 3


class Shout(str):
    """A text that writes itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper() + "!"


class Silent:
    """An object without a text."""


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001  # hypothesis wants it so
    timezones=st.one_of(st.none(), offsets),
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text()
    | st.binary()
    | st.uuids()
    | moments
    | st.dates()
    | st.times(timezones=st.one_of(st.none(), offsets))
)
HALVES = st.sampled_from("\ud800\udc00")
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
plain = st.recursive(
    st.text('ab,:"\\[]{}'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab,:"'), inner),
    max_leaves=8,
)


@given(values)
def test_a_value_has_its_text_on_both_sides_of_a_serializer(value: Any) -> None:
    """S4-01: what the caller wrote, and what a worker reads."""
    for serializer in ("json", "pickle"):
        content_type, encoding, body = messages.dumps([value], serializer=serializer)
        (arrived,) = messages.loads(body, content_type, encoding, accept=[content_type])

        assert text_of(arrived) == text_of(value), serializer


@given(st.integers(-(2**53), 2**53), st.integers(0, 60))
def test_equal_numbers_have_one_text(numerator: int, halvings: int) -> None:
    number = math.ldexp(numerator, -halvings)
    forms = [number, Decimal(number), Decimal(f"{Decimal(number):.80f}")]
    forms += [int(number)] if number.is_integer() else []

    assert {text_of(form) for form in forms} == {text_of(number)}


@pytest.mark.parametrize(
    ("forms", "text"),
    [
        ((1, 1.0, True, Decimal("1.00"), Decimal("1E+0")), "1"),
        ((0, -0.0, False, Decimal("-0.0")), "0"),
        ((0.1, Decimal("0.1"), Decimal("0.100")), "0.1"),
        ((10**22, 1e22, Decimal("1E+22")), "1" + 22 * "0"),
        ((12345678901234567890, Decimal("12345678901234567890.0")), "12345678901234567890"),
        ((math.inf, Decimal("Infinity")), "inf"),
        ((math.nan, Decimal("NaN"), Decimal("sNaN")), "nan"),
        ((Decimal("1E+999999999999999999"),), "1E+999999999999999999"),
        ((UUID(int=10), A_UUID, A_UUID.upper(), A_UUID.encode()), A_UUID),
        ((Colour.RED, "red", b"red", bytearray(b"red"), memoryview(b"red")), "red"),
        ((Size.LARGE, 3), "3"),
        ((b"\xff\x00",), "ff00"),
        ((Shout("loud"), "loud"), "loud"),
        ((None,), "None"),
        ((timedelta(days=1, seconds=2),), "1 day, 0:00:02"),
        ((date(2026, 1, 2), "2026-01-02"), "2026-01-02"),
        ((time(3, 4), "03:04", "03:04:00", "03:04:00.000"), "03:04:00"),
        ((time(3, 4, tzinfo=UTC), "05:04+02:00", "03:04Z"), "03:04:00+00:00"),
        (([1, (2, [])], (1, [2, ()]), deque([1, [2, deque()]])), '["1",["2",[]]]'),
        (({"b": {"x": 1}, "a": 2}, OrderedDict(a=2, b={"x": 1.0})), '{"a":"2","b":{"x":"1"}}'),
        (({2: "a", None: "b", True: "c"}, {"2": "a", "true": "c", "null": "b"}), None),
        (({0, 8, 1}, frozenset((8.0, 1, 0))), '["0","1","8"]'),
        (([Colour.RED, UUID(int=1)], ["red", str(UUID(int=1))]), None),
    ],
)
def test_forms_of_one_value(forms: tuple[Any, ...], text: str | None) -> None:
    """S4-01."""
    texts = {text_of(form) for form in forms}

    assert len(texts) == 1
    assert text is None or texts == {text}


@given(moments.filter(lambda moment: moment.tzinfo is not None), offsets)
def test_a_moment_is_the_same_in_every_zone(moment: datetime, zone: timezone) -> None:
    assert text_of(moment.astimezone(zone)) == text_of(moment)


@given(moments | st.times(timezones=st.one_of(st.none(), offsets)) | st.dates())
def test_a_moment_is_its_iso_text(moment: Any) -> None:
    """As callers in other languages send it, with a space or a T, with a Z or an offset."""
    text = moment.isoformat()

    written = {text, str(moment), text.replace("+00:00", "Z")}

    assert {text_of(each) for each in written} == {text_of(moment)}


def test_a_moment_of_a_place_is_one_of_the_world() -> None:
    paris = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))

    assert text_of(paris) == text_of("2026-07-01T10:00:00.000Z") == "2026-07-01T10:00:00+00:00"


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2026-01-02T25:00", "12:60", "1:2", "٢٠٢٦-01-02", "12:30+99:00", "", "x"]
)
def test_what_only_resembles_a_moment_is_a_text(text: str) -> None:
    assert moment_of(text) is None
    assert text_of(text) == text


def test_the_first_moment_of_all_has_no_earlier_name() -> None:
    """It is written by other systems for "never", with whatever offset."""
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))

    assert text_of(first) == text_of(first.isoformat()) == "0001-01-01T00:00:00+02:00"


@given(plain, plain)
def test_values_that_differ_have_texts_that_differ(one: Any, other: Any) -> None:
    assert (text_of([one]) == text_of([other])) == (one == other)


@given(st.dictionaries(st.text(), leaves))
def test_the_order_of_a_mapping_is_nothing(given_one: dict[str, Any]) -> None:
    turned = dict(reversed(given_one.items()))

    assert text_of(turned) == text_of(given_one)


@pytest.mark.parametrize("value", [Silent(), [Silent()], {"a": Silent}.get, lambda: None])
def test_what_each_process_writes_otherwise_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no text of its own: name one of its attributes"):
        text_of(value)


@given(st.text(st.characters() | HALVES), st.text(HALVES, max_size=3))
def test_a_key_is_bounded_and_stays_its_own(start: str, end: str) -> None:
    """S4-01: half surrogates, which JSON lets through, as well."""
    for length in (0, LONGEST - 3, LONGEST, 10 * LONGEST):
        key = start + length * "x" + end

        short = bounded(key)

        assert len(short.encode()) <= LONGEST
        assert bounded(key + "y") != short
        assert short == key or not key.isascii() or len(key) > LONGEST


def test_a_long_key_shows_its_beginning_and_a_digest() -> None:
    key = bounded("report:" + 300 * "é")

    assert key.startswith("report:é")
    assert len(key.encode()) <= LONGEST
    assert set(key.rpartition("#")[2]) <= set(string.hexdigits)
