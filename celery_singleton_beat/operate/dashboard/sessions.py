"""Tokens, cookies and form values: what proves who asks, and that a form is ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

LASTS_SECONDS: Final = 12 * 3600
FORM_COOKIE: Final = "csb_form"
_LONGEST_NAME: Final = 80
_MOST_DIGITS: Final = 20


class Sessions:
    """Sessions of those who gave the token: signed with it, nothing is kept here."""

    def __init__(self, token: str, *, clock: Callable[[], float] = time.time) -> None:
        self._token = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(self._token, b"session", "sha256")
        self._clock = clock
        # Cookies know no ports: two dashboards on one host must not take each other's.
        self.cookie: Final = f"csb_session_{self._key.hex()[:8]}"

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._token)

    def make(self, name: str) -> str:
        """Write a cookie for somebody by that name."""
        until = int(self._clock()) + LASTS_SECONDS
        named = base64.urlsafe_b64encode(name[:_LONGEST_NAME].encode()).decode()
        return f"{until}.{named}.{self._sign(until, named)}"

    def read(self, cookie: str) -> str | None:
        """Tell whose cookie it is; None: it is not ours, or over."""
        until, _, rest = cookie.partition(".")
        named, _, signature = rest.partition(".")
        if not until.isascii() or not until.isdigit() or not cookie.isascii():
            return None
        if len(until) > _MOST_DIGITS:
            return None
        if not hmac.compare_digest(signature, self._sign(int(until), named)):
            return None
        if int(until) <= self._clock():
            return None
        return base64.urlsafe_b64decode(named).decode()

    def _sign(self, until: int, named: str) -> str:
        return hmac.new(self._key, f"{until}.{named}".encode(), "sha256").hexdigest()


def new_form_value() -> str:
    """Make what a form must send back, and its cookie too."""
    return secrets.token_urlsafe(24)


def is_same(given: str, known: str) -> bool:
    """Compare in a time that tells nothing; what is empty is like nothing."""
    return bool(known) and hmac.compare_digest(given.encode(), known.encode())
