"""Traces on the wire: OpenTelemetry's protocol over HTTP, by its own SDK, an option of the installation.

Belongs here: what the SDK is given.  Does not belong here: which spans there are (``group_traces.py``).
"""

import socket
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from contimg_assets import __version__
from contimg_assets.radio.errors import SettingsError, StateError
from contimg_assets.station.group_traces import Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

#: Time that the collector has for an answer, s: less than a tick may take.
TIMEOUT_S = 10.0


def export(traces: Iterable[Trace], endpoint: str) -> None:
    """Send traces.

    Parameters
    ----------
    traces : iterable of Trace
    endpoint : str
        Address of a collector, such as ``http://127.0.0.1:4318/v1/traces``.

    Raises
    ------
    SettingsError
        If the SDK is not installed.
    StateError
        If the collector does not take them.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise SettingsError(
            f"traces go to {endpoint}, and OpenTelemetry's SDK is not there: pip install 'contimg[traces]'"
        ) from error
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
    try:
        spans = [span for trace in traces for span in _readable(trace)]
        if spans and exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise StateError(f"the collector of traces at {endpoint} did not take {len(spans)} spans")
    finally:
        exporter.shutdown()


def _readable(trace: Trace) -> "Iterator[ReadableSpan]":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    own = {"service.name": "contimg", "service.version": __version__, "host.name": socket.gethostname()}
    resource = Resource(own)

    def context(identity: str) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(trace.identity, 16), int(identity, 16), is_remote=False, trace_flags=flags)

    for span in trace.spans:
        yield ReadableSpan(
            span.name,
            context=context(span.identity),
            parent=None if span.parent is None else context(span.parent),
            resource=resource,
            attributes=dict(span.attributes),
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
            start_time=_ns(span.begins),
            end_time=_ns(span.ends),
        )


def _ns(at: datetime) -> int:
    """Unix time, ns."""
    return round(at.timestamp() * 1e6) * 1000
