"""The lock service: lock keys by hand, for code that is no task.

Runs in: any process.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, overload

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.lock_keys import described, key_maker
from celery_singleton_beat.engine.lock import HandLease, HandLock, HandLocks
from celery_singleton_beat.errors import ConfigurationError, Locked, StoreUnavailable
from celery_singleton_beat.protocol.key_text import bounded
from celery_singleton_beat.setting_checks import check_lock_ttl

if TYPE_CHECKING:
    from celery import Celery

    from celery_singleton_beat.adapters.lock_keys import LockKey, MakeKey

_logger = logging.getLogger(__name__)

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

Duration = float | timedelta
"""Seconds, or a timedelta."""

WhenHeld = Literal["raise", "skip"]

_MOST: Final = 5000
_MEMORY: Final = (
    "singleton_beat_redis_url = 'memory://': locks by hand exclude the threads of this process, "
    "and nobody in another process or on another machine. Set a Redis for that"
)


@dataclass(frozen=True)
class HeldLock:
    """A lock key that is held: by whom, since when, and until when if it is not renewed."""

    key: str
    owner: str
    token: int
    acquired: datetime
    expires: datetime


class LockService:
    """Locks by hand, on the same keys and in the same store as tasks: they exclude each other.

    Works wherever the app's settings are, without beat or worker: in scripts, in
    web servers, in threads and after a fork. Nobody who asks again for what it
    holds gets it twice: locks are not reentrant. Where it is not known who holds
    a key, ``StoreUnavailable`` is raised, and neither yes nor no is said.
    """

    def __init__(self, app: Celery) -> None:
        self._extension = extension_of(app)

    def acquire(self, key: str, *, ttl: Duration | None = None) -> HandLease | None:
        """Take a key for ``ttl`` (by default the setting's); None if it cannot be had at once.

        The lease lives for so long unless ``renew`` is called: nobody else renews
        it. None means that somebody holds the key; that a lease on it was over a
        moment ago, whose holder has three seconds to come back; or that the store
        came back empty, and live holders have their TTL to come back.

        Raises:
            ConfigurationError: no key, or no duration.
            StoreError: the store could not answer.
        """
        name, ttl_ms = _key(key), self._ttl_ms(ttl)
        return self._locks.take(name, self._extension.instance, ttl_ms=ttl_ms)

    def renew(self, lease: HandLease) -> bool:
        """Let a lease live for its TTL from now on; False if it is lost or released.

        Raises:
            StoreError: the store could not answer; the lease lives on until its TTL is over.
        """
        return self._locks.renew(lease)

    def release(self, lease: HandLease | None) -> bool:
        """Free the key of a lease, unless it is another's by now; tell whether that is recorded.

        May be called at any time and repeatedly, and with None. Where the store
        is away, this process tells it as soon as it answers; if it ends before,
        the key is free when the TTL is over.
        """
        return lease is not None and self._locks.release(lease)

    def lock(self, key: str, *, ttl: Duration | None = None, wait: Duration | None = 0) -> HandLock:
        """Hold a key for as long as a ``with`` block runs: it is renewed by this process.

        ``wait`` is how long to wait for it; None: for as long as it takes.
        Entering the block raises ``Locked`` if it could not be had, and
        ``StoreError`` if the store could not answer.

        Raises:
            ConfigurationError: no key, or no duration.
        """
        ttl_ms = self._renewed_ttl_ms(ttl)
        renew_ms = self._extension.settings.renewal_ms(ttl_ms)
        wait_ms, name, locks = _wait_ms(wait), _key(key), self._locks

        def hold() -> HandLease:
            owner = self._extension.instance
            return locks.hold(name, owner, ttl_ms=ttl_ms, renew_ms=renew_ms, wait_ms=wait_ms)

        return HandLock(hold, locks)

    @overload
    def locked(
        self,
        key: LockKey,
        *,
        ttl: Duration | None = None,
        wait: Duration | None = 0,
        on_locked: Literal["raise"] = "raise",
    ) -> Callable[[Callable[_Given, _Answer]], Callable[_Given, _Answer]]: ...

    @overload
    def locked(
        self,
        key: LockKey,
        *,
        ttl: Duration | None = None,
        wait: Duration | None = 0,
        on_locked: Literal["skip"],
    ) -> Callable[[Callable[_Given, _Answer]], Callable[_Given, _Answer | None]]: ...

    def locked(
        self,
        key: LockKey,
        *,
        ttl: Duration | None = None,
        wait: Duration | None = 0,
        on_locked: WhenHeld = "raise",
    ) -> Callable[[Callable[_Given, _Answer]], Callable[_Given, _Answer | None]]:
        """Hold a key while a function runs: a decorator, with ``lock`` around every call.

        ``key`` is what ``lock_key`` of a task can be: a text, a template over the
        arguments, names of arguments, a callable. A call whose key is held
        raises ``Locked``; with ``on_locked="skip"`` it answers None instead.

        Raises:
            ConfigurationError: the key cannot be made from the function's
                arguments, or the function's body does not run while it is called
                (it is asynchronous, or a generator).
        """
        _wait_ms(wait)
        values.choice_of(WhenHeld).check(on_locked, "on_locked")
        if ttl is not None:
            values.Seconds().check(ttl, "ttl")

        def decorate(function: Callable[_Given, _Answer]) -> Callable[_Given, _Answer | None]:
            make_key = _key_maker(function, key)

            @wraps(function)
            def call(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer | None:
                with ExitStack() as held:
                    try:
                        held.enter_context(self.lock(make_key(args, kwargs), ttl=ttl, wait=wait))
                    except Locked:
                        if on_locked == "skip":
                            return None
                        raise
                    return function(*args, **kwargs)

            return call

        return decorate

    def is_locked(self, key: str) -> bool:
        """Tell whether somebody holds a key.

        Raises:
            StoreUnavailable: that is not known: the store could not answer, or it
                came back empty a moment ago and live holders are not back yet.
        """
        return self._locks.is_held(_key(key))

    def is_connected(self) -> bool:
        """Tell whether the store answers now."""
        try:
            self._extension.store.ping()
        except StoreUnavailable:
            return False
        return True

    def locks(self, limit: int = 1000) -> list[HeldLock]:
        """List up to ``limit`` keys that are held, by tasks or by hand, those that end last first.

        It takes two commands, however many keys the store has.

        Raises:
            StoreError: the store could not answer.
        """
        most = values.Int(1, _MOST).check(limit, "limit")
        return [
            HeldLock(
                key, lock.owner, lock.token, _moment(lock.acquired_ms), _moment(lock.deadline_ms)
            )
            for key, lock in self._locks.held(most)
        ]

    def force_release(self, key: str, *, by: str = "") -> bool:
        """Free a key, whoever holds it; tell whether somebody did.

        Its holder's lease is lost with its next renewal, and its body goes on
        unless it asks. The history says who did it: ``by``, or this process's name.

        Raises:
            StoreUnavailable: as ``is_locked``.
        """
        return self._locks.free(_key(key), by or self._extension.instance)

    @property
    def _locks(self) -> HandLocks:
        try:
            found: HandLocks = vars(self)["_made"]
        except KeyError:
            extension = self._extension
            if extension.is_in_memory:
                _logger.warning(_MEMORY)
            grace_ms = extension.settings.lock_ttl_ms
            made = HandLocks(extension.store, lambda: extension.own_heartbeat, grace_ms=grace_ms)
            found = vars(self).setdefault("_made", made)
        return found

    def _ttl_ms(self, ttl: Duration | None) -> int:
        return (
            self._extension.settings.lock_ttl_ms
            if ttl is None
            else values.Seconds().check(ttl, "ttl")
        )

    def _renewed_ttl_ms(self, ttl: Duration | None) -> int:
        settings = self._extension.settings
        if ttl is None:
            return settings.lock_ttl_ms
        return check_lock_ttl(ttl, settings.renew_every_ms, "ttl")


def _key_maker(function: Callable[..., Any], key: LockKey) -> MakeKey:
    """Work out how the keys of a function's calls are made, as for a task's body.

    Raises:
        ConfigurationError: they cannot be, or its body does not run while it is called.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    for is_other in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        if is_other(function):
            raise ConfigurationError(
                f"{name} returns before its body has run, and its lock would be released then: "
                "use lock() inside"
            )
    make = key_maker(SimpleNamespace(name=name, run=function), key)

    def make_key(args: Any, kwargs: Any) -> str:
        try:
            return make(args, kwargs)
        except Exception as error:
            raise ConfigurationError(
                f"the lock key {described(key)} of {name} does not fit its call: "
                f"{type(error).__name__}: {error}"
            ) from error

    return make_key


def _key(key: object) -> str:
    # As the keys of tasks, so that a long one is the same in both places.
    return bounded(values.Text().check(key, "key"))


def _wait_ms(wait: Duration | None) -> int | None:
    return None if wait is None else values.Seconds(at_least_ms=0).check(wait, "wait")


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc)
