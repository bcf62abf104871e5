"""SingletonTask: the task base class of which one run at a time holds a lock key.

Runs in: worker, where the task's body runs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task, signals
from celery.exceptions import Retry

from celery_singleton_beat.adapters.beginning import begin_run
from celery_singleton_beat.adapters.ending import end_run, finish_run
from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.adapters.in_hand import RunInHand, TaskOccurrence, run_in_hand
from celery_singleton_beat.adapters.options import TaskOptions, read_options
from celery_singleton_beat.adapters.ticket import is_singleton, occurrence_of
from celery_singleton_beat.adapters.worker import wire
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.protocol.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from celery_singleton_beat.adapters.lock_keys import LockKey


class SingletonTask(Task):
    """A task of which one run at a time holds its lock key, and each occurrence runs once.

    Options, as class attributes or arguments of ``@app.task``; those left out
    come from the settings. Durations are seconds or timedeltas.

    - ``lock_key``: what is locked. By default the task, and for an occurrence
      of the timetable its entry too. Or a template over the arguments,
      ``"report:{customer_id}"``. Or the names of some of them,
      ``["customer_id", "day"]``, for a key of the task's name and these. Or a
      callable that makes the key, ``lambda customer_id, **_: f"{customer_id}"``:
      it is given all arguments by their names, defaults filled in, without
      ``self`` (and by place where the body takes some by place only). It is
      called in the worker's main process, so it must be quick and ask nobody.
      Fields and named arguments that are equal give the same key, whatever
      form their caller or the serializer gave them; long keys end in a digest.
    - ``lock_ttl``: how long the lease lives without renewal. It is renewed for
      as long as the task runs, however long that is.
    - ``on_locked``: ``"skip"``, ``"retry"`` (the message is queued again, after
      ``lock_retry_delay``, ``lock_retries`` times, None: until it runs) or
      ``"raise"`` (the run fails with ``Locked``).
    - ``on_store_outage``: ``"retry"``, ``"run"`` or ``"skip"``.
    - ``once_per``: the key has one run in each such interval of the store's clock,
      counted from the Unix epoch, however many messages ask for one.
    - ``lock_at_least``: how long the key stays held at least, also after a shorter run.
    - ``lock_through_retries``: whether the key stays held while a retry waits.
    - ``on_crash``: ``"drop"`` (a run whose worker died runs again only if the broker
      brings its message back) or ``"rerun"`` (a beat publishes its message again).
    - ``max_attempts``: how often a run may be begun whose workers die each time;
      then it fails with ``GivenUp``.
    - ``alert_after``: how long a run may take before an alert tells of it, while it runs.
    - ``singleton``: False makes a plain task of it, where this is the class of
      all tasks of an application: no lock, no store, ``self.lease`` is None.
    - ``on_lease_lost``: ``"warn"`` or ``"stop"``: the body gets Celery's
      ``SoftTimeLimitExceeded`` when ``self.lease.lost`` becomes true (prefork).

    Called directly or eagerly it is a plain task: no lock, no store.
    """

    abstract = True
    Request = "celery_singleton_beat.adapters.request:SingletonRequest"

    singleton: ClassVar[bool] = True
    lock_key: ClassVar[LockKey | None] = None
    lock_ttl: ClassVar[float | timedelta | None] = None
    on_locked: ClassVar[str | None] = None
    lock_retries: ClassVar[int | None] = None
    lock_retry_delay: ClassVar[float | timedelta | None] = None
    on_store_outage: ClassVar[str | None] = None
    once_per: ClassVar[float | timedelta | None] = None
    lock_at_least: ClassVar[float | timedelta | None] = None
    lock_through_retries: ClassVar[bool | None] = None
    on_crash: ClassVar[str | None] = None
    max_attempts: ClassVar[int | None] = None
    on_lease_lost: ClassVar[str | None] = None
    alert_after: ClassVar[float | timedelta | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A subclass that overrides before_start and does not call super() stays protected.
        super().__init_subclass__(**kwargs)
        if "before_start" in vars(cls):
            guarded = _guarded(vars(cls)["before_start"])
            cls.before_start = guarded  # type: ignore[method-assign]

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        super().on_bound(app)
        wire(app)
        signals.task_postrun.connect(
            end_run, weak=False, dispatch_uid="celery_singleton_beat.end_run"
        )

    @cached_property
    def singleton_options(self) -> TaskOptions:
        """The options, checked.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        return read_options(self, extension_of(self.app))

    @property
    def occurrence(self) -> TaskOccurrence | None:
        """The occurrence this run stands for; None when no timetable asked for it."""
        request = vars(self.request)
        if run_in_hand(request) is None:
            return None
        occurrence = occurrence_of(request)
        return TaskOccurrence(occurrence) if occurrence else None

    @property
    def lease(self) -> Lease | None:
        """The lease this run holds; None when it runs without one."""
        run = self._run_in_hand
        return run.lease if run else None

    @property
    def _run_in_hand(self) -> RunInHand | None:
        return run_in_hand(vars(self.request))

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Begin the run under its lease, or do not begin it."""
        request = self.request
        if request.called_directly or request.is_eager or run_in_hand(vars(request)):
            return
        if is_singleton(self):
            begin_run(self, request, args, kwargs)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Retry, as Celery's tasks do; the lease is freed before the retry is published.

        Where no retry is left there is none to publish: the lease is kept to the body's end.
        """
        run = self._run_in_hand
        allowed = kwargs.get("max_retries")
        allowed = self.max_retries if allowed is None else allowed
        has_one_left = allowed is None or self.request.retries < allowed
        if run is not None and run.lease is not None and has_one_left:
            delay_s = kwargs.get("countdown")
            eta = kwargs.get("eta")
            if eta is not None:
                now = datetime.now(eta.tzinfo)
                delay_s = (eta - now).total_seconds()
            elif delay_s is None:
                delay_s = self.default_retry_delay
            run.retry_wait_ms = max(int((delay_s or 0) * 1000), 0)
            finish_run(self, run, Outcome.RETRYING)
        try:
            return super().retry(*args, **kwargs)
        except Retry:
            raise
        except BaseException:
            # No retries left, or none published: the run ends with this attempt.
            if run is not None:
                run.retry_wait_ms = None
            raise


def _guarded(before_start: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(before_start)
    def guarded(self: SingletonTask, task_id: str, args: Any, kwargs: Any) -> Any:
        SingletonTask.before_start(self, task_id, args, kwargs)
        return before_start(self, task_id, args, kwargs)

    return guarded
