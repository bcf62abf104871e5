"""``doctor``: what may be wrong with a deployment, and the way out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from celery_singleton_beat.operate.given import Span
from celery_singleton_beat.operate.output import NOT_DONE, command, is_json, print_json, the_app
from celery_singleton_beat.operate.words import shown

if TYPE_CHECKING:
    from celery_singleton_beat.operate.doctor.finding import Diagnosis

_COLOURS: Final[dict[str, dict[str, Any]]] = {
    "problem": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow"},
    "unknown": {"dim": True},
    "ok": {"fg": "green"},
}
_ORDER: Final = tuple(_COLOURS)
_WIDTH: Final = 7
_BY_URL: Final = "python -m celery_singleton_beat --redis-url URL"


@command("doctor", examples="doctor\ndoctor --strict --json\ndoctor --only store-eviction")
@click.option("--strict", is_flag=True, help="Let warnings count as problems.")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; repeatable.")
@click.option(
    "--timeout",
    type=Span(0.1, 60),
    default=2.0,
    show_default=True,
    help="How many seconds to wait for workers and broker.",
)
@click.pass_context
def doctor(
    ctx: click.Context,
    strict: bool,  # noqa: FBT001
    only: tuple[str, ...],
    timeout: float,
) -> None:
    """Look for what is wrong with the deployment, and tell the way out.

    Each check says ok, warning (it works all the same), problem (something is lost,
    runs twice or does not run) or unknown (it could not be found out). docs/doctor.md
    explains each.

    Exit code 0: no problem; with --strict: no warning either. 1 otherwise.
    """
    from celery_singleton_beat.operate.doctor.checks import CHECKS, diagnose  # noqa: PLC0415
    from celery_singleton_beat.operate.doctor.gathering import gather  # noqa: PLC0415

    names = [check.name for check in CHECKS]
    for name in only:
        if name not in names:
            msg = f"there is no check {name!r}. There are: {', '.join(names)}"
            raise click.BadParameter(msg, param_hint="--only")
    has_app = "redis_url" not in ctx.find_root().params  # else that is all there is
    celery = _called()
    facts = gather(
        the_app(),
        command=f"{celery} singleton" if has_app else _BY_URL,
        celery=celery,
        has_app=has_app,
        timeout_seconds=timeout,
    )
    found = [one for one in diagnose(facts) if not only or one.check in only]
    if is_json():
        print_json([one.to_data() for one in found])
    else:
        _tell(found)
    bad = ("problem", "warning") if strict else ("problem",)
    if any(one.finding.verdict.value in bad for one in found):
        ctx.exit(NOT_DONE)


def _tell(found: list[Diagnosis]) -> None:
    """Write findings, the worst last: that is where eyes are when a command ends."""
    wide = max((len(one.check) for one in found), default=0)
    for verdict in reversed(_ORDER):
        these = [one for one in found if one.finding.verdict.value == verdict]
        if verdict == "unknown":
            _tell_unknown(these)
            continue
        for one in these:
            _tell_one(one, wide)
    counts = {v: sum(one.finding.verdict.value == v for one in found) for v in _ORDER}
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))


def _tell_one(one: Diagnosis, wide: int) -> None:
    finding = one.finding
    verdict = finding.verdict.value
    mark = click.style(verdict.ljust(_WIDTH), **_COLOURS[verdict])
    click.echo(f"{mark}  {one.check.ljust(wide)}  {shown(finding.found)}")
    indent = " " * (_WIDTH + wide + 4)
    if verdict != "ok":
        for line in finding.details:
            click.echo(f"{indent}  {shown(line)}")
    if finding.cure:
        click.echo(f"{indent}-> {shown(finding.cure)}")


def _tell_unknown(found: list[Diagnosis]) -> None:
    """Write what could not be found out by the reasons, of which there are few."""
    checks: dict[str, list[str]] = {}
    for one in found:
        checks.setdefault(one.finding.found, []).append(one.check)
    for why, names in checks.items():
        click.echo(click.style(f"unknown  {shown(why)}: {', '.join(names)}", **_COLOURS["unknown"]))


def _called() -> str:
    """Tell how Celery is called here, for the commands that are told as a way out."""
    words = sys.argv[1:]
    for at, word in enumerate(words):
        if word in ("-A", "--app") and at + 1 < len(words):
            return f"celery -A {words[at + 1]}"
        if word.startswith("--app="):
            return f"celery -A {word.removeprefix('--app=')}"
    return "celery -A APP"
