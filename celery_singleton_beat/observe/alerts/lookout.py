"""The lookout: looks at the store again and again, and tells of alerts.

Many processes of a deployment have one. Each opens alerts of what only it can know:
its own runs that take too long, its own leases that are lost. One, which is on duty,
looks at what the store knows, and closes alerts. Whoever opened or closed one in the
store tells of it; so each is told once, wherever it was found.

While the store is away nobody can be asked who tells: whoever was on duty last does,
and a beat that never reached the store since it began.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.errors import StoreError
from celery_singleton_beat.events import Event, Events
from celery_singleton_beat.observe.alerts import rules
from celery_singleton_beat.observe.alerts.alert import Alert
from celery_singleton_beat.observe.alerts.outage import Outage, Post
from celery_singleton_beat.observe.alerts.sight import Sight
from celery_singleton_beat.observe.alerts.thresholds import Thresholds
from celery_singleton_beat.protocol.codec import ABSENT
from celery_singleton_beat.protocol.history import Fact
from celery_singleton_beat.protocol.statistics import Counts, key_subject
from celery_singleton_beat.store.alert_port import WatchAnswer
from celery_singleton_beat.store.port import Store

_logger = logging.getLogger(__name__)

_KEYS: Final = 500
_FACTS: Final = 1000
_WAITING: Final = 1000
_NAMES: Final = 500
_SHOWN: Final = 5
_STOP_SECONDS: Final = 2.0
_KEY_SUBJECT: Final = key_subject("")


class Lookout:
    """Looks when told to (``look``), or in a thread of its own (``start``)."""

    def __init__(
        self,
        store: Store,
        events: Events,
        post: Post,
        thresholds: Thresholds,
        *,
        clock_ms: Callable[[], int] = boot_ms,
    ) -> None:
        self._store, self._events, self._post = store, events, post
        self._thresholds = thresholds
        self._clock_ms = clock_ms
        self._outage = Outage(events, post, thresholds.store_away)
        self._not_obtained = rules.NotObtained(thresholds.not_obtained or 0)
        self._newest: Fact | None = None
        self._has_looked = False
        self._since_ms: int | None = None
        self._waiting: deque[Event] = deque(maxlen=_WAITING)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._unsubscribe = events.subscribe(self._note, wants=rules.is_of_interest)

    def start(self) -> None:
        """Look from now on, as often as is set."""
        self._thread = threading.Thread(target=self._run, name="singleton-lookout", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and let another one be on duty. May be called repeatedly."""
        self._unsubscribe()
        self._stopping.set()
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        thread.join(_STOP_SECONDS)
        if self._outage.is_on or thread.is_alive():
            return  # whoever stops a process does not wait for a store that is away
        try:
            self._store.watch(self._post.name, 0)
        except StoreError:
            _logger.debug("The store was not told that a lookout stops", exc_info=True)

    def look(self) -> None:
        """Look once, and tell what is news. Does not raise for a store that is away."""
        asked_ms = self._clock_ms()
        try:
            watch = self._store.watch(self._post.name, self._thresholds.duty_ms)
            is_on_duty = watch.watcher == self._post.name
            self._outage.answered(is_on_duty=is_on_duty)
            if self._since_ms is None:
                self._since_ms = watch.now_ms
            self._open_own(watch)
            if is_on_duty:
                self._see_to_all(watch)
        except StoreError as error:
            self._since_ms = None
            self._outage.failed(str(error), asked_ms, self._clock_ms())

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                _logger.exception("A lookout met an error and goes on")
            if self._stopping.wait(self._thresholds.every / 1000):
                return

    def _note(self, event: Event) -> None:
        if rules.is_of_interest(type(event)):
            self._waiting.append(event)

    def _open_own(self, watch: WatchAnswer) -> None:
        """Open alerts of what this process alone knows."""
        for alert in rules.long_runs(self._post.runs(), watch.now_ms):
            if alert.name not in watch.alerts:
                self._open(alert)
        while self._waiting:
            # It stays until it is written: the store may be away now.
            alert_or_none = rules.of_event(self._waiting[0], watch.now_ms, self._thresholds)
            if alert_or_none is not None:
                self._open(alert_or_none)
            self._waiting.popleft()

    def _see_to_all(self, watch: WatchAnswer) -> None:
        opened = {
            name: alert
            for name, text in watch.alerts.items()
            if (alert := Alert.from_text(name, text)) is not None
        }
        sight = self._sight(watch.now_ms, opened.values())
        found = {alert.name: alert for alert in self._found(sight)}
        for name, alert in found.items():
            known = opened.get(name)
            if known is None or rules.is_of_a_moment(alert):
                self._open(self._named(alert))
        for name, alert in opened.items():
            if name not in found and rules.is_over(alert, sight, self._thresholds):
                self._close(alert, watch.now_ms)

    def _found(self, sight: Sight) -> list[Alert]:
        thresholds, found = self._thresholds, list[Alert]()
        if thresholds.no_replica is not None:
            found += rules.no_replica(sight, thresholds.no_replica)
        if thresholds.late is not None:
            found += rules.late(sight, thresholds.late)
        if thresholds.not_obtained is not None:
            found += self._not_obtained.look(sight)
        if thresholds.lost:
            found += rules.lost(sight.facts)
        return found

    def _sight(self, now_ms: int, opened: Collection[Alert]) -> Sight:
        """Ask the store for what the rules that are on need."""
        store, thresholds = self._store, self._thresholds
        runs = [str(one.about.get("key")) for one in opened if one.rule == rules.LONG_RUN]
        locks = dict(zip(runs, store.locks(runs).locks, strict=True)) if runs else {}
        return Sight(
            now_ms,
            now_ms if self._since_ms is None else self._since_ms,
            store.overview(),
            self._keys(opened) if thresholds.not_obtained is not None else {},
            self._news() if thresholds.lost else (),
            locks,
        )

    def _keys(self, opened: Collection[Alert]) -> dict[str, Counts]:
        """Read what was counted of keys to which something happened, or that are alerted of."""
        names = self._store.counted(_KEYS)
        keys = [name.removeprefix(_KEY_SUBJECT) for name in names if name.startswith(_KEY_SUBJECT)]
        keys += [one.subject for one in opened if one.rule == rules.NOT_OBTAINED]
        wanted = list(dict.fromkeys(keys))
        counts = self._store.counts([key_subject(key) for key in wanted])
        return dict(zip(wanted, counts, strict=True))

    def _news(self) -> list[Fact]:
        """Read what happened since the last look; nothing at the first one."""
        facts = self._store.history(_FACTS)
        newest, self._newest = self._newest, facts[0] if facts else None
        is_first, self._has_looked = not self._has_looked, True
        if is_first:
            return []
        return facts[: facts.index(newest)] if newest in facts else facts

    def _named(self, alert: Alert) -> Alert:
        """Add to an alert of something late what it is called, as far as that is known here."""
        if alert.rule != rules.LATE:
            return alert
        if alert.subject == rules.CONFIGURED:
            names = list(self._post.entries())[:_NAMES]
            slots = self._store.slots(names, set_aside=False).slots if names else ()
        elif alert.subject == rules.STORED:
            names = list(self._store.entry_names(None).names)[:_NAMES]
            slots = tuple(kept and kept.slot for kept in self._store.kept(names))
        else:
            return alert
        due = [
            (slot.due_ms, name)
            for name, slot in zip(names, slots, strict=True)
            if slot is not None and ABSENT < slot.due_ms <= alert.seen_ms
        ]
        first = [name for _, name in sorted(due)[:_SHOWN]]
        text = f"{alert.text}: {', '.join(map(repr, first))}" if first else alert.text
        return replace(alert, text=text, about={**alert.about, "entries": first})

    def _open(self, alert: Alert) -> None:
        if self._store.alert(alert.name, alert.to_text()):
            self._events.emit(alert.fired())

    def _close(self, alert: Alert, now_ms: int) -> None:
        if self._store.alert(alert.name, ""):
            self._events.emit(alert.resolved(now_ms))
