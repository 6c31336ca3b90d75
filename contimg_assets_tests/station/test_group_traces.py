"""The trace of a group is what the database keeps of its way, and a collector of OpenTelemetry takes it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.traces import group_traces
from contimg_assets.settings import get_settings
from contimg_assets.station.database import transaction
from contimg_assets.station.group_states import get_group, move
from contimg_assets.station.group_traces import finished_since, trace_of
from contimg_assets.station.products import StationRecords
from contimg_assets.station.trace_export import export
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration


@dataclass
class Collector:
    """What a collector was sent."""

    port: int = 0
    status: int = 200
    spans: list[Span] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/v1/traces"


@contextmanager
def collector() -> Iterator[Collector]:
    """A server that takes OpenTelemetry's protocol, or refuses it."""
    made = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if made.status == 200:
                told = ExportTraceServiceRequest.FromString(content)
                (resource,) = told.resource_spans
                made.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make(records: StationRecords, key: str, folder: Path, failed: str = "") -> None:
    """A group that was begun, given back, and made."""
    records.register(registration(key, folder), ready=True)
    records.begin(key, "first")
    with transaction(records.engine) as session:
        move(session, get_group(session, key, lock=True), "pending", "no sign of life (attempt 1)")
    records.begin(key, "first")
    for product in ("measurement_set", "image"):
        place = PurePosixPath(f"{key}/{product}-1")
        records.record_product(key, product, place, {"stage_seconds": 0.001, "peak_memory_mb": 900.0})
    if failed:
        records.fail(key, failed)
    else:
        records.complete(key)


def test_a_trace_has_the_states_and_in_them_the_stages(emptied: Engine, tmp_path: Path) -> None:
    records = StationRecords(emptied)
    records.register(registration(TARGET, tmp_path), ready=True)
    with pytest.raises(MissingInputError, match="has no end yet"):
        trace_of(emptied, TARGET)
    make(records, CALIBRATOR, tmp_path)
    found = trace_of(emptied, CALIBRATOR)
    root, *states, first, second = found.spans
    ways = [(each.name, each.error) for each in states]
    assert ways == [
        ("collecting", ""),
        ("pending", ""),
        ("in_progress", "no sign of life (attempt 1)"),
        ("pending", ""),
        ("in_progress", ""),
    ]
    assert {each.parent for each in states} == {root.identity}
    assert [first.name, second.name] == ["measurement_set", "image"]
    assert first.parent == second.parent == states[-1].identity
    assert all(root.begins <= each.begins <= each.ends <= root.ends for each in states)
    assert second.attributes["contimg.peak_memory_mib"] == 900.0
    assert len({each.identity for each in found.spans}) == len(found.spans)
    assert trace_of(emptied, CALIBRATOR) == found


def test_a_group_that_is_made_again_has_another_trace(emptied: Engine, tmp_path: Path) -> None:
    records = StationRecords(emptied)
    make(records, TARGET, tmp_path, failed="image: ImagingError: CLEAN diverged")
    failed = trace_of(emptied, TARGET)
    assert failed.spans[0].error == failed.spans[5].error == "image: ImagingError: CLEAN diverged"
    records.reopen(TARGET, "somebody asked")
    records.begin(TARGET, "first")
    records.complete(TARGET)
    (first, _), (second, _) = finished_since(emptied, 0, 10)
    assert trace_of(emptied, TARGET, first) == failed
    again = trace_of(emptied, TARGET)
    assert again == trace_of(emptied, TARGET, second)
    assert again.identity != failed.identity
    assert again.spans[0].error == ""


def test_a_collector_takes_it_the_same_each_time_and_one_that_refuses_is_told(
    emptied: Engine, tmp_path: Path
) -> None:
    make(StationRecords(emptied), TARGET, tmp_path, failed="image: ImagingError: CLEAN diverged")
    found = trace_of(emptied, TARGET)
    with collector() as sink:
        for _ in range(2):
            export([found], sink.endpoint)
        once, twice = sink.spans[: len(found.spans)], sink.spans[len(found.spans) :]
        assert once == twice
        assert {span.trace_id.hex() for span in once} == {found.identity}
        by_id = {span.span_id.hex(): span for span in once}
        for span in found.spans:
            sent = by_id[span.identity]
            assert (sent.name, sent.parent_span_id.hex()) == (span.name, span.parent or "")
            assert sent.end_time_unix_nano / 1e9 == pytest.approx(span.ends.timestamp(), abs=1e-5)
        assert by_id[found.spans[0].identity].status.code == Status.STATUS_CODE_ERROR
        sink.status = 400
        with pytest.raises(StateError, match="did not take"):
            export([found], sink.endpoint)


def test_the_sensor_sends_what_was_done_since_and_again_what_was_not_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as sink, DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("CONTIMG_TRACES__ENDPOINT", sink.endpoint)
        get_settings.cache_clear()
        (home / "products").mkdir()
        database = DatabaseResource()
        records = database.records()
        make(records, CALIBRATOR, home)
        cursor: str | None = None

        def look() -> str:
            nonlocal cursor
            context = build_sensor_context(instance=instance, cursor=cursor, resources={"database": database})
            said = group_traces(context)
            assert isinstance(said, SkipReason)
            cursor = context.cursor
            return said.skip_message or ""

        assert look() == "begins with the next group"
        make(records, TARGET, home)
        sink.status = 400
        assert "did not take" in look()
        sink.status = 200
        assert look() == "traces of 1 groups were sent"
        assert {span.name for span in sink.spans} >= {TARGET, "image"}
        assert CALIBRATOR not in {span.name for span in sink.spans}
        assert look() == "no group was done"
