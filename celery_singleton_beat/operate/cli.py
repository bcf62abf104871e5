"""The commands ``celery -A app singleton …``.

Celery loads this module with every ``celery`` command: it imports nothing that is slow.
"""

from __future__ import annotations

import click


@click.group()
def singleton() -> None:
    """Look at the singleton beat of this app, and operate it."""
