"""A store without its application: an app made of nothing but the URL, and the key prefix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from celery_singleton_beat.adapters.extension import extension_of
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.operate.words import shown
from celery_singleton_beat.store.keys import Keys
from celery_singleton_beat.store.redis_prefixes import app_at, prefixes

if TYPE_CHECKING:
    from celery_singleton_beat.store.redis_wire import Wire

_MANY: Final = 20


def app_of_store(url: str, prefix: str | None = None) -> Celery:
    """Make an app that stands for the one whose store it is, to look at that and operate it.

    Without a prefix the only store at the URL is meant. Nothing is written: where
    there is no store, none is begun.

    Raises:
        ConfigurationError: there is none with that prefix, or more than one without.
        StoreUnavailable: the store does not answer.
    """
    if url.startswith("memory:"):
        raise ConfigurationError(f"{url} is each process's own: nobody else can look into it")
    wire = extension_of(_app(url, "unknown", "unknown")).new_wire()
    prefix = prefix or os.environ.get("SINGLETON_BEAT_KEY_PREFIX")
    found = Keys(prefix).prefix if prefix else _only_one(wire)
    name = app_at(wire, Keys(found).meta)
    if name is None:
        raise ConfigurationError(
            f"no store with the prefix {found} is at {wire.address}: beats print theirs when they "
            "start (prefix -> …), and without --prefix it is looked for"
        )
    wire.close()
    return _app(url, found, name)


def _only_one(wire: Wire) -> str:
    found = sorted(prefixes(wire, _MANY))
    if not found:
        raise ConfigurationError(
            f"no store of celery-singleton-beat is at {wire.address}: is it this server, and this "
            "database number?"
        )
    if len(found) > 1:
        listed = ", ".join(map(shown, found[:_MANY]))
        raise ConfigurationError(
            f"there is more than one store at {wire.address}: say which with --prefix: {listed}"
        )
    return found[0]


def _app(url: str, prefix: str, name: str) -> Any:
    app = Celery(name, set_as_current=False, broker="memory://")
    # result_expires: without it Celery adds an entry of its own to the configuration.
    app.conf.update(
        singleton_beat_redis_url=url, singleton_beat_key_prefix=prefix, result_expires=None
    )
    return app
