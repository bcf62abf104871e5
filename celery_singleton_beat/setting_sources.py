"""Where settings stand: Celery's configuration in several spellings, and the environment."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.errors import UnknownSetting
from celery_singleton_beat.setting_checks import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_SPELLING = re.compile(r"(?:[A-Z][A-Z0-9_]*_)?SINGLETON_BEAT_([A-Z0-9_]+)|singleton_beat_(\w+)")
IN_MILLISECONDS = frozenset({"CRON_LOCK_TTL"})


def configured(conf: Mapping[str, object], keys: AbstractSet[str]) -> dict[str, object]:
    """What the configuration says, by setting; of several spellings the small one counts.

    That is how an application overrides at run time what it has read from an object.

    Raises:
        UnknownSetting: a ``singleton_beat_…`` key that is none of these.
    """
    known = {key.removeprefix(PREFIX) for key in keys}
    found: dict[str, object] = {}
    for spelling in sorted(conf):
        if not (match := _SPELLING.fullmatch(spelling)):
            continue
        name = (match[1] or match[2]).lower()
        if name not in known:
            meant = values.did_you_mean(name, known, PREFIX)
            raise UnknownSetting(f"{spelling} is not a setting{meant}")
        # Capitals are sorted before small letters, so the small spelling comes last.
        found[PREFIX + name] = conf[spelling]
    return found


def variable_of(key: str, also: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """The name of the first variable that holds something: ``REDIS_PASSWORD=`` sets nothing.

    Unknown ``SINGLETON_BEAT_…`` variables are let alone: for a service named singleton-beat
    Kubernetes sets some in every container.
    """
    return next((name for name in (key.upper(), *also) if environ.get(name)), None)


def parsed(kind: values.Kind, name: str, environ: Mapping[str, str]) -> object:
    """The value of a variable, in the setting's own unit; not checked yet."""
    found = kind.parse(environ[name], name)
    if name in IN_MILLISECONDS and isinstance(found, float) and math.isfinite(found):
        return timedelta(milliseconds=found)
    return found
