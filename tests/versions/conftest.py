"""Fixtures of the matrices of versions."""

from __future__ import annotations

from tests.acceptance.conftest import make_deployment

__all__ = ["make_deployment"]
