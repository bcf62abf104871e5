"""What a page is asked for: read from its address, and made to make sense."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request


def asked(request: Request, name: str) -> str:
    """A text, not too long."""
    return request.query_params.get(name, "").strip()[:200]


def number(request: Request, name: str) -> int:
    """A number; one that is none is 1."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1  # noqa: PLR2004


def chosen(request: Request, name: str, among: list[Any], default: Any) -> Any:
    """One of some values; another is the default."""
    text = request.query_params.get(name, "")
    return next((value for value in among if str(value) == text), default)
