"""The options of a SingletonTask, checked, with the settings behind them.

Runs in: worker.
"""

from __future__ import annotations

import inspect
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat import setting_values as values
from celery_singleton_beat import settings as settings_module
from celery_singleton_beat.errors import ConfigurationError, DuplicateLockKey
from celery_singleton_beat.settings import check_lock_ttl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery_singleton_beat.adapters.extension import Extension
    from celery_singleton_beat.protocol.occurrence import Occurrence

DEFAULT_WINDOW_MS: Final = 600_000


@dataclass(frozen=True)
class TaskOptions:
    """What a task says of its runs; durations in milliseconds."""

    lock_key: str | None
    lock_ttl_ms: int
    renew_ms: int
    on_locked: str
    lock_retries: int | None
    lock_retry_delay_ms: int
    on_store_outage: str
    window_ms: int
    on_lease_lost: str = "warn"


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
    key = option("lock_key", values.Text(), None)
    if key is not None:
        _check_template(task, key)
        known = extension.lock_keys.setdefault(key, task.name)
        if known != task.name:
            msg = (
                f"tasks {known} and {task.name} have the same lock_key {key!r} and would exclude "
                "each other: give each its own, or leave lock_key out"
            )
            raise DuplicateLockKey(msg)
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
    )


def lock_key_of(
    task: Any,
    options: TaskOptions,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    occurrence: Occurrence | None,
) -> str:
    """Name the key that a run locks: by default its task, and for an occurrence its entry too.

    Raises:
        ConfigurationError: the arguments do not fit the template.
    """
    if options.lock_key is None:
        return task.name if occurrence is None else f"{task.name}:{occurrence.entry}"
    if "{" not in options.lock_key:
        return options.lock_key
    try:
        bound = inspect.signature(task.run).bind(*args, **kwargs)
        bound.apply_defaults()
        return options.lock_key.format(**bound.arguments)
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        msg = f"lock_key {options.lock_key!r} of task {task.name} does not fit its call: {error}"
        raise ConfigurationError(msg) from error


def _check_template(task: Any, template: str) -> None:
    """See at start that a template names arguments of its task.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
    except ValueError as error:
        msg = f"lock_key {template!r} of task {task.name} cannot be read: {error}"
        raise ConfigurationError(msg) from error
    parameters = inspect.signature(task.run).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for field in fields:
        name = field.partition(".")[0].partition("[")[0]
        if name not in parameters:
            hint = values.did_you_mean(name, parameters)
            msg = f"lock_key {template!r} of task {task.name} names no argument {name!r}{hint}"
            raise ConfigurationError(msg)
