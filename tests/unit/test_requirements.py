"""What is too old is refused at start, by its name and with what to install."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from celery_singleton_beat.adapters.requirements import LEAST, check_requirements
from celery_singleton_beat.errors import ConfigurationError

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("name", "found", "wanted"),
    [("celery", "5.4.0", "celery>=5.5"), ("kombu", "5.4.2", "kombu>=5.5"),
     ("redis", "4.6.0", "redis>=5.0"), ("celery", "4.4.7rc1", "celery>=5.5")],
)  # fmt: skip
def test_a_release_that_is_too_old_is_refused(name: str, found: str, wanted: str) -> None:
    """C2: before the first message, not by it."""
    with pytest.raises(ConfigurationError, match=re.escape(f"pip install '{wanted}'")) as refused:
        check_requirements(lambda asked: found if asked == name else "99.0")

    assert f"{name} {found} is not supported" in str(refused.value)


@pytest.mark.parametrize("found", ["5.5", "5.5.0rc1", "5.10.2", "6.0.0b1", "10.0"])
def test_what_is_as_new_as_that_or_newer_is_not(found: str) -> None:
    check_requirements(lambda _: found)


def test_what_does_not_say_its_version_is_believed() -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    check_requirements(absent)


@pytest.mark.parametrize("name", LEAST)
def test_installers_are_told_the_same(name: str) -> None:
    least = ".".join(map(str, LEAST[name]))

    assert f'"{name}>={least}"' in PYPROJECT.read_text("utf-8")
