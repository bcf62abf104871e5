"""The options of a SingletonTask, checked, with the settings behind them.

Runs in: worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat import setting_values as values
from celery_singleton_beat import settings as settings_module
from celery_singleton_beat.adapters.lock_keys import described, given_lock_key, key_maker
from celery_singleton_beat.errors import ConfigurationError, DuplicateLockKey
from celery_singleton_beat.setting_checks import check_lock_ttl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_singleton_beat.adapters.extension import Extension
    from celery_singleton_beat.adapters.lock_keys import LockKey, MakeKey
    from celery_singleton_beat.protocol.occurrence import Occurrence

DEFAULT_WINDOW_MS: Final = 600_000


@dataclass(frozen=True)
class TaskOptions:
    """What a task says of its runs; durations in milliseconds."""

    lock_key: LockKey | None
    lock_ttl_ms: int
    renew_ms: int
    on_locked: str
    lock_retries: int | None
    lock_retry_delay_ms: int
    on_store_outage: str
    window_ms: int
    on_lease_lost: str = "warn"
    once_ms: int = 0
    at_least_ms: int = 0
    holds_retries: bool = False
    reruns: bool = False
    max_attempts: int = 0
    alert_after_ms: int | None = None
    make_key: MakeKey | None = field(default=None, compare=False, repr=False)


def read_options(task: Any, extension: Extension) -> TaskOptions:
    """Read a task's options.

    Raises:
        ConfigurationError: one of them is wrong; the text names the task and the option.
        DuplicateLockKey: another task has the same explicit ``lock_key``.
    """
    settings = extension.settings

    def option(name: str, kind: values.Kind, default: Any) -> Any:
        given = getattr(task, name)
        if given is None:
            return default
        return kind.check(given, f"{name} of task {task.name}")

    ttl_ms = settings.lock_ttl_ms
    if task.lock_ttl is not None:
        ttl_name = f"lock_ttl of task {task.name}"
        ttl_ms = check_lock_ttl(task.lock_ttl, settings.renew_every_ms, ttl_name)
    option("singleton", values.Bool(), True)
    key = given_lock_key(task)
    make_key = None if key is None else key_maker(task, key)
    if isinstance(key, str):
        _claim(extension, key, task.name)
    on_crash = option("on_crash", values.choice_of(settings_module.OnCrash), settings.on_crash)
    reruns = on_crash == "rerun"
    return TaskOptions(
        key,
        ttl_ms,
        settings.renewal_ms(ttl_ms),
        option("on_locked", values.choice_of(settings_module.OnLocked), settings.on_locked),
        option("lock_retries", values.Int(0), settings.lock_retries),
        option("lock_retry_delay", values.Seconds(), settings.lock_retry_delay_ms),
        option(
            "on_store_outage",
            values.choice_of(settings_module.OnStoreOutage),
            settings.on_store_outage,
        ),
        settings.dedupe_window_ms or DEFAULT_WINDOW_MS,
        option(
            "on_lease_lost", values.choice_of(settings_module.OnLeaseLost), settings.on_lease_lost
        ),
        option("once_per", values.Seconds(bare_at_most_ms=values.LONGEST_MS), 0),
        option("lock_at_least", values.Seconds(), 0),
        option("lock_through_retries", values.Bool(), default=False),
        reruns,
        option("max_attempts", values.Int(1), settings.max_attempts or (3 if reruns else 0)),
        option("alert_after", values.Seconds(bare_at_most_ms=values.LONGEST_MS), None),
        make_key,
    )


def _claim(extension: Extension, key: str, name: str) -> None:
    known = extension.lock_keys.setdefault(key, name)
    if known != name:
        msg = (
            f"tasks {known} and {name} have the same lock_key {key!r} and would exclude "
            "each other: give each its own, or leave lock_key out"
        )
        raise DuplicateLockKey(msg)


def lock_key_of(
    task: Any,
    options: TaskOptions,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    occurrence: Occurrence | None,
) -> str:
    """Name the key that a run locks: by default its task, and for an occurrence its entry too.

    Raises:
        ConfigurationError: no key can be made of the arguments.
    """
    if options.make_key is None:
        return task.name if occurrence is None else f"{task.name}:{occurrence.entry}"
    try:
        return options.make_key(args, kwargs)
    except Exception as error:
        msg = (
            f"lock_key {described(options.lock_key)} of task {task.name} does not fit its call: "
            f"{type(error).__name__}: {error}"
        )
        raise ConfigurationError(msg) from error
