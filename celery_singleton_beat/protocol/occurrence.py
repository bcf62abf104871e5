"""An occurrence: one due moment of one entry, and the names it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Final, TypeGuard
from uuid import UUID

HEADER: Final = "singleton_occurrence"

_LONGEST_NAME: Final = 1000
_FIRST_MS: Final = -62_135_596_800_000  # 0001-01-01
_LAST_MS: Final = 253_402_300_799_999  # 9999-12-31

NAMESPACE: Final = UUID("6f0c6a5e-7d0b-5c1e-9d0e-2f6f1b0c5b0e")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due moment of one entry.

    Its identity is ``(entry, scheduled_ms, cause)`` and is the same on every
    replica. ``cause`` is empty for the timetable and a request's id for an
    occurrence that somebody asked for. ``previous_ms`` is the occurrence before
    it, where one was dispatched. After ``not_after_ms``, which is ``window_ms``
    after the publish, a message for it is refused by the worker, because its run
    record may be gone. Of one that ``is_awaited`` the beats want to see the begin.
    ``revision`` is that of the stored entry by which it was published (0: it is none).
    """

    entry: str
    scheduled_ms: int
    cause: str = ""
    previous_ms: int | None = None
    not_after_ms: int = 0
    window_ms: int = 0
    is_awaited: bool = False
    revision: int = 0

    def task_id(self, prefix: str) -> str:
        """Tell the Celery task id of this occurrence: every publish of it bears the same.

        It is the version 5 UUID (RFC 9562) of prefix, entry, time and cause.
        """
        name = f"{prefix}\0{self.entry}\0{self.scheduled_ms}\0{self.cause}"
        # str(uuid5(NAMESPACE, name)), at a third of its price: every dispatch needs one.
        digits = sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
        variant = "89ab"[int(digits[16], 16) & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
        )

    def to_header(self) -> dict[str, str | int | bool]:
        """Write it as a message header; what is as by default is left out."""
        header: dict[str, str | int | bool] = {
            "entry": self.entry,
            "scheduled_ms": self.scheduled_ms,
            "not_after_ms": self.not_after_ms,
            "window_ms": self.window_ms,
        }
        if self.previous_ms is not None:
            header["previous_ms"] = self.previous_ms
        if self.cause:
            header["cause"] = self.cause
        if self.is_awaited:
            header["awaited"] = True
        if self.revision:
            header["revision"] = self.revision
        return header

    @classmethod
    def from_header(cls, header: object) -> Occurrence | None:
        """Read a message header; anything that is not one of ours reads as None."""
        if not isinstance(header, Mapping):
            return None
        entry, cause = header.get("entry"), header.get("cause", "")
        if not (_is_name(entry) and _is_name(cause)):
            return None
        scheduled_ms, previous_ms = header.get("scheduled_ms"), header.get("previous_ms")
        not_after_ms, window_ms = header.get("not_after_ms", 0), header.get("window_ms", 0)
        if not (_is_moment(scheduled_ms) and _is_number(not_after_ms) and _is_number(window_ms)):
            return None
        revision = header.get("revision", 0)
        if not _is_number(revision) or not (previous_ms is None or _is_moment(previous_ms)):
            return None
        is_awaited = header.get("awaited") is True
        return cls(
            entry,
            scheduled_ms,
            cause,
            previous_ms,
            not_after_ms,
            window_ms,
            is_awaited,
            revision,
        )


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 52


def _is_moment(value: object) -> TypeGuard[int]:
    """Tell whether a number is a time that a datetime can say: tasks are told one."""
    return _is_number(value) and _FIRST_MS <= value <= _LAST_MS
