"""A day of groups in an hour, through the real daemon on PostgreSQL: no service grows, no page becomes slow.

pytest -m long -s contimg_assets_tests/end_to_end/station/test_day.py [--day-minutes 60]
"""

import json
import statistics
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from contimg_assets.partitions import OBSERVATION_GROUP
from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import (
    Expected,
    content_of,
    processes_of,
    watch_publications,
)
from contimg_assets_tests.end_to_end.station.conftest import PATIENT_S
from contimg_assets_tests.end_to_end.station.services import (
    START_S,
    Station,
    session_of,
    station,
)
from contimg_assets_tests.end_to_end.station.stream import (
    LENGTH,
    LONG_S,
    SCAN,
    TARGETS,
    check,
    completed,
    drop,
)

pytestmark = pytest.mark.long
#: Groups a minute: 288 an hour.
RATE = 4.8
#: Keys of Dagster's hot window of 90 days.
PARTITIONS = 26_000
_AT_ONCE = 1_000
#: A service may grow by this share from the second quarter of the day to the last.
FLAT = 0.15
#: What is less than this is no growth: Redis has 5 MiB in all, and keeps the outcomes of a day's tasks.
_NOTHING_MB = 5.0
PAGE_S = 2.0
EVERY_S = 15.0
#: What the web UI asks for an asset's page of partitions.
STATUS = """query { assetNodeOrError(assetKey: {path: ["image"]}) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys }
  assetPartitionStatuses { ... on DefaultPartitionStatuses {
    materializedPartitions materializingPartitions failedPartitions unmaterializedPartitions } } } } }"""
RUNS = "query { runsOrError(limit: 25) { ... on Runs { results { runId status tags { key value } } } } }"


@dataclass
class Samples:
    """Memory of the services, and times of pages."""

    made: Station
    port: int
    memory_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pages_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self) -> None:
        """One sample of each."""
        for name, process in self.made.processes.items():
            self.memory_mb[name].append(sum(map(_memory_mb, session_of(process.pid))))
        for name, query in (("partitions", STATUS), ("runs", RUNS)):
            began = time.monotonic()
            body = json.dumps({"query": query}).encode()
            asked = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/dagster/graphql", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=START_S) as answer:
                assert "errors" not in json.loads(answer.read()), query
            self.pages_s[name].append(time.monotonic() - began)

    def report(self) -> None:
        """Print them."""
        for name, values in self.memory_mb.items():
            print(f"{name}: {', '.join(f'{value:.0f}' for value in values)} MiB", flush=True)
        for name, values in self.pages_s.items():
            median = statistics.median(values)
            print(f"page {name}: median {median:.2f} s, worst {max(values):.2f} s", flush=True)


def _memory_mb(pid: int) -> float:
    """Memory that a process has for itself, MiB: a run's pages are shared with its worker's."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@pytest.fixture
def lasting(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    with station(home, postgres_server, slots=2, dead_after_s=PATIENT_S) as made:
        yield made
    assert processes_of(home) == []


def test_a_day_in_an_hour(lasting: Station, request: pytest.FixtureRequest) -> None:
    minutes = float(request.config.getoption("day_minutes") or 0.0)
    n_groups = round(RATE * minutes)
    with lasting.instance() as instance:
        earlier = [
            (SCAN - (number + 1) * timedelta(minutes=5)).strftime(KEY_FORMAT) for number in range(PARTITIONS)
        ]
        for first in range(0, PARTITIONS, _AT_ONCE):
            instance.add_dynamic_partitions(OBSERVATION_GROUP, earlier[first : first + _AT_ONCE])
    lasting.environment["TINY_STAGE_S"] = "0"
    # One scan serves all of the day.
    lasting.environment["CONTIMG_CALIBRATION__VALIDITY_HOURS"] = "36"
    port = lasting.start_web()
    for name in ("one", "two"):
        lasting.start_worker(name)
    lasting.start_daemon()
    records, store = DatabaseResource().records(), Store(lasting.home)
    watch_publications(records.engine)
    samples, keys, began = Samples(lasting, port), set[str](), time.monotonic()
    sampled = 0.0
    while len(keys) < n_groups or not completed(keys):
        elapsed = time.monotonic() - began
        # Where the machine is slower than the day, files wait; the day is longer then, and no group is lost.
        if len(keys) < n_groups and elapsed > len(keys) * 60 / RATE:
            keys.add(drop(lasting.incoming, SCAN if not keys else TARGETS + (len(keys) - 1) * LENGTH))
        if elapsed - sampled > EVERY_S:
            sampled = elapsed
            samples.take()
        assert elapsed < 60 * minutes * 4 + LONG_S, "the day does not end"
        time.sleep(0.5)
    print(f"{n_groups} groups in {time.monotonic() - began:.0f} s", flush=True)
    samples.report()
    check(lasting, Expected(keys, content=content_of(store, min(keys))))
    for name, values in samples.memory_mb.items():
        quarter = len(values) // 4
        before, after = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        assert after <= before * (1 + FLAT) + _NOTHING_MB, f"{name} grew from {before:.0f} to {after:.0f} MiB"
    for name, values in samples.pages_s.items():
        assert statistics.median(values) <= PAGE_S, f"{name}: {values}"
