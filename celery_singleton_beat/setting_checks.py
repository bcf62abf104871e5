"""Checks of settings against each other: a hold against a poll, a TTL against its renewals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.errors import ConfigurationError

if TYPE_CHECKING:
    from celery_singleton_beat.settings import Settings

PREFIX: Final = "singleton_beat_"


def check_lock_ttl(value: object, renew_every_ms: int | None, name: str) -> int:
    """The TTL of a task's own leases, in milliseconds.

    ``name`` is what the error calls it. Raises:
        ConfigurationError: no duration, more than a day as a bare number, or less than three
            renewals long, so that one lost renewal could lose the lease.
    """
    ttl_ms = values.Seconds().check(value, name)
    _check_renewals(ttl_ms, renew_every_ms, name)
    return ttl_ms


def check_together(settings: Settings) -> None:
    """See that no two settings contradict each other.

    Raises:
        ConfigurationError: two do; the text names both.
    """
    _check_renewals(settings.lock_ttl_ms, settings.renew_every_ms, f"{PREFIX}lock_ttl")
    if settings.replica_timeout_ms < 3 * settings.poll_interval_ms:
        raise ConfigurationError(
            f"{PREFIX}replica_timeout ({values.written(settings.replica_timeout_ms / 1000)}) must "
            f"be at least three times {PREFIX}poll_interval "
            f"({values.written(settings.poll_interval_ms / 1000)}): "
            "raise the first or lower the second"
        )
    if settings.wait_replicas and settings.wait_timeout_ms >= settings.socket_timeout_ms:
        raise ConfigurationError(
            f"{PREFIX}wait_timeout ({values.written(settings.wait_timeout_ms / 1000)}) must be "
            f"less than {PREFIX}socket_timeout "
            f"({values.written(settings.socket_timeout_ms / 1000)}): "
            "lower the first or raise the second"
        )


def _check_renewals(ttl_ms: int, renew_every_ms: int | None, name: str) -> None:
    if renew_every_ms is not None and ttl_ms < 3 * renew_every_ms:
        raise ConfigurationError(
            f"{name} ({values.written(ttl_ms / 1000)}) must be at least three times "
            f"{PREFIX}renew_every ({values.written(renew_every_ms / 1000)}): "
            "raise the first or lower the second"
        )
