"""What happened: one dataclass for each fact, and the list of those who listen.

The core emits facts and does nothing else with them; logs, metrics and alerts
listen. A listener's exception is logged and goes no further.

Times are milliseconds since the Unix epoch by the store's clock.
"""

from celery_singleton_beat.events.listeners import Event, Events, Listener, Wants
from celery_singleton_beat.events.of_alerts import AlertFired, AlertResolved
from celery_singleton_beat.events.of_beats import (
    BrokerBack,
    BrokerLost,
    ClaimLost,
    DispatchFailed,
    EntriesFoundAgain,
    EntrySetAside,
    OccurrenceDropped,
    OccurrencePublished,
    OccurrenceRecalled,
    OccurrencesMissed,
    OccurrenceUncertain,
    Ready,
    RunNotRepublished,
    RunRepublished,
    StandingChanged,
    StoreBack,
    StoreClockJumped,
    StoreConnected,
    StoreLost,
    TickFailed,
)
from celery_singleton_beat.events.of_runs import (
    DuplicateDropped,
    LeaseGone,
    LeaseRestored,
    RunBegan,
    RunDiscarded,
    RunEnded,
    RunGivenUp,
    RunPostponed,
    RunSkipped,
    RunStopped,
    RunUnprotected,
)

__all__ = [
    "AlertFired",
    "AlertResolved",
    "BrokerBack",
    "BrokerLost",
    "ClaimLost",
    "DispatchFailed",
    "DuplicateDropped",
    "EntriesFoundAgain",
    "EntrySetAside",
    "Event",
    "Events",
    "LeaseGone",
    "LeaseRestored",
    "Listener",
    "OccurrenceDropped",
    "OccurrencePublished",
    "OccurrenceRecalled",
    "OccurrenceUncertain",
    "OccurrencesMissed",
    "Ready",
    "RunBegan",
    "RunDiscarded",
    "RunEnded",
    "RunGivenUp",
    "RunNotRepublished",
    "RunPostponed",
    "RunRepublished",
    "RunSkipped",
    "RunStopped",
    "RunUnprotected",
    "StandingChanged",
    "StoreBack",
    "StoreClockJumped",
    "StoreConnected",
    "StoreLost",
    "TickFailed",
    "Wants",
]
