"""Bad input, given to real beats and workers: each a clear error with the way out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from celery_singleton_beat.store.keys import Keys
from tests.integration.careless_app import VARIABLE
from tests.integration.workers import ENOUGH, QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery_singleton_beat.demo.server import EmbeddedServer
    from tests.rig.processes import CeleryRig, Proc

MODULE = "tests.integration.careless_app"
COMMANDS = {
    "worker": ("worker", "-l", "INFO", "-c", "1", *QUIET),
    "beat": ("beat", "-l", "INFO"),
}
KEYS = Keys("csb:careless")
SENT = "Sending due task good"

IN_SETTINGS = [
    (
        {"lock_tll": 30},
        "singleton_beat_lock_tll is not a setting: did you mean singleton_beat_lock_",
    ),
    ({"lock_ttl": 0}, "singleton_beat_lock_ttl (0) must be at least 0.001 seconds"),
    ({"lock_ttl": -30}, "singleton_beat_lock_ttl (-30) must be at least 0.001 seconds"),
    ({"lock_ttl": 300_000}, "Durations are seconds: write 300 if these were milliseconds"),
    ({"lock_ttl": "30s"}, "singleton_beat_lock_ttl must be a number of seconds or a timedelta"),
    ({"claim_hold": 0.5}, "singleton_beat_claim_hold (0.5) must be at least 1 seconds"),
    (
        {"lock_ttl": 2, "renew_every": 1},
        (
            "singleton_beat_lock_ttl (2) must be at least three times singleton_beat_renew_every"
            " (1): raise the first or lower the second"
        ),
    ),
    ({"on_locked": "wait"}, "singleton_beat_on_locked ('wait') must be one of 'skip', 'retry'"),
]
IN_TASKS = [
    (
        "the same lock key twice",
        (
            "tasks careless.one and careless.two have the same lock_key 'one' and would exclude"
            " each other: give each its own, or leave lock_key out"
        ),
    ),
    (
        "a lock key of no argument",
        (
            "lock_key 'report:{costumer}' of task careless.report names no argument 'costumer': "
            "did you mean customer?"
        ),
    ),
    (
        "a lock key that cannot be read",
        "lock_key 'report:{customer' of task careless.report cannot be read",
    ),
    (
        "a lock key of unknown names",
        "lock_key ['costumer'] of task careless.report names no argument 'costumer': did you mean",
    ),
    (
        "a lock key of another call",
        "<lambda> of task careless.report cannot be called with the task's arguments (customer)",
    ),
    (
        "a lock key that is none",
        "lock_key of task careless.report must be a text, a list of argument names or a callable",
    ),
    (
        "an opting out that is none",
        "singleton of task careless.report must be True or False, not 'no'",
    ),
    (
        "a lock ttl in milliseconds",
        "lock_ttl of task careless.report (300000) is 3.472 days. Durations are seconds: write 300",
    ),
    ("a lock ttl of nothing", "lock_ttl of task careless.report (0) must be at least 0.001"),
    ("a word for on_locked", "on_locked of task careless.report ('skipp') must be one of 'skip'"),
    (
        "a word for on_store_outage",
        "on_store_outage of task careless.report ('panic') must be one of 'retry', 'run', 'skip'",
    ),
]
IN_ENTRIES = [
    (
        "a field that is none",
        "entry 'misspelt' has an unknown field 'catchup': did you mean catch_",
    ),
    ("a schedule that is none", "entry 'wordy'"),
    ("a zone that is none", "Europe/Atlantis"),
    ("a choice that is none", "catch_up of entry 'choosy' ('everything') must be one of 'latest'"),
    ("an entry without a task", "entry 'idle' needs a 'task'"),
    ("an entry that is no mapping", "entry 'odd' must be a mapping with at least 'task'"),
]


class Careless:
    """The application with mistakes, on a Redis of its own."""

    def __init__(self, server: EmbeddedServer, rig: CeleryRig) -> None:
        self._rig = rig
        self.url = server.url(0)
        self.store = redis.Redis.from_url(server.url(2), decode_responses=True)
        self.client = Celery("client", broker=self.url)
        self.conf: dict[str, Any] = {
            "broker_url": self.url,
            "broker_connection_retry_on_startup": True,
            "singleton_beat_redis_url": server.url(2),
        }

    def start(self, command: str, *mistakes: str, **conf: Any) -> Proc:
        """A beat or a worker with these mistakes; None in ``conf`` takes a setting away."""
        whole = {**self.conf, "mistakes": mistakes, **conf}
        kept = {name: value for name, value in whole.items() if value is not None}
        return self._rig.run(*COMMANDS[command], name=command, env={VARIABLE: json.dumps(kept)})


@pytest.fixture
def careless(
    own_redis: EmbeddedServer, make_celery: Callable[..., CeleryRig]
) -> Iterator[Careless]:
    """The application with mistakes."""
    app = Careless(own_redis, make_celery(MODULE, {}))
    yield app
    app.client.close()
    app.store.close()


def assert_refused(proc: Proc, text: str) -> None:
    """The process says why, by the name of the thing, and ends with a failing status."""
    proc.wait_for(lambda line: text in line, ENOUGH)
    assert proc.wait_ended(ENOUGH) != 0


@pytest.mark.parametrize("command", ["worker", "beat"])
@pytest.mark.parametrize(("given", "text"), IN_SETTINGS)
def test_a_wrong_setting_stops_beat_and_worker_at_start(
    careless: Careless, command: str, given: dict[str, Any], text: str
) -> None:
    """C2, F13, S4-05: by its name, with what to write instead."""
    conf = {f"singleton_beat_{name}": value for name, value in given.items()}

    proc = careless.start(command, **conf)

    assert_refused(proc, text)


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_without_a_redis_both_say_what_to_set(careless: Careless, command: str) -> None:
    """C18, S0-40: nothing is locked in silence only inside one process."""
    conf = {"singleton_beat_redis_url": None, "broker_url": "amqp://nobody@127.0.0.1:1//"}

    proc = careless.start(command, **conf)

    assert_refused(proc, "singleton_beat_redis_url")
    assert any("memory://" in line for line in proc.lines)


@pytest.mark.parametrize(("mistake", "text"), IN_TASKS)
def test_a_wrong_option_of_a_task_stops_the_worker_at_start(
    careless: Careless, mistake: str, text: str
) -> None:
    """C2, F13, S4-13: the text names the task, the option and the way out."""
    proc = careless.start("worker", mistake)

    assert_refused(proc, text)


@pytest.mark.parametrize(("mistake", "text"), IN_ENTRIES)
def test_an_entry_that_cannot_be_read_is_named_and_the_others_go_on(
    careless: Careless, mistake: str, text: str
) -> None:
    """S2-12: beat neither ends nor guesses."""
    beat = careless.start("beat", mistake)

    line = beat.wait_for("ERROR.*An entry was set aside", ENOUGH)
    beat.wait_for(SENT, ENOUGH)

    assert text in line


def test_arguments_that_cannot_be_encoded_are_given_up_and_the_others_go_on(
    careless: Careless,
) -> None:
    """S2-12: three attempts, then the slot moves on; nobody else waits for it."""
    beat = careless.start("beat", "arguments that cannot be encoded")
    failed = "ERROR.*An entry could not be dispatched: entry='unsendable'"

    lines = [beat.wait_for(f"{failed}.*attempt={number}", ENOUGH) for number in (1, 2, 3)]
    given_up = beat.lines.index(lines[2])
    beat.wait_for(f"{failed}.*attempt=1", ENOUGH, since=given_up)

    moments = {line.partition("scheduled_ms=")[2].split()[0] for line in lines}
    assert len(moments) == 1
    assert [("given_up=True" in line) for line in lines] == [False, False, True]
    assert all("EncodeError" in line or "not JSON serializable" in line for line in lines)
    first = beat.lines.index(lines[0])
    assert any(SENT in line for line in beat.lines[first:given_up])


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_another_application_on_the_same_prefix_is_told_and_does_nothing(
    careless: Careless, command: str
) -> None:
    """C12, S1-21: it neither claims nor runs, and says what to change."""
    owner = careless.start("beat", main="owner", singleton_beat_key_prefix="shared")
    owner.wait_for(SENT, ENOUGH)
    owner.terminate()
    due = careless.store.zrange("{shared}:due", 0, -1, withscores=True)

    guest = careless.start(command, main="guest", singleton_beat_key_prefix="shared")
    careless.client.send_task("careless.work", args=["waits"])
    line = guest.wait_for("ERROR.*The store does not answer", ENOUGH)

    assert "belongs to the app 'owner' under this prefix" in line
    assert "give this app another singleton_beat_key_prefix" in line
    assert not [text for text in guest.lines if SENT in text or "Lock acquired" in text]
    assert careless.store.zrange("{shared}:due", 0, -1, withscores=True) == due


def test_a_slot_that_cannot_be_read_is_moved_away_and_planned_anew(careless: Careless) -> None:
    """F13: by the entry's name; what was there is kept for a look."""
    first = careless.start("beat")
    first.wait_for(SENT, ENOUGH)
    first.terminate()
    careless.store.hset(KEYS.slots, "good", "not a slot")

    beat = careless.start("beat")
    line = beat.wait_for("ERROR.*An entry was set aside", ENOUGH)
    beat.wait_for(SENT, ENOUGH)

    assert "entry='good'" in line
    assert careless.store.hget(KEYS.aside, "good") == "not a slot"


def test_a_foreign_value_under_a_key_of_the_timetable_is_said_and_claims_nothing(
    careless: Careless,
) -> None:
    """F13: until somebody removes it; then beat goes on, with no restart."""
    careless.store.rpush(KEYS.slots, "foreign")
    beat = careless.start("beat")

    line = beat.wait_for("ERROR.*The store does not answer", ENOUGH)
    before = [text for text in beat.lines if SENT in text]
    careless.store.delete(KEYS.slots)
    beat.wait_for(SENT, ENOUGH)

    assert "holds something foreign" in line
    assert "remove it or set another singleton_beat_key_prefix" in line
    assert before == []


def test_a_foreign_value_under_a_lock_key_is_said_and_the_run_waits(careless: Careless) -> None:
    """F13: it is not blocked for ever, nor run without its lock."""
    name = KEYS.lock("careless.work")
    careless.store.rpush(name, "foreign")
    worker = careless.start("worker")
    careless.client.send_task("careless.work", args=["waits"])

    line = worker.wait_for("ERROR.*The store does not answer", ENOUGH)
    worker.wait_for("Run re-queued", ENOUGH)
    before = [text for text in worker.lines if "Lock acquired" in text]
    careless.store.delete(name)
    worker.wait_for("Lock acquired", ENOUGH)

    assert "holds something foreign" in line
    assert "remove it or set another singleton_beat_key_prefix" in line
    assert before == []


def test_a_text_of_somebody_else_under_a_lock_key_blocks_nobody(careless: Careless) -> None:
    """F13: it is no lock of ours; the run begins, and its lock takes the place."""
    careless.store.set(KEYS.lock("careless.work"), "foreign")
    worker = careless.start("worker")

    careless.client.send_task("careless.work", args=["runs"])

    worker.wait_for("Lock acquired", ENOUGH)


def test_arguments_that_do_not_fit_the_lock_key_fail_their_own_run_only(
    careless: Careless,
) -> None:
    """S4-13: the failure names the template and the task."""
    worker = careless.start("worker", "a lock key of one attribute")
    careless.client.send_task("careless.report", args=[7])
    careless.client.send_task("careless.work", args=["next"])

    worker.wait_for(
        "lock_key 'report:{customer.name}' of task careless.report does not fit", ENOUGH
    )

    worker.wait_for("Lock acquired: task='careless.work'", ENOUGH)
