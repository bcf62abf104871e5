"""The shop with OpenTelemetry: its spans go to the witness, and nowhere else.

Runs in: beats and workers of these tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from tests.integration.worker_app import app
from tests.rig import witness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["app"]


class Recorder(SpanExporter):
    """Writes down what would be exported."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            witness.record(os.environ[witness.VARIABLE], kind="span", told=told(span))
        return SpanExportResult.SUCCESS


def told(span: ReadableSpan) -> dict[str, object]:
    """What the tests look at."""
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": span.context.trace_id,
        "id": span.context.span_id,
        "parent": span.parent and span.parent.span_id,
        "status": span.status.status_code.name,
        "message": (span.attributes or {}).get("messaging.message.id"),
    }


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Recorder()))
instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
instrumentor.instrument(tracer_provider=provider)
app.conf.result_expires = None
