"""RabbitMQ as the broker: no batches there, and every publish is confirmed."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from celery_singleton_beat import SingletonScheduler, subscribe
from celery_singleton_beat import events as happened
from tests.rig.processes import CeleryRig
from tests.rig.witness import Tally, Witness, key_of

APP = "tests.integration.rabbit_app"
EVERY_MS = 500


def test_two_beats_and_two_workers_run_every_occurrence_once(
    rabbitmq: str,
    redis_url: str,
    make_celery: Callable[..., CeleryRig],
    witness: Witness,
) -> None:
    """S0-01, S0-16..18: the transport has no batches; a killed beat costs nothing."""
    rig = make_celery(APP, {"RABBIT_BROKER": rabbitmq, "RABBIT_STORE": redis_url})
    for _ in range(2):
        rig.worker()
    doomed, _ = rig.beat(), rig.beat()

    witness.wait_until(lambda tally: len(tally.bodies) >= 12, 60)
    doomed.kill()
    tally = witness.wait_until(lambda tally: len(tally.bodies) >= 40, 60)
    due = all_up_to_the_latest(tally, "a") | all_up_to_the_latest(tally, "b")
    # Of two workers one may be behind with its message while the other has begun the next ones.
    tally = witness.wait_until(lambda tally: due <= tally.bodies.keys(), 60)

    assert len(due) >= 40
    assert not tally.duplicates()


def all_up_to_the_latest(tally: Tally, entry: str) -> set[str]:
    """Every occurrence from the first that was seen of an entry to the last."""
    keys = [key for key in tally.bodies if key.startswith(f"{entry}@")]
    times = [int(key.partition("@")[2]) for key in keys]
    return {key_of(entry, at_ms) for at_ms in range(min(times), max(times) + 1, EVERY_MS)}


def test_a_publish_is_confirmed_by_the_broker_before_it_counts(
    rabbitmq: str, redis_url: str
) -> None:
    app = Celery("confirmed", broker=rabbitmq, set_as_current=False)
    app.conf.update(singleton_beat_redis_url=redis_url, result_expires=None)
    app.conf.beat_schedule = {"often": {"task": "confirmed.task", "schedule": 0.05}}
    published: list[happened.Event] = []
    subscribe(app, published.append)
    scheduler = SingletonScheduler(app=app)

    while not any(isinstance(event, happened.OccurrencePublished) for event in published):
        scheduler.tick()

    channel = scheduler.producer.channel
    assert channel._confirm_selected  # noqa: SLF001  # py-amqp tells it nowhere else
    assert channel.queue_declare("celery", passive=True).message_count >= 1
    channel.queue_delete("celery")
    scheduler.close()
