"""Lock keys and opting out, with real workers: what a message's arguments lock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from celery_singleton_beat import ConfigurationError
from tests.integration.workers import ENOUGH, occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.result import AsyncResult

    from tests.integration.workers import Shop

A_UUID = UUID("0b0f9a6e-1f0c-4a52-9d9c-0d4f3d9f1a55")
A_MOMENT = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))


def call(shop: Shop, task: str, value: object, **kwargs: Any) -> AsyncResult:
    """A message with a value for the lock key."""
    kwargs = {"value": value, "key": "held", **kwargs}
    return shop.client.send_task(f"shop.{task}", kwargs=kwargs)


@pytest.mark.parametrize(
    ("task", "value", "others", "lock_key"),
    [
        ("filled", A_UUID, [str(A_UUID), str(A_UUID).upper()], f"filled:{A_UUID}"),
        (
            "filled",
            A_MOMENT,
            [A_MOMENT.astimezone(timezone.utc), "2026-02-28T22:30:00.000Z"],
            "filled:2026-02-28T22:30:00+00:00",
        ),
        (
            "named",
            {"a": [A_UUID, 1], "b": None},
            [{"b": None, "a": (str(A_UUID), 1.0)}],
            f'shop.named:value={{"a":["{A_UUID}"%2C"1"]%2C"b":"None"}}',
        ),
        ("monthly", A_MOMENT, ["2026-03-31"], "monthly:2026-03"),
        ("made", 7, ["7"], "made:7"),
    ],
)
def test_messages_of_one_value_exclude_each_other_in_whatever_form(
    shop: Shop, task: str, value: object, others: list[object], lock_key: str
) -> None:
    """S4-01: as objects, which the serializer keeps, or as texts; by name or by place."""
    shop.worker()
    shop.gate("g")
    held = call(shop, task, value, steps=[("gate", "g")])
    shop.began("held")

    rivals = [call(shop, task, other) for other in others]
    rivals.append(shop.client.send_task(f"shop.{task}", args=[value, "held"]))
    skipped = [rival.get(timeout=ENOUGH) for rival in rivals]
    shop.let("g")

    assert {result["lock_key"] for result in skipped} == {lock_key}
    assert held.get(timeout=ENOUGH)["token"]
    assert shop.ended("held").started("held") == 1


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("unlucky", "LookupError: no such customer"),
        ("nothing", r"it gave None \(NoneType\) where a text belongs"),
    ],
)
def test_a_key_that_cannot_be_made_fails_its_own_run_only(
    shop: Shop, pool: str, value: str, text: str
) -> None:
    """S4-13: the worker goes on, and the caller is told which key and why."""
    shop.worker(pool, 1)

    failing, fine = call(shop, "made", value), call(shop, "made", "lucky")

    about = f"^lock_key made_key of task shop.made does not fit its call: .*{text}$"
    with pytest.raises(ConfigurationError, match=about):
        failing.get(timeout=ENOUGH)
    assert fine.get(timeout=ENOUGH)["token"]
    assert shop.ended("held").started("held") == 1


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_that_opts_out_is_a_plain_one(make_shop: Callable[..., Shop], pool: str) -> None:
    """S4-14, S4-20: no lock, no record; each message runs, and nobody asks for the store."""
    shop = make_shop(
        task_cls="celery_singleton_beat:SingletonTask",
        singleton_beat_redis_url="redis://127.0.0.1:1/0",
        singleton_beat_on_store_outage="run",
    )
    worker = shop.worker(pool, 3)
    worker.wait_for("The store does not answer", ENOUGH)  # as it tells once at its start
    shop.gate("g")
    known = len(worker.lines)
    about: dict[str, Any] = {"task_id": "an-occurrence", "headers": occurrence()}
    for _ in range(2):
        arguments = [None, "free", [("tell", None), ("gate", "g")]]
        shop.client.send_task("shop.opted_out", args=arguments, **about)
    both = shop.began("free", 2)
    said = "\n".join(worker.lines[known:])
    shop.let("g", 2)
    shop.send("by_class", "ours", ("tell", None)).get(timeout=ENOUGH)

    facts = [shop.told("self", "free", times) for times in (1, 2)]
    assert both.started("free") == 2
    assert [(fact["lease"], fact["occurrence"]) for fact in facts] == [(None, None)] * 2
    assert [fact["on_board"] for fact in facts] == [False, False]
    assert "store" not in said
    assert shop.told("self", "ours")["on_board"] is True
