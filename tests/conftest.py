"""Fixtures that every test can use, and which tests run when nothing is said."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
from celery import _state

from tests.rig.certificates import certificate, redis_behind_tls
from tests.rig.cluster import cluster, make_cluster
from tests.rig.fixtures import (
    make_celery,
    processes,
    pytest_runtest_makereport,
    witness,
)
from tests.rig.proxy import make_proxy
from tests.rig.rabbit import rabbitmq
from tests.rig.replicated import replicated
from tests.rig.servers import make_redis, own_redis, redis_binary, redis_server, redis_url
from tests.rig.skew import clock_skew_library, make_skew

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "certificate",
    "clock_skew_library",
    "cluster",
    "make_celery",
    "make_cluster",
    "make_proxy",
    "make_redis",
    "make_skew",
    "own_redis",
    "processes",
    "pytest_runtest_makereport",
    "rabbitmq",
    "redis_behind_tls",
    "redis_binary",
    "redis_server",
    "redis_url",
    "replicated",
    "witness",
]

# Run with its own configuration, under which this file is not read.
collect_ignore = ["smoke"]

LEFT_OUT = {
    "campaign": "minutes of faults on real processes",
    "servers": "a matrix of servers, which are downloaded",
}

ENOUGH_S = 30.0

SHOWN = "shown"
"""The property of a test's report that is printed at the end, also if the test passed."""


@pytest.fixture(autouse=True)
def shared_tasks_end_with_their_test() -> Iterator[None]:
    """Keep a task that one test defines out of the apps of all that come after it."""
    finalizers = _state._on_app_finalizers  # noqa: SLF001  # Celery has no other way to forget
    before = set(finalizers)
    yield
    finalizers.clear()
    finalizers.update(before)


@pytest.fixture(autouse=True)
def our_threads_end_with_their_test() -> Iterator[None]:
    """See that no thread of ours goes on for ever, against a server that is long gone."""
    before = set(threading.enumerate())
    yield
    ours = [t for t in threading.enumerate() if t.name.startswith("singleton-")]
    for thread in set(ours) - before:
        thread.join(ENOUGH_S)
        assert not thread.is_alive(), f"{thread.name} goes on after its test"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and let Ctrl-C be heard by the processes that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell ignores it for what runs in its background, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for marker, meaning in LEFT_OUT.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}; run only with -m {marker}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what bears such a marker unless the marker expression speaks of it."""
    unasked = [marker for marker in LEFT_OUT if marker not in config.option.markexpr]
    left_out = [
        item for item in items if any(item.get_closest_marker(name) is not None for name in unasked)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted; it comes with their reports, whichever process ran them."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    shown = [text for report in reports for name, text in report.user_properties if name == SHOWN]
    if shown:
        terminalreporter.section("counted")
        for text in shown:
            terminalreporter.line(str(text))
