"""What to do about a program that is not installed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class NotInstalled(Exception):
    """A program that is needed is not here; the text says which."""


def skip_or_fail(program: object) -> NoReturn:
    """Skip on a developer's machine; fail where everything must have been installed (CI=true)."""
    message = f"{program} is not installed"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{message}, and CI must not skip", pytrace=False)
    pytest.skip(message)
