"""The exporter: the metrics of one app, by HTTP."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, start_http_server

from celery_singleton_beat.operate.metrics import SingletonCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery import Celery


def serve(
    app: Celery,
    bind: str,
    port: int,
    *,
    entries: int | Sequence[str],
    ready: Callable[[str], None],
) -> None:
    """Answer scrapes until SIGTERM or SIGINT; ``ready`` is told the address once it does.

    Every path answers with the metrics. Port 0: any that is free.

    Raises:
        OSError: it cannot listen there.
        ConfigurationError: as ``SingletonCollector``.
    """
    registry = CollectorRegistry()
    registry.register(SingletonCollector(app, entries=entries))
    over = threading.Event()

    def end(*_: Any) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server, thread = start_http_server(port, bind, registry)
    try:
        host = f"[{bind}]" if ":" in bind else bind
        ready(f"http://{host}:{server.server_port}/metrics")
        over.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
