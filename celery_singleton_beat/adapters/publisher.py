"""Publishing through Celery's own path, knowing what was sent.

Runs in: beat.

Celery's ``apply_entry`` swallows errors, and kombu's batch does not tell which
of its messages were sent; so every message's fate is noted where it is decided:
in our ``apply_async`` before it is buffered, and at the one flush that is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from celery.result import denied_join_result
from kombu.exceptions import OperationalError
from kombu.utils.objects import cached_property

from celery_singleton_beat.adapters import messages
from celery_singleton_beat.engine.publisher import (
    BrokerUnavailable,
    Delivery,
    Publication,
    Sent,
)
from celery_singleton_beat.protocol.occurrence import Occurrence

_UNBOUNDED: Final = 1 << 30
_ABANDONED: Final = Delivery(Sent.UNSENT, error="the hold was nearly over")


class Sender(Protocol):
    """What publishing needs of a scheduler."""

    app: Any
    Producer: Any
    connection: Any
    producer: Any

    def send(self, publication: Publication) -> tuple[str, BaseException | None]:
        """Publish one occurrence; tell its task id, and why it failed, if it did."""

    def settle_check_ins(self, deliveries: Sequence[Delivery]) -> None:
        """Have those who watch each message told of the ones that were not sent."""

    def task_id(self, occurrence: Occurrence) -> str:
        """Tell the id of an occurrence's messages."""

    def disconnect(self) -> None:
        """Drop the broker connection."""


class CeleryPublisher:
    """Implements ``Publisher`` through a scheduler's ``apply_entry``."""

    def __init__(self, scheduler: Sender, connect_timeout_s: float) -> None:
        self._scheduler = scheduler
        self._timeout_s = connect_timeout_s

    def connect(self) -> None:
        scheduler = self._scheduler
        if "producer" in vars(scheduler):
            return
        try:
            connection = scheduler.app.connection_for_write(
                connect_timeout=self._timeout_s,
                # RabbitMQ acknowledges nothing unless it is asked to; other transports ignore it.
                transport_options={"confirm_publish": True},
            )
            scheduler.connection = connection
            connection.ensure_connection(
                max_retries=0, timeout=self._timeout_s, reraise_as_library_errors=True
            )
            producer = scheduler.Producer(connection, auto_declare=False)
            producer.channel  # noqa: B018  # opens it: some transports connect only here
            scheduler.producer = producer
        except Exception as error:
            scheduler.disconnect()
            raise BrokerUnavailable(str(error) or type(error).__name__) from error

    def task_id(self, occurrence: Occurrence) -> str:
        return self._scheduler.task_id(occurrence)

    def publish(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        with denied_join_result():
            if getattr(self._scheduler.producer, "supports_batch_publish", False):
                deliveries = self._publish_batch(publications, may_go_on)
            else:
                deliveries = self._publish_each(publications, may_go_on)
        self._scheduler.settle_check_ins(deliveries)
        return deliveries

    def publish_again(self, message: str) -> Delivery:
        scheduler = self._scheduler
        if "producer" not in vars(scheduler):
            return Delivery(Sent.UNSENT, error="the broker was lost")
        try:
            messages.publish(scheduler.producer, message)
        except Exception as error:  # noqa: BLE001  # whatever the broker's library raises
            if self._is_of_the_line(error):
                scheduler.disconnect()
                return Delivery(Sent.UNKNOWN, error=_text(error))
            return Delivery(Sent.FAILED, error=_text(error))
        return Delivery(Sent.SENT)

    def _publish_each(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for publication in publications:
            if "producer" not in vars(self._scheduler):
                deliveries.append(Delivery(Sent.UNSENT, error="the broker was lost"))
            elif not may_go_on():
                deliveries.append(_ABANDONED)
            else:
                deliveries.append(self._publish_one(publication))
        return deliveries

    def _publish_one(self, publication: Publication) -> Delivery:
        """Publish one message at once; an error of the line leaves its fate unknown."""
        task_id, error = self._scheduler.send(publication)
        if error is None:
            return Delivery(Sent.SENT, task_id)
        if self._is_of_the_line(error):
            self._scheduler.disconnect()
            return Delivery(Sent.UNKNOWN, task_id, _text(error))
        return Delivery(Sent.FAILED, task_id, _text(error))

    def _publish_batch(
        self, publications: Sequence[Publication], may_go_on: Callable[[], bool]
    ) -> list[Delivery]:
        """Buffer all, then flush once, right after the hold was seen to be trusted still."""
        scheduler = self._scheduler
        deliveries: list[Delivery] = []
        is_broken = False
        try:
            with scheduler.producer.batch(max_size=_UNBOUNDED) as batch:
                for publication in publications:
                    if is_broken:
                        deliveries.append(Delivery(Sent.UNSENT, error="the broker was lost"))
                        continue
                    task_id, error = scheduler.send(publication)
                    if error is None:
                        deliveries.append(Delivery(Sent.SENT, task_id))
                    elif self._is_of_the_line(error) or batch.state.aborted:
                        # Nothing was flushed: this one and all after it were surely not sent.
                        is_broken = True
                        deliveries.append(Delivery(Sent.UNSENT, task_id, _text(error)))
                    else:
                        deliveries.append(Delivery(Sent.FAILED, task_id, _text(error)))
                if not may_go_on():
                    batch.state.abort()
                    return _fall_to(deliveries, _ABANDONED)
                batch.flush()
        except Exception as error:  # noqa: BLE001  # whatever the broker's library raises
            scheduler.disconnect()
            return _fall_to(deliveries, Delivery(Sent.UNKNOWN, error=_text(error)))
        if is_broken:
            scheduler.disconnect()
        return deliveries

    def _is_of_the_line(self, error: BaseException) -> bool:
        return isinstance(error, (OperationalError, OSError, *self._line_errors))

    @cached_property
    def _line_errors(self) -> tuple[type[BaseException], ...]:
        with self._scheduler.app.connection_for_write() as connection:
            return (*connection.connection_errors, *connection.channel_errors)


def _fall_to(deliveries: Sequence[Delivery], fate: Delivery) -> list[Delivery]:
    """Replace what counted as sent: it was only buffered."""
    return [
        Delivery(fate.sent, delivery.task_id, fate.error)
        if delivery.sent is Sent.SENT
        else delivery
        for delivery in deliveries
    ]


def _text(error: BaseException) -> str:
    cause: Any = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
