"""Kinds of values that a setting can have: what is accepted, what it becomes, what is refused.

``check`` takes what a Python program writes, ``parse`` turns the text of an environment
variable into such a value. Both raise ``ConfigurationError`` with the name they are given.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, get_args

from celery_singleton_beat.errors import ConfigurationError

DAY_MS = 86_400_000
LONGEST_MS = 3650 * DAY_MS

_COUNTABLE = 1 << 53
_LONGEST_SHOWN = 200
_LONGEST_TYPO = 100

_BOOLS = {"1": True, "true": True, "yes": True, "on": True}
_BOOLS |= {"0": False, "false": False, "no": False, "off": False}


class Kind(Protocol):
    """One kind of value."""

    @property
    def label(self) -> str:
        """The kind in the words of the settings table, with its unit."""

    def check(self, value: object, name: str) -> object:
        """The value as the dataclass keeps it."""

    def parse(self, text: str, name: str) -> object:
        """The value that this text of an environment variable stands for, not checked yet."""


def setting(
    kind: Kind,
    default: object,
    doc: str,
    *,
    unset: str = "not set",
    also: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """The declaration of one setting, as a field of a dataclass.

    ``unset`` says what holds while the default is None; ``also`` names variables of the
    environment beside the setting's own; a ``secret`` is left out of the ``repr``.
    """
    metadata = {"kind": kind, "doc": doc, "unset": unset, "also": also}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Seconds:
    """A duration: written in seconds, kept in whole milliseconds.

    ``bare_at_most_ms`` bounds a number without a unit, because one so large is most likely a
    number of milliseconds. A timedelta is bounded by ``at_most_ms`` alone.
    """

    at_least_ms: int = 1
    at_most_ms: int = LONGEST_MS
    bare_at_most_ms: int = DAY_MS
    label: ClassVar[str] = "seconds"

    def check(self, value: object, name: str) -> int:
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ConfigurationError(
                f"{name} must be a number of seconds or a timedelta, not {_described(value)}"
            )
        if not is_countable(seconds):
            raise ConfigurationError(
                f"{name} ({shortened(seconds)}) must be a finite number of seconds"
            )
        milliseconds = round(seconds * 1000)
        if not isinstance(value, timedelta) and milliseconds > self.bare_at_most_ms:
            raise ConfigurationError(
                f"{name} ({value}) is {written(milliseconds / DAY_MS)} days. "
                f"Durations are seconds: write {written(seconds / 1000)} if these were "
                f"milliseconds, timedelta(seconds={value}) if it is meant"
            )
        if milliseconds < self.at_least_ms:
            least = written(self.at_least_ms / 1000)
            raise ConfigurationError(f"{name} ({value}) must be at least {least} seconds")
        if milliseconds > self.at_most_ms:
            most = written(self.at_most_ms / 1000)
            raise ConfigurationError(f"{name} ({value}) must be at most {most} seconds")
        return milliseconds

    def parse(self, text: str, name: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(f"{name} ({text!r}) must be a number of seconds") from None


@dataclass(frozen=True)
class Int:
    """A whole number."""

    at_least: int
    at_most: int | None = None
    label: ClassVar[str] = "number"

    def check(self, value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f"{name} must be a whole number, not {_described(value)}")
        if value < self.at_least:
            raise ConfigurationError(f"{name} ({value}) must be at least {self.at_least}")
        if self.at_most is not None and value > self.at_most:
            raise ConfigurationError(f"{name} ({value}) must be at most {self.at_most}")
        return value

    def parse(self, text: str, name: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise ConfigurationError(f"{name} ({text!r}) must be a whole number") from None


@dataclass(frozen=True)
class Text:
    """A text that is not empty."""

    label: ClassVar[str] = "text"

    def check(self, value: object, name: str) -> str:
        if not isinstance(value, str):
            # The type alone: the value may be a secret.
            raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
        if not value.strip():
            raise ConfigurationError(f"{name} is empty: give it a value, or None to leave it unset")
        return value

    def parse(self, text: str, name: str) -> str:  # noqa: ARG002 - a text needs no parsing
        return text


@dataclass(frozen=True)
class Bool:
    """True or false."""

    label: ClassVar[str] = "true or false"

    def check(self, value: object, name: str) -> bool:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} must be True or False, not {_described(value)}")
        return value

    def parse(self, text: str, name: str) -> bool:
        if (value := _BOOLS.get(text.strip().lower())) is None:
            raise ConfigurationError(f"{name} ({text!r}) must be one of {', '.join(_BOOLS)}")
        return value


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def label(self) -> str:
        return ", ".join(f"`{choice}`" for choice in self.choices)

    def check(self, value: object, name: str) -> str:
        if not isinstance(value, str) or value not in self.choices:
            allowed = ", ".join(repr(choice) for choice in self.choices)
            raise ConfigurationError(f"{name} ({shortened(repr(value))}) must be one of {allowed}")
        return value

    def parse(self, text: str, name: str) -> str:  # noqa: ARG002 - a text needs no parsing
        return text


@dataclass(frozen=True)
class Options:
    """A mapping from names to anything."""

    label: ClassVar[str] = "mapping"

    def check(self, value: object, name: str) -> Mapping[str, object]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            # The type alone: such a mapping may hold a password.
            raise ConfigurationError(
                f"{name} must be a mapping with texts as keys, not {type(value).__name__}"
            )
        return dict(value)

    def parse(self, text: str, name: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigurationError(f"{name} must be a JSON object") from None


def choice_of(literal: Any) -> Choice:
    """The choice among the words of a ``Literal``."""
    return Choice(get_args(literal))


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a sentence about an unknown name: the known one it resembles, or all of them.

    Names are given without their common prefix, which would make all of them resemble it.
    """
    names = sorted(known)
    if len(name) <= _LONGEST_TYPO and (
        close := difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    ):
        return f": did you mean {prefix}{close[0]}?"
    return f". There are: {', '.join(prefix + known_name for known_name in names)}"


def is_countable(number: float) -> bool:
    """Whether a number can be reckoned with: neither infinite nor of thousands of digits."""
    return -_COUNTABLE < number < _COUNTABLE


def shortened(value: object) -> str:
    """A value as a text that has its place in an error: what is too long for one is cut."""
    if isinstance(value, int) and not is_countable(value):
        return f"a number of {value.bit_length()} bits"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def written(number: float) -> str:
    """A number as a person writes it: ``30``, ``0.25``, ``3.5``."""
    return f"{number:.3f}".rstrip("0").rstrip(".")


def _described(value: object) -> str:
    return f"{shortened(repr(value))} ({type(value).__name__})"
