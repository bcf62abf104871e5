"""What this package runs on, and what is refused at start.

Runs in: beat, worker.

An installer sees to all of this; what it is told to ignore, or what somebody puts
in its place, is not found out by a first wrong message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from celery_singleton_beat.errors import ConfigurationError

LEAST: Final = {"celery": (5, 5), "kombu": (5, 5), "redis": (5, 0)}
"""The oldest releases that the tests run on."""


def check_requirements(version_of: Callable[[str], str] = version) -> None:
    """See that what is installed is not older than what is supported.

    Raises:
        ConfigurationError: the text names the package, its version and what to install.
    """
    for name, least in LEAST.items():
        try:
            text = version_of(name)
        except PackageNotFoundError:  # in a bundle that kept the code and not what is told of it
            continue
        found = tuple(int(number) for number in re.findall(r"\d+", text)[:2])
        if found < least:
            wanted = ".".join(map(str, least))
            msg = f"{name} {text} is not supported: pip install '{name}>={wanted}'"
            raise ConfigurationError(msg)
