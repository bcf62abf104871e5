"""The remote control commands: what ``celery inspect singleton_…`` asks workers and beats.

Runs in: worker, main process; beat, if it was started with ``--enable-remote-control``;
and by name in the client, which sends only what it knows.

    celery -A app inspect singleton_locks 20
    celery -A app inspect singleton_entries 20
    celery -A app inspect singleton_settings

This module is loaded with every ``celery`` command: it imports nothing that is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.utils.serialization import jsonify
from celery.worker.control import Panel, inspect_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

_LIMIT: Final = 20
_COMMANDS: Final = ("singleton_locks", "singleton_entries", "singleton_settings")


@inspect_command(args=[("limit", int)], signature="[limit=20]")
def singleton_locks(state: Any, limit: int = _LIMIT, **_: Any) -> dict[str, Any]:
    """Lock keys: those that runs of this worker hold, and those that the store knows."""
    return _answered(state.app, "locks", limit)


@inspect_command(args=[("limit", int)], signature="[limit=20]")
def singleton_entries(state: Any, limit: int = _LIMIT, **_: Any) -> dict[str, Any]:
    """Entries of the timetable: those of beat_schedule and those in the store."""
    return _answered(state.app, "entries", limit)


@inspect_command()
def singleton_settings(state: Any, **_: Any) -> dict[str, Any]:
    """Settings in force, without secrets; versions, store and the difference of its clock."""
    return _answered(state.app, "settings")


def commands() -> dict[str, Callable[..., dict[str, Any]]]:
    """Give the commands by name, for a node that has a registry of its own: a beat."""
    return {name: Panel.data[name] for name in _COMMANDS}


def serve_beat(service: Any) -> None:
    """Let a beat answer them too, if it takes commands; Celery gives it none but ``ping``."""
    node = getattr(getattr(service, "_pidbox", None), "node", None)
    if node is not None:
        node.handlers.update(commands())


def is_used(app: Celery) -> bool:
    """Tell whether an app has to do with us: its workers have our step, or its beats our class."""
    scheduler = str(app.conf.beat_scheduler)
    return (
        "_singleton_beat" in vars(app)
        or scheduler == "singleton"
        or scheduler.startswith("celery_singleton_beat")
    )


def _answered(app: Celery, question: str, *arguments: int) -> dict[str, Any]:
    """Answer, whatever happens: what a command raises would end a worker's control channel."""
    from celery_singleton_beat.adapters import extension, remote_answers  # noqa: PLC0415  # slow

    try:
        if not is_used(app):
            return {"error": "this app has no SingletonTask, and no SingletonScheduler"}
        answer = getattr(remote_answers, question)
        found = answer(app, extension.extension_of(app), *arguments)
        return dict(jsonify(found, unknown_type_filter=repr))
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}
