"""A certificate of our own making, and a server that shows it."""

from __future__ import annotations

import pathlib
import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from celery_singleton_beat.demo.server import HOST, PORTS, EmbeddedServer
from tests.rig.absent import NotInstalled, skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable

Certificate = tuple[pathlib.Path, pathlib.Path]
"""The certificate, and its key."""

TLS_SERVER: Final = "a Redis server built with TLS"
OPERATIONS: Final = pathlib.Path(__file__).parents[2] / "docs" / "operations.md"


def make_certificate(folder: pathlib.Path) -> Certificate:
    """A self-signed certificate for the loopback address.

    Raises:
        NotInstalled: there is no openssl.
    """
    if shutil.which("openssl") is None:
        raise NotInstalled("openssl")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"),
        *("-out", str(certificate), "-keyout", str(key)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def serve_tls(
    start: Callable[[tuple[str, ...]], EmbeddedServer], certificate: Certificate
) -> tuple[EmbeddedServer, int]:
    """A server, started with further arguments, that speaks TLS on a second port: that one.

    Raises:
        NotInstalled: the server cannot speak TLS.
    """
    pem, key = map(str, certificate)
    port = random.SystemRandom().choice(PORTS)
    extra = ("--tls-port", str(port), "--tls-cert-file", pem, "--tls-key-file", key)
    try:
        return start((*extra, "--tls-auth-clients", "no")), port
    except RuntimeError as error:
        if "tls" not in str(error).lower():
            raise
        raise NotInstalled(TLS_SERVER) from error


def documented_rights(prefix: str) -> list[str]:
    """What a user needs, word for word as the documentation says it, on that prefix."""
    found = re.search(r"An ACL user needs[^`]*```text\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    assert found is not None
    return found[1].replace("{csb:shop}", f"{{csb:{prefix}}}").split()


@pytest.fixture
def certificate(tmp_path: pathlib.Path) -> Certificate:
    """A certificate for the loopback address, and its key."""
    try:
        return make_certificate(tmp_path)
    except NotInstalled as error:
        skip_or_fail(error)


@pytest.fixture
def redis_behind_tls(
    make_redis: Callable[..., EmbeddedServer], certificate: Certificate
) -> tuple[EmbeddedServer, str]:
    """A private server that speaks TLS, and where it does."""
    try:
        server, port = serve_tls(lambda extra: make_redis(extra=extra), certificate)
    except NotInstalled as error:
        skip_or_fail(error)
    return server, f"{HOST}:{port}"
