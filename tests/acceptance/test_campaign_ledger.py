"""What the campaign's ledger calls lost, and what it takes for the broker's loss."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.acceptance.campaign_faults import Fault
from tests.acceptance.campaign_ledger import Ledger
from tests.acceptance.campaign_losses import commands, never_noted

FROZEN = Fault("freeze main and children", "w1", 0, True, 3, 10)
KILLED = Fault("kill main and children", "w1", 5, False, 3, 5)
POSTPONED = ["sent", "received", "RunPostponed", "handled"]


def ledger(*kinds: str, never_noted: tuple[str, ...] = ()) -> Ledger:
    """The accounts of a run of which that much is known, in a storm that struck its worker."""
    facts = [
        {"at_ns": at, "kind": kind, "run": "r", "worker": "w1", "state": "IGNORED"}
        for at, kind in enumerate(kinds)
    ]
    storm: Any = SimpleNamespace(faults=[FROZEN, KILLED], gone_ns={})
    return Ledger(facts, {}, storm, ["r"], never_noted, ttl_s=3)


def log(*told: list[str]) -> bytes:
    """Commands as a server writes them down."""
    return b"".join(
        b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
        for words in told
    )


def message(run: str) -> dict[str, Any]:
    return {"body": "a\r\nb", "headers": {"id": run}}


def pushed(run: str) -> list[str]:
    return ["LPUSH", "celery", json.dumps(message(run))]


def noted(run: str) -> list[str]:
    return ["HSET", "unacked", "tag", json.dumps([message(run), "", "celery"])]


@pytest.mark.parametrize("known", [["sent"], ["sent", "received"], POSTPONED])
def test_what_the_broker_has_not_lost_is_lost_by_us_whoever_was_struck(known: list[str]) -> None:
    assert ledger(*known).lost() == ({"r"}, set())


@pytest.mark.parametrize("known", [["sent"], ["sent", "received"], POSTPONED])
def test_what_was_taken_and_never_noted_has_vanished(known: list[str]) -> None:
    assert ledger(*known, never_noted=("r",)).lost() == (set(), {"r"})


@pytest.mark.parametrize(
    "known",
    [["sent", "received", "DuplicateDropped"], [*POSTPONED, "received", "handled"]],
    ids=["dropped", "acknowledged"],
)
def test_what_some_code_let_go_of_is_lost_whatever_the_broker_did(known: list[str]) -> None:
    assert ledger(*known, never_noted=("r",)).lost() == ({"r"}, set())


def test_the_brokers_log_tells_what_was_taken_off_the_queue_and_noted_nowhere() -> None:
    torn = log(pushed("c"))[:-9]
    told = log(pushed("a"), pushed("b"), ["RPOP", "celery"], noted("a"), ["RPOP", "celery"]) + torn

    assert never_noted(list(commands(told))) == {"b"}
    assert never_noted([*commands(told), [word.encode() for word in noted("b")]]) == set()
