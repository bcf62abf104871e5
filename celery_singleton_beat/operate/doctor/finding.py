"""What a check finds: a verdict, what it rests on, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts


class Verdict(Enum):
    """How it stands, the worst first."""

    PROBLEM = "problem"  # something is lost, runs twice or does not run
    WARNING = "warning"  # it works; it may cease to, or costs more than it should
    UNKNOWN = "unknown"  # it could not be found out
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """What one check found; ``cure`` is a command or a setting, and ``details`` are lines more."""

    verdict: Verdict
    found: str
    cure: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One question to a deployment.

    ``looks_at`` and ``way_out`` are for the documentation, in Markdown. ``needs``
    names facts without which nothing can be said.
    """

    name: str
    looks_at: str
    way_out: str
    run: Callable[[Facts], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """One check and its finding."""

    check: str
    finding: Finding

    def to_data(self) -> dict[str, Any]:
        """The diagnosis for JSON."""
        finding = self.finding
        return {
            "check": self.check,
            "verdict": finding.verdict.value,
            "found": finding.found,
            "cure": finding.cure,
            "details": list(finding.details),
        }


def ok(found: str, *details: str) -> Finding:
    """All well, and what that rests on."""
    return Finding(Verdict.OK, found, "", details)


def warning(found: str, cure: str, *details: str) -> Finding:
    """Not well, and it works all the same."""
    return Finding(Verdict.WARNING, found, cure, details)


def problem(found: str, cure: str, *details: str) -> Finding:
    """Something is lost, runs twice or does not run."""
    return Finding(Verdict.PROBLEM, found, cure, details)


def unknown(why: str) -> Finding:
    """It could not be found out, and why not."""
    return Finding(Verdict.UNKNOWN, why)


def some(items: list[str], most: int = 3) -> str:
    """Write the first of many items: ``a, b, c and 4 more``."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def many(count: int, one: str, more: str = "") -> str:
    """Write how many there are: ``1 beat``, ``2 beats``."""
    return f"{count} {one if count == 1 else more or f'{one}s'}"
