"""What a replica tells of itself to whoever looks at the fleet.

It stands in the last field of its record, where any text may be: an object of
JSON. What cannot be read as one is an older release's, or nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class About:
    """A process: where it runs, with which versions, and how far its host's clock is off.

    ``ahead_ms`` is by how much that clock is ahead of the store's (negative: behind);
    None: not measured yet. ``broker`` is where it publishes, without secrets.
    """

    host: str = ""
    pid: int = 0
    broker: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    ahead_ms: int | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> About:
        """Read what a replica told; what is not there, or not so, is left empty."""
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, Mapping):
            return cls()
        versions = _of(told, "versions", dict, {})
        return cls(
            host=_of(told, "host", str, ""),
            pid=_of(told, "pid", int, 0),
            broker=_of(told, "broker", str, ""),
            versions={str(name): str(version) for name, version in versions.items()},
            ahead_ms=_of(told, "ahead_ms", int, None),
        )


def _of(told: Mapping[str, Any], name: str, kind: type, otherwise: Any) -> Any:
    value = told.get(name)
    return value if isinstance(value, kind) and not isinstance(value, bool) else otherwise
