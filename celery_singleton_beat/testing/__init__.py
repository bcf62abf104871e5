"""For tests: a clock set by hand, a recording publisher, and the suite for every store.

``check_store`` is what tells a store from something that looks like one; run it
against your own::

    check_store(lambda now_ms: MyStore(now_ms=now_ms))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from celery_singleton_beat.store.port import Store
from celery_singleton_beat.testing.alert_checks import ALERT_CHECKS
from celery_singleton_beat.testing.asked_checks import ASKED_CHECKS
from celery_singleton_beat.testing.awaited_checks import AWAITED_CHECKS
from celery_singleton_beat.testing.change_checks import CHANGE_CHECKS
from celery_singleton_beat.testing.crash_checks import CRASH_CHECKS
from celery_singleton_beat.testing.discard_checks import DISCARD_CHECKS
from celery_singleton_beat.testing.fleet_checks import FLEET_CHECKS
from celery_singleton_beat.testing.harness import START_MS, FakeClock, StoreUnderTest
from celery_singleton_beat.testing.history_checks import HISTORY_CHECKS
from celery_singleton_beat.testing.hold_checks import HOLD_CHECKS
from celery_singleton_beat.testing.lock_checks import LOCK_CHECKS
from celery_singleton_beat.testing.once_checks import ONCE_CHECKS
from celery_singleton_beat.testing.overlap_checks import OVERLAP_CHECKS
from celery_singleton_beat.testing.recording import RecordingPublisher
from celery_singleton_beat.testing.request_checks import REQUEST_CHECKS
from celery_singleton_beat.testing.rerun_checks import RERUN_CHECKS
from celery_singleton_beat.testing.run_checks import RUN_CHECKS
from celery_singleton_beat.testing.slot_checks import SLOT_CHECKS
from celery_singleton_beat.testing.source_checks import SOURCE_CHECKS
from celery_singleton_beat.testing.statistics_checks import STATISTICS_CHECKS
from celery_singleton_beat.testing.tenant_checks import TENANT_CHECKS
from celery_singleton_beat.testing.timetable_checks import TIMETABLE_CHECKS
from celery_singleton_beat.testing.turn_checks import TURN_CHECKS

__all__ = [
    "CHECKS",
    "START_MS",
    "Check",
    "FakeClock",
    "RecordingPublisher",
    "StoreUnderTest",
    "check_store",
]

Check = Callable[[StoreUnderTest], None]

CHECKS: Final[tuple[Check, ...]] = (
    *SLOT_CHECKS,
    *FLEET_CHECKS,
    *RUN_CHECKS,
    *AWAITED_CHECKS,
    *ONCE_CHECKS,
    *LOCK_CHECKS,
    *CRASH_CHECKS,
    *RERUN_CHECKS,
    *DISCARD_CHECKS,
    *HISTORY_CHECKS,
    *STATISTICS_CHECKS,
    *OVERLAP_CHECKS,
    *TIMETABLE_CHECKS,
    *HOLD_CHECKS,
    *CHANGE_CHECKS,
    *TENANT_CHECKS,
    *TURN_CHECKS,
    *SOURCE_CHECKS,
    *ASKED_CHECKS,
    *REQUEST_CHECKS,
    *ALERT_CHECKS,
)
"""The suite, one check at a time: what ``check_store`` runs."""


def check_store(make: Callable[[Callable[[], int]], Store]) -> None:
    """Run the whole suite against the stores that ``make`` builds around a clock.

    ``make`` is called once for every check and must give an empty store.

    Raises:
        AssertionError: the store broke a promise; the text names the check.
    """
    for check in CHECKS:
        clock = FakeClock()
        try:
            check(StoreUnderTest(make(clock), clock))
        except AssertionError as error:
            msg = f"{check.__name__}: {error}"
            raise AssertionError(msg) from error
