"""RabbitMQ as the broker: no batches there, and every publish is confirmed."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from celery_singleton_beat import SingletonScheduler, subscribe
from celery_singleton_beat import events as happened
from tests.rig.processes import CeleryRig
from tests.rig.witness import Witness

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
    witness.wait_until(lambda tally: len(tally.bodies) >= 40, 60)

    tally = witness.tally()
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for key in tally.bodies:
        entry, _, scheduled_ms = key.partition("@")
        seen[entry].append(int(scheduled_ms))
    for times in seen.values():
        first, last = min(times), max(times) - 2 * EVERY_MS
        assert set(range(first, last, EVERY_MS)) <= set(times)
    assert not tally.duplicates()


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
