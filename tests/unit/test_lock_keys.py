"""Lock keys in all their forms: what a call locks, and what is refused at start."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from functools import partial, wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from celery_singleton_beat import ConfigurationError, DuplicateLockKey, SingletonTask
from celery_singleton_beat.adapters.options import lock_key_of

if TYPE_CHECKING:
    from collections.abc import Callable

A_UUID = UUID("0b0f9a6e-1f0c-4a52-9d9c-0d4f3d9f1a55")
A_DAY = date(2026, 1, 2)


def report(customer: Any, day: Any = None, *, kind: str = "all") -> None:
    """The body of most tasks here."""
    del customer, day, kind


def by_customer(customer: object, **_: object) -> str:
    """A key maker."""
    return f"c:{customer}"


def of(body: Callable[..., object], lock_key: object, **options: Any) -> Any:
    """A task of that body and lock key."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    options = {"base": SingletonTask, "name": "shop.report", "shared": False, **options}
    app.task(lock_key=lock_key, **options)(body)
    return app.tasks["shop.report"]


def key_of(task: Any, *args: Any, **kwargs: Any) -> str:
    """What a call of a task locks."""
    return lock_key_of(task, task.singleton_options, args, kwargs, None)


LOCK_KEYS = ["r:{customer}:{day}", ["customer", "day"], lambda **named: f"{named}"]


@pytest.mark.parametrize("lock_key", LOCK_KEYS)
def test_by_place_by_name_or_by_default_it_is_the_same_call(lock_key: object) -> None:
    """S4-01."""
    task = of(report, lock_key)

    assert key_of(task, 7, None) == key_of(task, day=None, customer=7) == key_of(task, 7)
    assert key_of(task, 7, kind="all") == key_of(task, 7, None)
    assert key_of(task, 8) != key_of(task, 7) != key_of(task, 7, A_DAY)


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("constant", "constant"),
        ("odd}", "odd}"),
        ("{{{customer}}}", f"{{{A_UUID}}}"),
        ("r:{customer}", f"r:{A_UUID}"),
        ("r:{customer.version}", "r:4"),
        ("r:{customer.hex:.4}:{kind!r}", "r:0b0f:'all'"),
        ("r:{day}", "r:2026-01-02"),
        ("r:{day:%Y-%m}", "r:2026-01"),
        ("r:{day.year}", "r:2026"),
        ("r:{kind[0]}", "r:a"),
        ("r:{kind:>{day.day}}", "r:all"),
    ],
)
def test_a_template_is_filled_as_python_does_it(template: str, key: str) -> None:
    assert key_of(of(report, template), A_UUID, A_DAY) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (A_UUID, str(A_UUID).upper()),
        (A_DAY, "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T02:00:00+02:00"),
        (Decimal("1.50"), 1.5),
        ({"a": [1], "b": A_UUID}, {"b": str(A_UUID), "a": (1,)}),
    ],
)
def test_equal_values_give_one_key_whatever_their_form(one: object, other: object) -> None:
    """S4-01: a UUID and its string, a moment and its ISO text."""
    for lock_key in ("r:{customer}", ["customer"]):
        task = of(report, lock_key)
        assert key_of(task, one) == key_of(task, other) != key_of(task, "another")


@pytest.mark.parametrize("day", ["2026-01-02", "2026-01-02T10:00:00Z"])
def test_a_format_of_moments_takes_their_iso_texts_too(day: str) -> None:
    assert key_of(of(report, "r:{day:%Y-%m}"), 7, day) == "r:2026-01"


def test_named_arguments_make_a_key_that_can_be_read() -> None:
    task = of(report, ("customer", "day"))

    assert key_of(task, 7, A_DAY) == "shop.report:customer=7,day=2026-01-02"
    assert key_of(task, "7,day=x", "100%") == "shop.report:customer=7%2Cday=x,day=100%25"


@given(*2 * [st.tuples(st.text("ab,=%25C"), st.text("ab,=%25C"))])
def test_named_arguments_that_differ_give_keys_that_differ(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (key_of(NAMED, *one) == key_of(NAMED, *other)) == (one == other)


NAMED = of(report, ["customer", "day"])


def test_a_callable_is_given_all_arguments_by_their_names() -> None:
    """Defaults filled in."""
    told: list[Any] = []

    def tell(*args: object, **kwargs: object) -> str:
        told.append((args, kwargs))
        return "k"

    assert key_of(of(report, tell), 7) == "k"
    assert told == [((), {"customer": 7, "day": None, "kind": "all"})]


def test_a_callable_may_be_whatever_can_be_called() -> None:
    class Maker:
        def __call__(self, customer: object, **_: object) -> str:
            return f"c:{customer}"

    def of_two(prefix: str, customer: object, **_: object) -> str:
        return f"{prefix}:{customer}"

    @wraps(by_customer)
    def wrapped(*args: object, **kwargs: object) -> str:
        return by_customer(*args, **kwargs)

    makers = [by_customer, Maker(), Maker().__call__, staticmethod(by_customer), wrapped]
    makers.append(partial(of_two, "c"))

    assert {key_of(of(report, maker), 7) for maker in makers} == {"c:7"}


def test_a_method_of_the_tasks_class_may_make_its_key() -> None:
    class Report(SingletonTask):
        name = "shop.report"
        area = "eu"

        def run(self, customer: int, day: object = None) -> None:
            del customer, day

        def lock_key(self, customer: int, **_: object) -> str:
            return f"{self.area}:{customer}"

    app = Celery("shop", broker="memory://", set_as_current=False)
    task = app.register_task(Report())

    assert key_of(task, 7) == "eu:7"


@pytest.mark.parametrize(
    "lock_key", ["r:{number}", ["number"], lambda number: f"r:{number}", "r:{number!s}"]
)
def test_a_bound_tasks_self_is_no_argument(lock_key: object) -> None:
    def bound(self: SingletonTask, number: int) -> None:
        del self, number

    task = of(bound, lock_key, bind=True, autoretry_for=(OSError,))

    assert key_of(task, 3) in {"r:3", "shop.report:number=3"}


def test_a_body_of_any_keywords_can_have_any_of_them_in_its_key() -> None:
    def free(**options: int) -> None:
        del options

    makers = ["{number}:{options[number]}", ["number"], lambda number, **_: f"n{number}"]

    assert [key_of(of(free, maker), number=3, other=1) for maker in makers] == [
        "3:3",
        "shop.report:number=3",
        "n3",
    ]
    with pytest.raises(ConfigurationError, match="does not fit its call: KeyError: 'number'"):
        key_of(of(free, "{number}"), other=1)


def test_arguments_without_names_come_as_the_body_gets_them() -> None:
    def free(first: int, /, second: int, *others: int, **options: int) -> None:
        del first, second, others, options

    makers = ["{first}:{others[1]}", ["first", "others"], lambda *all_, **named: f"{all_}{named}"]

    assert [key_of(of(free, maker), 1, 2, 3, 4, five=5) for maker in makers] == [
        "1:4",
        'shop.report:first=1,others=["3"%2C"4"]',
        "(1, 2, 3, 4){'five': 5}",
    ]


@pytest.mark.parametrize(
    ("lock_key", "text"),
    [
        (7, "lock_key of task shop.report must be a text, a list of argument names or a callable,"),
        ({"customer"}, "must be a text, a list of argument names or a callable, not set"),
        ("", "lock_key of task shop.report is empty"),
        ("a:{costumer}", "names no argument 'costumer': did you mean customer?"),
        ("a:{kind.x}{other[0]}", "names no argument 'other'"),
        ("a:{kind:{width}}", "names no argument 'width'"),
        ("a:{}", r"names no argument ''\. There are: customer, day, kind"),
        ("a:{0}", "names no argument '0'"),
        ("a:{customer", "cannot be read: expected '}'"),
        ("a:{customer.}", "cannot be read: Empty attribute"),
        ("a:{customer!x}", "cannot be read: Unknown conversion"),
        ([], r"lock_key \[\] of task shop.report must name one argument or more"),
        (["customer", 7], "must name one argument or more, each by a text"),
        (["costumer"], r"lock_key \['costumer'\] of .* names no argument 'costumer': did you mean"),
        (
            lambda customer: customer,
            r"<lambda> of task shop.report cannot be called with the task's",
        ),
        (lambda customer: customer, r"unexpected keyword argument 'day'.*let \*\*_ take those"),
        (lambda much, **_: much, "missing a required argument: 'much'"),
    ],
)
def test_a_lock_key_that_cannot_be_is_refused_at_start(lock_key: object, text: str) -> None:
    """S4-13: before the first call."""
    task = of(report, lock_key)

    with pytest.raises(ConfigurationError, match=text):
        task.singleton_options  # noqa: B018  # reading it checks


@pytest.mark.parametrize(
    ("lock_key", "call", "text"),
    [
        ("r:{customer}", (), "lock_key 'r:{customer}' of task shop.report does not fit its call"),
        ("r:{customer}", (), "TypeError: missing a required argument: 'customer'"),
        ("r:{customer}", (1, 2, 3), "too many positional arguments"),
        ("r:{customer.name}", (None,), "AttributeError: .*'name'"),
        ("r:{customer[name]}", ({},), "KeyError: 'name'"),
        ("r:{customer:03d}", ("x",), "ValueError: Unknown format code 'd'"),
        ("r:{customer}", (object(),), "a object has no text of its own"),
        (["customer"], (), "missing a required argument"),
        (["customer"], ([object()],), "has no text of its own"),
        (by_customer, (), "lock_key by_customer of task .* missing a required argument"),
        (lambda customer, **_: customer["a"], ({},), "<lambda> of task .*: KeyError: 'a'"),
        (lambda **_: None, (7,), r"TypeError: it gave None \(NoneType\) where a text belongs"),
        (lambda **_: b"k", (7,), r"it gave b'k' \(bytes\) where a text belongs"),
        (lambda **_: "", (7,), r"it gave '' \(str\) where a text belongs"),
    ],
)
def test_a_call_without_a_key_says_which_and_why(
    lock_key: object, call: tuple[object, ...], text: str
) -> None:
    """S4-13: the callable's own error stays the cause."""
    task = of(report, lock_key)

    with pytest.raises(ConfigurationError, match=text) as raised:
        key_of(task, *call)
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("kwargs", [{"customer": 1, "x": 2}, {"customer": 1, "day": 2, "dya": 3}])
def test_a_call_with_a_name_too_many_has_no_key(kwargs: dict[str, Any]) -> None:
    task = of(report, "{customer}")

    with pytest.raises(ConfigurationError, match=r"unexpected keyword argument '(x|dya)'"):
        key_of(task, **kwargs)
    with pytest.raises(ConfigurationError, match="missing a required argument: 'customer'"):
        key_of(of(report, "{day}"), x=1)
    with pytest.raises(ConfigurationError, match="multiple values for argument 'customer'"):
        key_of(task, 1, customer=1)


def test_long_values_give_keys_that_a_store_can_bear() -> None:
    for lock_key in ("r:{customer}", ["customer"], by_customer):
        task = of(report, lock_key)
        one, other = key_of(task, 10_000 * "x" + "1"), key_of(task, 10_000 * "x" + "2")
        assert one != other
        assert len(one) <= 200


def test_two_tasks_may_share_a_callable_and_not_a_template() -> None:
    """S4-13: what the same function answers for both excludes them, as somebody may want."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    for name in ("one", "two"):
        for kind, key in (("template", "r:{customer}"), ("function", by_customer)):
            options: Any = {"base": SingletonTask, "shared": False, "lock_key": key}
            app.task(name=f"{name}.{kind}", **options)(report)

    keys = [key_of(app.tasks[f"{name}.function"], 7) for name in ("one", "two")]

    assert keys == ["c:7", "c:7"]
    assert key_of(app.tasks["one.template"], 7) == "r:7"
    with pytest.raises(
        DuplicateLockKey, match=r"tasks one\.template and two\.template have the same"
    ):
        app.tasks["two.template"].singleton_options  # noqa: B018  # reading it checks
