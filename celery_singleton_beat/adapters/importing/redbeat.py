"""RedBeat's entries, read from its keys in Redis; RedBeat itself is not needed.

Runs in: whatever process changes the timetable.

Of each entry RedBeat keeps a hash with a definition and a meta field, both JSON,
in which objects are marked by a ``__type__``; a sorted set names all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from celery.schedules import crontab, schedule
from dateutil import rrule

from celery_singleton_beat.adapters.importing.carried import carried, stored_options
from celery_singleton_beat.engine.reconcile import Row
from celery_singleton_beat.errors import ConfigurationError, StoreUnavailable
from celery_singleton_beat.store.redis_wire import LINE_ERRORS, Wire

if TYPE_CHECKING:
    from celery import Celery

_PREFIX: Final = "redbeat:"
_PAGE: Final = 500
_OF_REDBEAT: Final = {
    "retry_period",
    "cluster",
    "sentinels",
    "service_name",
    "sentinel_kwargs",
    "startup_nodes",
}


def rows_of_redbeat(
    app: Celery, app_or_url: Any, key_prefix: str | None, source: str
) -> Iterator[Row]:
    """Read the entries that RedBeat keeps.

    Raises:
        ConfigurationError: its Redis cannot be reached by what the app says.
        StoreUnavailable: its Redis does not answer.
    """
    owner = app if app_or_url is None or isinstance(app_or_url, str) else app_or_url
    wire = Wire(app_or_url) if isinstance(app_or_url, str) else _wire(owner)
    prefix = key_prefix or owner.conf.first("redbeat_key_prefix", "REDBEAT_KEY_PREFIX") or _PREFIX
    for key, definition, meta in _kept(wire, prefix):
        yield _row(app, key.removeprefix(prefix), definition, meta, source)


def _wire(app: Celery) -> Wire:
    first = app.conf.first
    url = first("redbeat_redis_url", "REDBEAT_REDIS_URL") or app.conf.broker_url
    options = first("redbeat_redis_options", "REDBEAT_REDIS_OPTIONS") or {}
    if "cluster" in url.split("://")[0] or options.get("cluster"):
        msg = "RedBeat's keys are in a cluster: give import_redbeat the URL of the node with them"
        raise ConfigurationError(msg)
    given = {name: value for name, value in options.items() if name not in _OF_REDBEAT}
    ssl = first("redbeat_redis_use_ssl", "REDBEAT_REDIS_USE_SSL")
    if isinstance(ssl, dict):
        given.update(ssl)
    if options.get("sentinels"):
        hosts = ";".join(f"sentinel://{host}:{port}" for host, port in options["sentinels"])
        given["master_name"] = options.get("service_name", "master")
        given["sentinel_kwargs"] = options.get("sentinel_kwargs") or {}
        return Wire(hosts, options=given)
    return Wire(url, options=given)


def _kept(wire: Wire, prefix: str) -> Iterator[tuple[str, str | None, str | None]]:
    connection = wire.new_connection()
    with closing(_Closing(connection)):
        at = 0
        while True:
            (keys,) = _ask(wire, connection, [("ZRANGE", f"{prefix}:schedule", at, at + _PAGE - 1)])
            found = _ask(wire, connection, [("HMGET", key, "definition", "meta") for key in keys])
            for key, (definition, meta) in zip(keys, found, strict=True):
                yield key, definition, meta
            if len(keys) < _PAGE:
                return
            at += _PAGE


class _Closing:
    def __init__(self, connection: Any) -> None:
        self.close = connection.disconnect


def _ask(wire: Wire, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]
    except LINE_ERRORS as error:
        msg = f"RedBeat's Redis at {wire.address} did not answer: {error}"
        raise StoreUnavailable(msg) from error


def _row(app: Celery, name: str, definition: str | None, meta: str | None, source: str) -> Row:
    if not definition:
        return Row(name, None, f"entry {name!r} of RedBeat has no definition any more")
    try:
        given = json.loads(definition, object_hook=_object)
        told = json.loads(meta, object_hook=_object) if meta else {}
        last_run, has_run = told.get("last_run_at"), bool(told.get("total_run_count"))
        fields = {
            "name": given.get("name") or name,
            "task": given["task"],
            "recurrence": given["schedule"],
            "args": list(given.get("args") or ()),
            "kwargs": dict(given.get("kwargs") or {}),
            "options": stored_options(given.get("options")),
            "enabled": bool(given.get("enabled", True)),
            "source": source,
        }
    except (ValueError, KeyError, TypeError, AttributeError, LookupError) as error:
        reason = f"entry {name!r} of RedBeat cannot be read ({type(error).__name__}: {error})"
        return Row(name, None, reason)
    # RedBeat also writes there when an entry was first saved.
    return carried(app, fields, last_run, has_run=has_run)


def _object(data: dict[str, Any]) -> Any:
    """Make of marked data the object that it stands for; of unknown marks none."""
    kind = data.get("__type__")
    if kind is None:
        return data
    fields = {name: value for name, value in data.items() if name != "__type__"}
    match kind:
        case "datetime":
            zone = fields.pop("timezone", "UTC")
            return datetime(**fields, tzinfo=_zone(zone))
        case "interval":
            return schedule(run_every=fields["every"], relative=fields.get("relative", False))
        case "crontab":
            return crontab(**fields)
        case "weekday":
            return rrule.weekday(**fields)
        case "rrule":
            return _rrule(fields)
        case _:
            msg = f"objects of type {kind!r} are not known"
            raise ValueError(msg)


def _rrule(fields: dict[str, Any]) -> rrule.rrule:
    for name in ("dtstart", "until"):
        minutes = fields.pop(f"{name}_tz", 0)
        if fields.get(name) is not None:
            at = datetime.fromtimestamp(fields[name], timezone.utc)
            # A zone of an offset has no name by which a rule could be stored.
            fields[name] = at if not minutes else at.astimezone(_zone(minutes * 60))
    return rrule.rrule(**fields)


def _zone(given: Any) -> Any:
    """Make a zone of a name, or of seconds east of Greenwich."""
    if isinstance(given, str):
        return ZoneInfo(given)
    return timezone(timedelta(seconds=given)) if given else timezone.utc
