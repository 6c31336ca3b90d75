"""The log of a job: what is written is sent, a stream that is cut goes on where it was, text comes whole."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.events import ComputeLogsCaptureData
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from contimg_assets.web.api.logs import PART, TAIL, whole_lines
from contimg_assets_tests.web.conftest import Served
from contimg_assets_tests.web.site import PATIENCE_S

#: Longer than what is read at once; characters of two and three bytes; a line without an end.
LINES = [f"{n:05d} σ = 3 mJy/beam — 0:42\n" for n in range(9000)]
CONTENT = "".join([*LINES, "no end"]).encode()


class Run:
    """A run with a log that the test writes."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance
        self.id = make_new_run_id()
        run = create_run_for_test(
            instance, job_name="image_group", run_id=self.id, status=DagsterRunStatus.STARTED
        )
        captured = ComputeLogsCaptureData(file_key="abc", step_keys=["image"])
        event = DagsterEvent(
            DagsterEventType.LOGS_CAPTURED.value, "image_group", event_specific_data=captured
        )
        instance.report_dagster_event(event, run.run_id)
        key = instance.compute_log_manager.build_log_key_for_run(self.id, "abc")
        kept = instance.compute_log_manager.get_log_metadata(key)
        self.paths = {"stdout": Path(kept.stdout_location or ""), "stderr": Path(kept.stderr_location or "")}
        for path in self.paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def write(self, content: bytes, stream: str = "stderr") -> None:
        with self.paths[stream].open("ab") as file:
            file.write(content)

    def end(self) -> None:
        run = self.instance.get_run_by_id(self.id)
        assert run is not None
        self.instance.report_run_failed(run, "killed")


@pytest.fixture
def run(served: Served) -> Iterator[Run]:
    made = Run(served.instance)
    yield made
    served.instance.delete_run(made.id)


class Client:
    """Follows a log, as a browser does."""

    def __init__(self, served: Served, run: Run, query: str = "?start=beginning", last: str | None = None):
        self.connection = http.client.HTTPConnection("127.0.0.1", served.site.port, timeout=PATIENCE_S)
        headers = {"Host": served.site.host} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", f"/api/jobs/id/{run.id}/logs{query}", headers=headers)
        self.response = self.connection.getresponse()
        self.last = last

    def events(self) -> Iterator[tuple[str, dict[str, str]]]:
        event: dict[str, str] = {}
        while line := self.response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "event" in event:
                self.last = event.get("id", self.last)
                yield event["event"], json.loads(event["data"])
                event = {}

    def close(self) -> None:
        self.connection.close()


def texts(client: Client) -> dict[str, str]:
    found = {"stdout": "", "stderr": ""}
    for event, data in client.events():
        if event == "log":
            found[data["stream"]] += data["text"]
    client.close()
    return found


def test_a_stream_that_is_cut_goes_on_to_the_byte(served: Served, run: Run) -> None:
    """Cut after every event, with both streams written; nothing comes twice, and nothing is lost."""
    run.write(CONTENT)
    run.write(b"out\n" * 20_000, "stdout")
    run.end()
    got, last, told = {"stdout": "", "stderr": ""}, None, ""
    for _ in range(200):
        client = Client(served, run, last=last)
        for event, data in client.events():
            told = event
            if event == "log":
                got[data["stream"]] += data["text"]
                break
        last = client.last
        client.close()
        if told == "end":
            break
    assert told == "end"
    assert got["stderr"].encode() == CONTENT
    assert got["stdout"] == "out\n" * 20_000


def test_what_is_written_while_one_listens_is_sent_until_the_run_ends(served: Served, run: Run) -> None:
    found: dict[str, str] = {}
    client = Client(served, run)
    reader = threading.Thread(target=lambda: found.update(texts(client)))
    reader.start()
    for first in range(0, 900, 100):
        # In the middle of a line, and of a character.
        part = "".join(LINES[first : first + 100]).encode()
        run.write(part[:-31])
        time.sleep(0.05)
        run.write(part[-31:])
    run.end()
    reader.join(PATIENCE_S)
    assert found["stderr"] == "".join(LINES[:900])


def test_a_long_log_begins_with_its_last_lines(served: Served, run: Run) -> None:
    run.write(CONTENT)
    run.end()
    found = texts(Client(served, run, query=""))["stderr"]
    assert CONTENT.decode().endswith(found)
    assert TAIL - 100 < len(found.encode()) <= TAIL
    assert found.split("\n")[0] + "\n" in LINES


def test_the_log_as_text_is_the_file(served: Served, run: Run) -> None:
    run.write(CONTENT)
    for path in (f"/api/jobs/id/{run.id}/log.txt", f"/api/jobs/id/{run.id}/logs?download=true"):
        answer = served.site.get(path)
        assert answer.body == CONTENT
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert served.site.get(f"/api/jobs/id/{run.id}/log.txt?offset=1000").body == CONTENT[1000:]
    assert served.site.get(f"/api/jobs/id/{run.id}/log.txt?stream=stdout").body == b""


def test_more_streams_than_may_be_open_are_refused_and_a_closed_one_makes_room(
    served: Served, run: Run
) -> None:
    open_ones = [Client(served, run) for _ in range(4)]
    refused = Client(served, run)
    assert refused.response.status == 429
    assert int(refused.response.headers["Retry-After"]) > 0
    refused.close()
    for client in open_ones:
        client.close()
    until = time.monotonic() + PATIENCE_S
    status = 0
    while status != 200 and time.monotonic() < until:
        again = Client(served, run)
        status = again.response.status
        again.close()
    assert status == 200


def test_an_identity_of_another_kind_is_refused(served: Served, run: Run) -> None:
    client = Client(served, run, last="7")
    assert client.response.status == 422
    client.close()


@pytest.mark.parametrize(
    ("part", "ended", "full", "sent"),
    [
        (b"", True, False, b""),
        (b"half", False, False, b""),
        (b"half", True, False, b"half"),
        (b"one\ntwo", False, False, b"one\n"),
        (b"one\ntwo", True, False, b"one\ntwo"),
        (b"one\ntwo", True, True, b"one\n"),
        (b"x" * 8, False, True, b"x" * 8),
        ("xσ".encode()[:2], False, True, b"x"),
        ("x—".encode()[:3], False, True, b"x"),
        (b"\x80" * 8, False, True, b"\x80" * 8),
    ],
)
def test_lines_are_sent_whole_and_characters_too(part: bytes, ended: bool, full: bool, sent: bytes) -> None:
    assert len(part) <= PART
    assert whole_lines(part, ended=ended, full=full) == sent
