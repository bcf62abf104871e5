"""``exporter``: metrics for Prometheus, by HTTP."""

from __future__ import annotations

import click

from celery_singleton_beat.operate.output import WRONG, command, done, note, stop, the_app

_PORT = 9808
_NO_CLIENT = (
    "the exporter needs prometheus-client: pip install 'celery-singleton-beat[metrics]', "
    "where this command runs"
)


@command("exporter", examples="exporter\nexporter --bind 0.0.0.0 --port 9808 --entry nightly")
@click.option("--bind", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_PORT,
    show_default=True,
    help="The port; 0 for any that is free.",
)
@click.option(
    "--entries",
    type=click.IntRange(0, 1000),
    default=50,
    show_default=True,
    help="So many entries of beat_schedule have series of their own, the first by name.",
)
@click.option(
    "--entry",
    "names",
    multiple=True,
    help="Instead: an entry, of either kind, that has. May be given often.",
)
def exporter(bind: str, port: int, entries: int, names: tuple[str, ...]) -> None:
    """Answer Prometheus with the metrics of this deployment.

    Every exporter tells the same, for all read the store: one is enough, and as
    many as you like do no harm. The metrics are no secret, but they name entries:
    bind to other addresses than this host's where only Prometheus can ask.
    """
    try:
        from celery_singleton_beat.operate.exporter import serve  # noqa: PLC0415  not for --help
    except ImportError as error:
        if not (error.name or "").startswith("prometheus_client"):
            raise
        stop(_NO_CLIENT, WRONG)
    app = the_app()
    if app.conf.get("singleton_beat_redis_url", "") == "memory://":
        note("The store is memory://, which each process has for itself: this is an empty one.")

    def ready(address: str) -> None:
        done(f"Metrics at {address}", {"address": address})

    try:
        serve(app, bind, port, entries=names or entries, ready=ready)
    except OSError as error:
        stop(f"cannot listen at {bind} port {port}: {error.strerror or error}")
