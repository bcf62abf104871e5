"""Where a Redis is: the pool of connections behind a URL, whoever has to be asked for the way."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.connection import parse_url
from redis.sentinel import Sentinel

from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.store.redis_cluster import (
    ClusterConnection,
    ClusterSSLConnection,
    Node,
    Nodes,
)

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_CLUSTER: Final = "+cluster"


def is_cluster(url: str) -> bool:
    """Tell whether a URL names nodes of a cluster."""
    return url.partition("://")[0].endswith(_CLUSTER)


def address_of(url: str) -> str:
    """Where the server is, without secrets: for messages."""
    return ";".join(_without_secrets(part) for part in _split(url))


def pool_of(url: str, options: dict[str, Any], key: str) -> Any:
    """Make the pool of connections to the server that has ``key``.

    Raises:
        ConfigurationError, TypeError, ValueError: the URL or the options cannot be.
    """
    if url.startswith("sentinel"):
        return _sentinel_client(url, options).connection_pool
    if is_cluster(url):
        return _cluster_pool(url, options, key)
    return redis.Redis.from_url(url, **options).connection_pool


def _split(url: str) -> list[str]:
    return re.split(r";(?=[a-z+]+://)", url)


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or ""
    except ValueError:  # they cannot be read, and a password may stand anywhere
        return f"{url.partition('://')[0][:20]}://…"
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{host}:{port}{parts.path}"


def _cluster_pool(url: str, options: dict[str, Any], key: str) -> Any:
    """Read ``redis+cluster://host:port;redis+cluster://…``: some of the nodes; one will do.

    User and password may stand in any of them; they are the same on all nodes.
    """
    parse: Any = parse_url
    nodes: list[Node] = []
    told: dict[str, Any] = {}
    for part in _split(url):
        read = dict(parse(part.replace(_CLUSTER, "", 1)))
        nodes.append(Node(read.pop("host", "localhost"), read.pop("port", _PORT)))
        told = {**read, **told}
    if told.pop("db", 0):
        msg = "a cluster has database 0 only: leave the number out, and set another key prefix"
        raise ConfigurationError(msg)
    line = told.pop("connection_class", redis.Connection)
    of_lines = {**options, **told}
    most = of_lines.pop("max_connections")
    return redis.ConnectionPool(
        ClusterSSLConnection if issubclass(line, redis.SSLConnection) else ClusterConnection,
        most,
        nodes=Nodes(nodes, line, of_lines),
        key=key,
        **of_lines,
    )


def _sentinel_client(url: str, options: dict[str, Any]) -> Any:
    """Build a client from ``sentinel://host:port;sentinel://host:port/0``, as kombu writes it."""
    name = options.pop("master_name", None)
    own = options.pop("sentinel_kwargs", {})
    hosts = []
    for part in _split(url):
        split = urlsplit(part)
        hosts.append((split.hostname or "127.0.0.1", split.port or _SENTINEL_PORT))
        query = parse_qs(split.query)
        name = name or (query["master_name"][0] if "master_name" in query else None)
        if split.password:
            options.setdefault("password", unquote(split.password))
        if split.username:
            options.setdefault("username", unquote(split.username))
        if split.path.strip("/"):
            options.setdefault("db", int(split.path.strip("/")))
    if name is None:
        msg = (
            "sentinel:// needs the name of the primary: "
            'set singleton_beat_redis_options = {"master_name": "…"}'
        )
        raise ConfigurationError(msg)
    timeouts = {k: options[k] for k in ("socket_connect_timeout", "socket_timeout")}
    sentinels: Any = Sentinel
    return sentinels(hosts, sentinel_kwargs={**timeouts, **own}).master_for(name, **options)
