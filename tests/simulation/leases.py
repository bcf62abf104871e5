"""What is known of runs and of the leases on their keys, and what may not happen to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from celery_singleton_beat.protocol.run import (
    NOTICE_MS,
    Attempt,
    Begun,
    Finished,
    Outcome,
    Renewed,
)
from celery_singleton_beat.store.port import BeginAnswer, Ending, RenewAnswer

CLOSING = (Begun.CANCELLED, Begun.SPENT, Begun.GIVEN_UP)


@dataclass(frozen=True)
class Given:
    """A lease that the store gave out. ``asked_ms``: when it was first asked for when over."""

    run: str
    holder: str
    token: int
    until_ms: int
    window_ms: int
    is_open: bool = True
    asked_ms: int | None = None

    def is_in_the_way(self, now_ms: int) -> bool:
        """Tell whether nobody else may begin: it is live, or its holder has not had its notice."""
        if not self.is_open:
            return False
        noticed = self.asked_ms is not None and self.asked_ms + NOTICE_MS <= now_ms
        return self.until_ms > now_ms or not noticed

    def is_kept(self, now_ms: int) -> bool:
        """Tell whether the record of its run is still there."""
        return self.until_ms + self.window_ms > now_ms


@dataclass(frozen=True)
class Ended:
    """An end that the store recorded, and until when it is promised to know of it."""

    how: str
    holder: str
    until_ms: int


@dataclass
class Leases:
    """Every method tells what is wrong with an answer of the store, or nothing.

    ``kept`` are the runs that are to be run again if their workers die: how long one is
    waited for then, and how long at most.
    """

    keys: dict[str, Given] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    ends: dict[str, Ended] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    kept: dict[str, tuple[int, int]] = field(default_factory=dict)

    def copy(self) -> Leases:
        # Tokens are remembered by whoever compares them, not by the store.
        return Leases(
            dict(self.keys),
            dict(self.runs),
            dict(self.ends),
            dict(self.expected),
            self.tokens,
            self.kept.copy(),
        )

    def has_ended(self, run: str, now_ms: int) -> bool:
        """Tell whether a run has ended for good, which one that was called back need not have."""
        end = self._end_of(run, now_ms)
        return end is not None and end.how != Begun.CANCELLED.value

    def left_by(self, run: str, now_ms: int) -> str:
        """Tell who had a run and is not heard of any more, if nobody is to run it again."""
        if run in self.kept:
            return ""
        for lease in self.keys.values():
            if lease.run == run and lease.is_open and lease.until_ms + NOTICE_MS <= now_ms:
                return lease.holder
        return ""

    def run_again(self, run: str) -> None:
        """Wait for a run, and the next time for twice as long, or not at all (0: the longest)."""
        if run in self.kept:
            wait_ms, longest_ms = self.kept[run]
            self.kept[run] = (2 * wait_ms, longest_ms if wait_ms <= longest_ms else 0)

    def begun(self, attempt: Attempt, answer: BeginAnswer, *, closes: bool) -> str:
        """One run at a time has a key; what ended is over, and what did not is not lost."""
        run, now_ms = attempt.run, answer.now_ms
        match answer.verdict:
            case Begun.RUN:
                return self._taken(attempt, answer)
            case Begun.DONE if run not in self.ends:
                return "its message was dropped, although no end of it is recorded"
            case Begun.STALE if self.expected.get(run, 0) <= attempt.attempt:
                return "its message was dropped, although no later attempt is expected"
            case Begun.TWIN | Begun.WAIT:
                self._asked(attempt.key, now_ms)
            case Begun.BUSY if closes:
                self._ends(attempt, "skipped", now_ms)
            case verdict if verdict in CLOSING:
                self._ends(attempt, verdict.value, now_ms)
            case _:
                pass
        return ""

    def renewed(
        self, attempt: Attempt, answer: RenewAnswer, now_ms: int, *, has_forgotten: bool
    ) -> str:
        """A lease that nobody else took is kept; one that somebody has is nobody else's."""
        lease = self._own(attempt)
        match answer.verdict:
            case Renewed.KEPT:
                if lease is None:
                    return "a lease was kept that is not its holder's"
                until_ms = now_ms + attempt.ttl_ms
                self.keys[attempt.key] = replace(lease, until_ms=until_ms, asked_ms=None)
            case Renewed.RESTORED:
                return self._restored(attempt, answer, now_ms, has_forgotten=has_forgotten)
            case Renewed.LOST if lease is not None and lease.is_kept(now_ms):
                return "its lease was taken away, although nobody else has it"
        return ""

    def finished(self, ending: Ending, verdict: Finished, now_ms: int) -> str:
        """An end is recorded if the run is nobody else's since, and once."""
        attempt, run = ending.attempt, ending.attempt.run
        lease = self._own(attempt)
        if verdict is Finished.LOST:
            if lease is None:
                return ""
            self.keys[attempt.key] = replace(lease, is_open=False)
            is_wrong = lease.is_kept(now_ms)
            return "its end was not recorded, although nobody else has its key" if is_wrong else ""
        if (known := self._end_of(run, now_ms)) is not None:
            is_repeat = known.holder == attempt.holder
            return "" if is_repeat else f"a second end was recorded after {known.holder}'s"
        if self.runs.get(run) != attempt.holder:
            return "an end was recorded by one that did not begin it last"
        if lease is not None:
            self.keys[attempt.key] = replace(lease, is_open=False)
        match ending.outcome:
            case Outcome.RETRYING:
                self.expected[run] = attempt.attempt + 1
            case Outcome.INTERRUPTED:
                self.expected[run] = attempt.attempt
            case outcome:
                self._ends(attempt, outcome.value, now_ms)
        return ""

    def freed(self, key: str, *, was_held: bool) -> tuple[str, str]:
        """Tell whose lease it was that somebody ended, and what is wrong with the answer."""
        lease = self.keys.get(key)
        is_held = lease is not None and lease.is_open
        if lease is None or not is_held:
            return "", "somebody held it, who never did" if was_held else ""
        self.keys[key] = replace(lease, is_open=False)
        return lease.holder, "" if was_held else f"nobody held it, and {lease.holder} does"

    def _taken(self, attempt: Attempt, answer: BeginAnswer) -> str:
        lease, now_ms = self.keys.get(attempt.key), answer.now_ms
        if (end := self._end_of(attempt.run, now_ms)) is not None:
            return f"it began again after its end was recorded: {end.how} by {end.holder}"
        if lease is not None and lease.holder == attempt.holder and lease.token == answer.token:
            until_ms = now_ms + attempt.ttl_ms
            self.keys[attempt.key] = replace(lease, until_ms=until_ms, asked_ms=None)
            return ""
        if lease is not None and lease.is_in_the_way(now_ms):
            how = "has the key" if lease.until_ms > now_ms else "was not given notice"
            return f"it began, and {lease.holder} {how}"
        if attempt.message:
            longest_ms = attempt.window_ms // 2
            self.kept[attempt.run] = (min(attempt.ttl_ms + NOTICE_MS, longest_ms), longest_ms)
        return self._given(attempt, answer.token, now_ms)

    def _restored(
        self, attempt: Attempt, answer: RenewAnswer, now_ms: int, *, has_forgotten: bool
    ) -> str:
        lease = self.keys.get(attempt.key)
        if not has_forgotten:
            return "a lease was restored by a store that has forgotten nothing"
        if lease is not None and lease.holder != attempt.holder and lease.is_in_the_way(now_ms):
            return f"a lease was restored that {lease.holder} has"
        return self._given(attempt, answer.token, now_ms)

    def _given(self, attempt: Attempt, token: int, now_ms: int) -> str:
        key, run = attempt.key, attempt.run
        if token <= self.tokens.get(key, 0):
            return "its fencing number is not above all before it"
        self.tokens[key] = token
        self.runs[run] = attempt.holder
        self.expected[run] = max(self.expected.get(run, 0), attempt.attempt)
        until_ms = now_ms + attempt.ttl_ms
        self.keys[key] = Given(run, attempt.holder, token, until_ms, attempt.window_ms)
        return ""

    def _ends(self, attempt: Attempt, how: str, now_ms: int) -> None:
        """Note an end; a repeated answer tells of the same one."""
        self.kept.pop(attempt.run, None)
        known = self._end_of(attempt.run, now_ms)
        if known is None or known.holder != attempt.holder:
            until_ms = max(attempt.not_after_ms, now_ms) + attempt.window_ms
            self.ends[attempt.run] = Ended(how, attempt.holder, until_ms)

    def _end_of(self, run: str, now_ms: int) -> Ended | None:
        known = self.ends.get(run)
        return known if known is not None and known.until_ms > now_ms else None

    def _own(self, attempt: Attempt) -> Given | None:
        """Tell the lease of this attempt, if nobody else has had its key or its run since."""
        lease = self.keys.get(attempt.key)
        if lease is None or not lease.is_open or lease.holder != attempt.holder:
            return None
        return lease

    def _asked(self, key: str, now_ms: int) -> None:
        lease = self.keys.get(key)
        if lease is not None and lease.until_ms <= now_ms:
            asked_ms = now_ms if lease.asked_ms is None else min(lease.asked_ms, now_ms)
            self.keys[key] = replace(lease, asked_ms=asked_ms)
