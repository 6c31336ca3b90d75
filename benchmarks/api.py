"""What lists and pages cost with the groups of three months, in a browser too; how late a log's lines are.

``python -m benchmarks.api [--groups 26000] [--browser /usr/bin/chromium]``: makes a database in a temporary
folder, serves it, and asks over HTTP, on the machine as it is.  Prints one JSON object with the load.
"""

import argparse
import http.client
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from sqlalchemy import insert
from starlette.responses import PlainTextResponse

from contimg_assets.radio.group_key import KEY_FORMAT, key_time
from contimg_assets.settings import Settings
from contimg_assets.station.database import transaction
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GroupSummary, ObservationGroup, now
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.api.logs import Tail
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.server import http_server, listener
from contimg_assets.web.tokens import Tokens

FIRST = "2026-01-01T00:00:00"
#: As a browser asks.
HEADERS = {"Host": "localhost", "Accept": "text/html, application/json"}
QUERIES = {
    "newest": "/api/groups",
    "newest 500": "/api/groups?limit=500",
    "by noise": "/api/groups?sort=-rms_mjy_beam",
    "by flux ratio": "/api/groups?sort=flux_ratio",
    "worst": "/api/groups?verdict=ERROR&sort=-rms_ratio",
    "search": "/api/groups?q=3C286",
    "a night": "/api/groups?since=2026-02-01&until=2026-02-01",
    "offset 25000": "/api/groups?offset=25000",
    "reference": "/api/ms?has_calibrator=true&sort_by=size_desc",
    "status": "/api/status",
    "page Groups": "/groups",
    "page Groups, by noise": "/groups?sort=-rms_mjy_beam&trend=rms_ratio",
    "page Tonight": "/",
}
#: The first row of the list on the page Groups.
FIRST_ROW = ".groups tbody tr"


def fill(installation: Installation, number: int) -> None:
    """Enter groups with everything that a list shows."""
    chance = random.Random(1)
    groups: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    for n in range(number):
        key = (key_time(FIRST) + timedelta(seconds=309 * n)).strftime(KEY_FORMAT)
        calibrator = n % 90 == 0
        same = {
            "key": key,
            "state": "failed" if n % 101 == 0 else "completed",
            "reason": "image: ImagingError: nothing left" if n % 101 == 0 else "everything has been made",
            "n_subbands": 16,
            "declination_deg": 16.27,
            "mid_mjd": 61041.0 + n * 309 / 86400,
            "calibrator_name": "3C286" if calibrator else None,
            "calibrator_apparent_jy": 12.0 if calibrator else None,
        }
        groups.append({**same, "missing_subbands": [], "files": {}, "antennas": [], "retries": 0})
        summaries.append(
            {
                **same,
                "verdict": chance.choices(["PASS", "WARN", "ERROR"], [70, 25, 5])[0],
                "n_warn": 0,
                "n_error": 0,
                "worst_check": "",
                "calibration_quality": "good" if calibrator else "unknown",
                "image_quality": "good",
                "n_products": 6,
                "image_made_at": now(),
                "measurement_set_bytes": chance.randrange(10**9, 3 * 10**9),
                "flag_fraction": chance.random(),
                "rms_mjy_beam": chance.random(),
                "rms_ratio": 1 + chance.random(),
                "dynamic_range": 1000 * chance.random(),
                "n_sources": chance.randrange(200),
                "flux_ratio": 1 + chance.random() / 10,
                "astrometric_offset_arcsec": chance.random(),
                "updated": now(),
            }
        )
    with transaction(installation.engine) as session:
        session.execute(insert(ObservationGroup), groups)
        session.execute(insert(GroupSummary), summaries)


def times_ms(port: int, path: str, number: int) -> dict[str, float]:
    """How long answers take, over one connection, and what they cost: server, database and this client."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    found: list[float] = []
    before, content = 0.0, b""
    for n in range(number + 3):
        before = time.process_time() if n == 3 else before
        began = time.perf_counter()
        connection.request("GET", path, headers=HEADERS)
        response = connection.getresponse()
        content = response.read()
        found.append(1000 * (time.perf_counter() - began))
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {content[:200]!r}")
    connection.close()
    cpu = 1000 * (time.process_time() - before) / number
    return {**described(found[3:]), "cpu": round(cpu, 2), "kB": round(len(content) / 1000, 1)}


def described(found: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"median": round(median(found), 2), "p95": round(quantiles(found, n=20)[-1], 2)}


def first_row_s(port: int, browser: str, number: int) -> list[float]:
    """From asking for the page Groups to its first row, in a browser's window that has loaded nothing yet."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(number):
            context = started.new_context()
            page = context.new_page()
            began = time.perf_counter()
            page.goto(f"http://localhost:{port}/groups", wait_until="commit")
            page.wait_for_selector(FIRST_ROW)
            found.append(time.perf_counter() - began)
            context.close()
        started.close()
    return found


def log_latency_s(number: int) -> list[float]:
    """From the writing of a line to its being sent, by the reader of logs over a file as Dagster has it."""
    from contimg_assets.web.api.logs import events

    written: dict[str, float] = {}
    late: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "abc.err"
        path.touch()

        def write() -> None:
            for n in range(number):
                time.sleep(0.11 + 0.05 * (n % 3))
                written[str(n)] = time.monotonic()
                with path.open("a") as file:
                    file.write(f"{n}\n")

        import asyncio

        async def read() -> None:
            tail = Tail(_File(path), "run", None)  # type: ignore[arg-type]
            async for event in events(tail):
                at = time.monotonic()
                for line in event.decode().splitlines():
                    if line.startswith("data: ") and "text" in line:
                        late.extend(at - written[n] for n in json.loads(line[6:])["text"].split())
                if len(late) == number:
                    return

        thread = threading.Thread(target=write)
        thread.start()
        asyncio.run(read())
        thread.join()
    return late


class _File:
    """A run's log in a file, as Dagster's own manager reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, _run_id: str) -> Any:
        """A run that works."""
        from types import SimpleNamespace

        from dagster import DagsterRunStatus

        working = SimpleNamespace(status=DagsterRunStatus.STARTED, is_finished=False)
        return SimpleNamespace(dagster_run=working)

    def log_key(self, _run_id: str) -> list[str]:
        """Where it is."""
        return ["run"]

    def log_size(self, _key: list[str], _stream: str) -> int:
        """Its size."""
        return self.path.stat().st_size

    def log_part(self, _key: list[str], stdout: int, stderr: int, limit: int) -> Any:  # noqa: ARG002
        """What follows."""
        from contimg_assets.web.orchestrator import LogPart

        with self.path.open("rb") as file:
            file.seek(stderr)
            return LogPart(b"", file.read(limit))


def served(folder: Path, number: int) -> Iterator[int]:
    """Serve a database of so many groups; the port."""
    installation = Installation(Settings(home=folder))
    fill(installation, number)
    settings = installation.settings
    access = Access(Mode.LOOPBACK, settings.web, Tokens(folder))
    actions = OperatorActions(installation.engine)
    app = guarded_app(own_app(installation), PlainTextResponse("", 404), access, actions, [])
    with listener("127.0.0.1", 0, None) as listening:
        server = http_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.socket]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.socket.getsockname()[1]
        server.should_exit = True
        thread.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=26_000)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--browser", help="Chromium's program, to be timed as well.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for port in served(Path(folder), asked.groups):
            lists = {name: times_ms(port, path, asked.repeats) for name, path in QUERIES.items()}
            rows = first_row_s(port, asked.browser, 10) if asked.browser else []
    log = log_latency_s(60)
    late = {**described(log), "worst": round(max(log), 3)}
    told: dict[str, Any] = {"groups": asked.groups, "load": os.getloadavg(), "answer_ms": lists}
    told |= {"log_line_s": late, "first_row_s": sorted(round(each, 3) for each in rows)}
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
