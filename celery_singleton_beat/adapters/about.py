"""What this process is: its host, its versions, its broker.

Runs in: beat, worker.
"""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from celery_singleton_beat.protocol.about import About
from celery_singleton_beat.store_url import redacted

if TYPE_CHECKING:
    from celery import Celery

_PACKAGES: Final = ("celery-singleton-beat", "celery", "kombu", "redis")


def about_process(app: Celery) -> About:
    """Describe this process as one that publishes for an app."""
    return About(
        host=socket.gethostname(), pid=os.getpid(), broker=broker_of(app), versions=versions()
    )


def broker_of(app: Celery) -> str:
    """Tell where an app publishes, without secrets; it does not connect."""
    return redacted(str(app.connection_for_write().as_uri()))


def versions() -> dict[str, str]:
    """Tell the versions of what matters between processes that work together."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a folder, and not installed
            found[name] = "?"
    return found
