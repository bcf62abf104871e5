"""What makes a task one at a time: ours, the peers', and a lock of redis-py around the body.

The peers are imported only where a side asks for them. All keep their locks in the store's server,
and all lock by the task's argument.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

PLAIN, OURS = "plain", "SingletonTask"
CELERY_SINGLETON, CELERY_ONCE = "celery-singleton", "celery-once"
REDIS_LOCK, HEIMDALL = "redis-py Lock", "celery-heimdall"
PACKAGES = {CELERY_SINGLETON, CELERY_ONCE, HEIMDALL}
EXPIRY_S = 60


def version_of(protection: str) -> str | None:
    """The version of the package, if it is one and is installed."""
    try:
        return importlib.metadata.version(protection)
    except importlib.metadata.PackageNotFoundError:
        return None


def add_task(
    app: Celery,
    function: Callable[..., None],
    name: str,
    protection: str,
    store_url: str,
    **ours: Any,
) -> None:
    """Register `function` as a protected task; `ours` are options of a SingletonTask alone."""
    # Not for the other applications of a process: the sides of a comparison are some.
    register = partial(app.task, name=name, shared=False)
    match protection:
        case "SingletonTask":
            module = importlib.import_module("celery_singleton_beat")
            register(function, base=module.SingletonTask, **ours)
        case "celery-singleton":
            app.conf.singleton_backend_url = store_url
            base = importlib.import_module("celery_singleton").Singleton
            register(function, base=base, lock_expiry=EXPIRY_S)
        case "celery-once":
            settings = {"url": store_url, "default_timeout": EXPIRY_S}
            app.conf.ONCE = {"backend": "celery_once.backends.Redis", "settings": settings}
            base = importlib.import_module("celery_once").QueueOnce
            register(function, base=base, once={"graceful": True})
        case "celery-heimdall":
            about = {"unique": True, "unique_timeout": EXPIRY_S, "unique_lock_timeout": 0.01}
            register(function, base=_heimdall(store_url), heimdall=about)
        case "redis-py Lock":
            register(_locked(function, name, store_url))
        case _:
            register(function)


def _heimdall(store_url: str) -> Any:
    base = importlib.import_module("celery_heimdall").HeimdallTask

    class OnTheStore(base):  # type: ignore[misc, valid-type]
        """It would take the broker's server otherwise."""

        abstract = True

        def setup_redis(self) -> Any:
            return redis.Redis.from_url(store_url)

    return OnTheStore


def _locked(function: Callable[..., None], name: str, store_url: str) -> Callable[..., None]:
    """The decorator that one would write: take the lock or leave, and free it at the end."""
    client: Any = None

    @wraps(function)
    def one_at_a_time(*arguments: str) -> None:
        nonlocal client
        client = client or redis.Redis.from_url(store_url)
        about = ":".join((name, *arguments))
        lock = client.lock(about, timeout=EXPIRY_S, blocking=False)
        if lock.acquire():
            try:
                function(*arguments)
            finally:
                lock.release()

    return one_at_a_time
