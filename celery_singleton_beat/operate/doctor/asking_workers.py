"""Asking the broker whether it answers, and workers what they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celery_singleton_beat.operate.doctor.facts import Worker
from celery_singleton_beat.protocol.about import About

if TYPE_CHECKING:
    from celery import Celery

_VISIBILITY_S: Final = 3600
"""What kombu's Redis transport takes if nothing is set."""

_WITH_VISIBILITY: Final = ("redis", "rediss", "sentinel", "sqs")


def ask_broker(app: Celery, timeout_seconds: float) -> dict[str, Any]:
    """Connect to an app's broker; tell what it is, and why it does not answer, if so."""
    options = dict(app.conf.broker_transport_options or {})
    url = str(app.conf.broker_write_url or app.conf.broker_url or "")
    scheme = url.partition(":")[0].partition("+")[0]
    found: dict[str, Any] = {"transport": scheme, "broker_error": ""}
    if scheme in _WITH_VISIBILITY:
        seconds = options.get("visibility_timeout", _VISIBILITY_S)
        found["visibility_ms"] = round(float(seconds) * 1000)
        options.setdefault("socket_connect_timeout", timeout_seconds)
        options.setdefault("socket_timeout", timeout_seconds)
    try:
        with app.connection_for_write(
            connect_timeout=timeout_seconds, transport_options=options
        ) as connection:
            connection.ensure_connection(max_retries=0, timeout=timeout_seconds)
            connection.default_channel  # noqa: B018  # some transports connect only here
    except Exception as error:  # noqa: BLE001  # every transport has its own
        found["broker_error"] = str(error) or type(error).__name__
    return found


def ask_workers(app: Celery, timeout_seconds: float) -> tuple[Worker, ...]:
    """Ask all workers; wait for so long for those who answer, and then no longer for these."""
    tasks = _answers(app, "registered", timeout_seconds)
    if not tasks:
        return ()
    names = sorted(tasks)
    told = _answers(app, "singleton_settings", timeout_seconds, names)
    stats = _answers(app, "stats", timeout_seconds, names)
    return tuple(_worker(name, tasks[name], told.get(name), stats.get(name)) for name in names)


def _answers(
    app: Celery, command: str, timeout_seconds: float, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Ask all, or those of these names: then it is over when each has answered."""
    limit = None if names is None else len(names)
    replies = (
        app.control.broadcast(
            command, destination=names, limit=limit, reply=True, timeout=timeout_seconds
        )
        or []
    )
    return {name: answer for reply in replies for name, answer in reply.items()}


def _worker(name: str, tasks: Any, told: Any, stats: Any) -> Worker:
    # "name [rate_limit=10/m]" is how Celery writes a task that has options.
    known = frozenset(str(task).partition(" [")[0] for task in tasks if isinstance(tasks, list))
    pool = str(_of(_of(stats, "pool"), "implementation", ""))
    if not isinstance(told, Mapping) or "error" in told:
        return Worker(name=name, tasks=known, pool=pool, error=str(_of(told, "error", "")))
    store, options = _of(told, "store"), _of(told, "tasks")
    ahead = _of(store, "clock_ahead_ms", None)
    versions = {key: value for key, value in _of(told, "versions").items() if value}
    return Worker(
        name=name,
        tasks=known,
        about=About(versions=versions, ahead_ms=-ahead if isinstance(ahead, int) else None),
        app=str(_of(told, "app", "")),
        prefix=str(_of(told, "prefix", "")),
        address=str(_of(told, "address", "")),
        pool=pool,
        settings=_of(told, "settings"),
        lock_keys={
            task: str(key) for task, one in options.items() if (key := _of(one, "lock_key", None))
        },
        lock_ttls={task: int(_of(one, "lock_ttl_ms", 0) or 0) for task, one in options.items()},
        store_error=str(_of(store, "error", "")),
    )


_NOTHING: Final[Mapping[str, Any]] = {}


def _of(answer: Any, name: str, otherwise: Any = _NOTHING) -> Any:
    """Read a field of what another release may have told otherwise."""
    if not isinstance(answer, Mapping):
        return otherwise
    value = answer.get(name, otherwise)
    return value if otherwise is not _NOTHING or isinstance(value, Mapping) else otherwise
