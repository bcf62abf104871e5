"""All checks, in the order in which they are read, and how one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celery_singleton_beat.operate.doctor import (
    checks_fleet,
    checks_hosts,
    checks_locks,
    checks_runs,
    checks_store,
    checks_timetable,
)
from celery_singleton_beat.operate.doctor.finding import Check, Diagnosis, unknown

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.facts import Facts

SECTIONS: Final[dict[str, tuple[Check, ...]]] = {
    "The store": checks_store.CHECKS,
    "Beats": checks_fleet.CHECKS,
    "Hosts": checks_hosts.CHECKS,
    "The timetable": checks_timetable.CHECKS,
    "Workers and runs": checks_runs.CHECKS,
    "Lock keys": checks_locks.CHECKS,
}

CHECKS: Final = tuple(check for checks in SECTIONS.values() for check in checks)


def diagnose(facts: Facts) -> list[Diagnosis]:
    """Make every check; what lacks its facts is unknown."""
    return [_made(check, facts) for check in CHECKS]


def _made(check: Check, facts: Facts) -> Diagnosis:
    for name in check.needs:
        if getattr(facts, name) is None:
            why = facts.untold.get(name, "it could not be asked")
            return Diagnosis(check.name, unknown(why))
    return Diagnosis(check.name, check.run(facts))


def render_table() -> str:
    """Write the checks as Markdown, for the documentation."""
    parts = []
    for title, checks in SECTIONS.items():
        parts += [f"## {title}\n", "| check | looks at | way out |\n|---|---|---|"]
        parts += [f"| `{one.name}` | {one.looks_at} | {one.way_out} |" for one in checks]
        parts.append("")
    return "\n".join(parts)
