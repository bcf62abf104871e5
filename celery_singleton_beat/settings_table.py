"""The settings as the documentation shows them."""

from __future__ import annotations

from dataclasses import Field
from typing import Any

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.setting_sources import IN_MILLISECONDS
from celery_singleton_beat.settings import declared_settings, key_of


def settings_table() -> str:
    """The settings as a table in Markdown, for the documentation."""
    rows = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    for declared in declared_settings():
        about = declared.metadata
        default = about["unset"] if declared.default is None else f"`{_default(declared)}`"
        meaning = about["doc"] + "".join(f" Also `{name}`{_unit(name)}." for name in about["also"])
        rows.append(f"| `{key_of(declared)}` | {about['kind'].label} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _unit(variable: str) -> str:
    return " (milliseconds)" if variable in IN_MILLISECONDS else ""


def _default(declared: Field[Any]) -> object:
    default: Any = declared.default
    if declared.name.endswith("_ms"):
        return values.written(default / 1000)
    return f'"{default}"' if isinstance(default, str) else default
