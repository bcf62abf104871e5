"""Where the store is: the URL chosen among everything that may name a Redis."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from celery_singleton_beat.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# kombu's and Valkey's names for what redis-py calls by the second one.
_SAME_SCHEME = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "sentinel": "sentinel",
    "redis+cluster": "redis+cluster",
    "rediss+cluster": "rediss+cluster",
    "valkey": "redis",
    "valkeys": "rediss",
}
_LOCAL_PORT = 6379


@dataclass(frozen=True)
class Parts:
    """A Redis server named in parts instead of by a URL."""

    host: str | None = None
    port: int = _LOCAL_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0

    def url(self) -> str | None:
        """The URL of these parts, special characters escaped; None without a host."""
        if self.host is None:
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = quote(self.username or "", safe="")
        secret = "" if self.password is None else ":" + quote(self.password, safe="")
        at = "@" if user or secret else ""
        return f"redis://{user}{secret}{at}{host}:{self.port}/{self.db}"


def store_url(
    *,
    explicit: str | None,
    own: Parts,
    inherited: Sequence[str | Sequence[str] | None],
    environ: Mapping[str, str],
) -> str:
    """The first of: our own URL, our own host, the application's Redis, ``REDIS_…`` variables.

    Raises:
        ConfigurationError: none of them names a Redis, or the one chosen cannot be read.
    """
    if explicit is not None:
        return _explicit_url(explicit)
    if (url := own.url()) is not None:
        return url
    _refuse_parts_without_host(own)
    for urls in inherited:
        if (url := _redis_among(urls)) is not None:
            return url
    if (url := _environment_url(environ)) is not None:
        return url
    broker, result_backend = (urls and redacted(";".join(_split(urls))) for urls in inherited)
    raise ConfigurationError(
        f"no Redis is configured for the store: the broker is {broker!r}, the result backend "
        f"{result_backend!r}. Set singleton_beat_redis_url, for example to "
        "'redis://localhost:6379/0', or to 'memory://' for a single process without coordination"
    )


def redacted(url: str) -> str:
    """The URL with its passwords struck out, fit for a log."""
    # Up to the last @, semicolons included: a password may hold either.
    without_user_info = re.sub(r"//.*@", "//***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&;#]*", r"\1***", without_user_info)


def _explicit_url(url: str, name: str = "singleton_beat_redis_url") -> str:
    if url == "memory://":
        return url
    if (readable := _redis_among(url)) is None:
        schemes = ", ".join(f"{scheme}://" for scheme in (*_SAME_SCHEME, "memory"))
        raise ConfigurationError(
            f"{name} ({redacted(url)}) is no URL of a store: it must begin with one of {schemes}"
        )
    return readable


def _refuse_parts_without_host(own: Parts) -> None:
    if own != Parts():
        raise ConfigurationError(
            "singleton_beat_redis_port, _username, _password or _db is set without "
            "singleton_beat_redis_host: set the host too ('localhost' for this machine), "
            "or say it all in singleton_beat_redis_url"
        )


def _redis_among(urls: str | Sequence[str] | None) -> str | None:
    """The first URL, if it is a Redis; all of them, if they are sentinels or nodes of a cluster."""
    split = _split(urls)
    if not split:
        return None
    scheme = _SAME_SCHEME.get(_scheme(split[0]))
    if scheme is None:
        return None
    if scheme == "sentinel":
        return ";".join(split)
    if scheme.endswith("+cluster"):
        return ";".join(_as_redis_py_writes_it(scheme, url.partition("://")[2]) for url in split)
    return _as_redis_py_writes_it(scheme, split[0].partition("://")[2])


def _split(urls: str | Sequence[str] | None) -> list[str]:
    if urls is None:
        return []
    parts = [urls] if isinstance(urls, str) else urls
    # A semicolon divides URLs only where another one begins: passwords may hold one.
    return [url for part in parts for url in re.split(r";(?=[a-z+]+://)", part) if url]


def _scheme(url: str) -> str:
    scheme, divider, _ = url.partition("://")
    return scheme if divider else ""


def _as_redis_py_writes_it(scheme: str, rest: str) -> str:
    if scheme == "unix":
        rest = re.sub(r"([?&])virtual_host=", r"\1db=", rest)
    if scheme.startswith("rediss"):
        rest = re.sub(
            r"(ssl_cert_reqs=)CERT_(\w+)", lambda found: found[1] + found[2].lower(), rest
        )
    return f"{scheme}://{rest}"


def _environment_url(environ: Mapping[str, str]) -> str | None:
    if url := environ.get("REDIS_URL"):
        return _explicit_url(url, "REDIS_URL")
    if not (host := environ.get("REDIS_HOST")):
        return None
    return Parts(
        host=host,
        port=_number(environ, "REDIS_PORT", _LOCAL_PORT),
        username=environ.get("REDIS_USERNAME") or None,
        password=environ.get("REDIS_PASSWORD") or None,
        db=_number(environ, "REDIS_DATABASE" if environ.get("REDIS_DATABASE") else "REDIS_DB", 0),
    ).url()


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    # For a service named redis, Kubernetes sets REDIS_PORT to tcp://10.0.0.1:6379.
    digits = text.rpartition(":")[2]
    if not digits.isdecimal():
        raise ConfigurationError(
            f"{name} ({text!r}) must be a whole number; or set singleton_beat_redis_url, "
            "which comes first"
        )
    return int(digits)
