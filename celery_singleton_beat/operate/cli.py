"""The commands ``celery -A app singleton …``.

Celery loads this module with every ``celery`` command: it imports nothing that is slow.
"""

from __future__ import annotations

import click

# With it the client of ``celery inspect`` knows our commands, whatever the app has imported.
from celery_singleton_beat.adapters import remote_control  # noqa: F401


@click.group()
def singleton() -> None:
    """Look at the singleton beat of this app, and operate it."""
