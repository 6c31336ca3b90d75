"""What a tick of the incoming sensor costs, and how long a live group waits behind a catch-up.

    .venv/bin/python benchmarks/ingest.py [--files 138000] [--groups 288]

Two measurements in a home of their own, on the real sensor, station database and
Dagster instance:

1. A folder of many files that have been dealt with: the first tick of a new
   process, ticks in which nothing is new, and ticks around the arrival of a group.
2. A catch-up of many groups (real, tiny files), in which a live group arrives: in
   which tick it is found, and in which its run is started.  Between ticks as many
   queued runs are ended as one machine finishes in 30 s, in the order of
   Dagster's queue (priority, then age).
"""

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta

import click
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter, SensorResult, build_sensor_context
from rich.console import Console
from rich.table import Table

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.radio.grouping import FoundFile
from contimg_assets.radio.telescope import GROUP_S
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors import incoming
from contimg_assets.sensors.requests import PRIORITY_TAG
from contimg_assets.settings import get_settings
from contimg_assets.station.arrivals import Arrivals, Settled
from contimg_assets_tests.radio.subband_files import file_name, write_group

#: Ticks between which files count as still: as many seconds as the sensor's interval.
TICK_S = 30.0
#: Runs that finish between two ticks.
FINISHED_PER_TICK = 2


class Clock:
    """Time as the sensor sees it: a tick is 30 s after the one before, however fast they are."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        """Present time, Unix s."""
        return self.now


def tick(instance: DagsterInstance, clock: Clock) -> tuple[float, list[tuple[str, int]]]:
    """One tick; its wall time in s, and the runs asked for: group and priority."""
    clock.now += TICK_S
    began = time.perf_counter()
    context = build_sensor_context(instance=instance, resources={"database": DatabaseResource()})
    result = incoming.incoming_groups(context)
    seconds = time.perf_counter() - began
    asked = result.run_requests or [] if isinstance(result, SensorResult) else []
    return seconds, [(str(r.partition_key), int(r.tags[PRIORITY_TAG])) for r in asked]


def steady(instance: DagsterInstance, clock: Clock, n_files: int) -> list[tuple[str, float]]:
    """Ticks over a folder of files that the account has."""
    folder = get_settings().incoming_folder
    start = datetime.now(UTC) - timedelta(days=60)
    found = []
    for number in range(n_files):
        slot, subband = divmod(number, 16)
        path = folder / file_name(subband, start + timedelta(seconds=GROUP_S * slot))
        path.touch()
        found.append(Settled(FoundFile(path, 0, 0.0), None, "used" if number % 50 else "refused", "made up"))
    Arrivals(DatabaseResource().records().engine, folder).settle(
        Settled(FoundFile(s.file.path, 0, s.file.path.stat().st_mtime), None, s.outcome, s.reason)
        for s in found
    )
    rows = [("first tick of a new process", tick(instance, clock)[0])]
    rows += [("nothing new", tick(instance, clock)[0]) for _ in range(5)]
    for minutes in (12, 6):
        write_group(folder, datetime.now(UTC) - timedelta(minutes=minutes), jitter_s=30, n_times=24)
        rows.append(("16 files have come", tick(instance, clock)[0]))
        seconds, asked = tick(instance, clock)
        assert asked, "the group was not started"
        rows.append(("they are read, the group is started", seconds))
        rows += [("nothing new", tick(instance, clock)[0]) for _ in range(3)]
    return rows


def queued(instance: DagsterInstance) -> list[tuple[str, int]]:
    """Groups whose runs wait, in the order in which Dagster's queue takes them."""
    runs = list(instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.NOT_STARTED])))[::-1]
    runs.sort(key=lambda run: -int(run.tags[PRIORITY_TAG]))
    return [(run.run_id, int(run.tags[PRIORITY_TAG])) for run in runs]


def catch_up(instance: DagsterInstance, clock: Clock, n_groups: int) -> list[tuple[str, str]]:
    """A live group in the middle of a catch-up."""
    folder, records = get_settings().incoming_folder, DatabaseResource().records()
    job = build_defs().resolve_job_def("convert_group")
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
    for number in range(n_groups):
        write_group(folder, old + timedelta(seconds=GROUP_S * number), jitter_s=60, n_times=24)
    worst, ticks, most_waiting = 0.0, 0, 0
    live_key, written, asked_in, waiting_before = "", 0, 0, 0
    while True:
        ticks += 1
        if ticks == 4:
            live = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=6)
            write_group(folder, live, jitter_s=60, n_times=24)
            live_key, written = f"{live:%Y-%m-%dT%H:%M:%S}", ticks
        seconds, asked = tick(instance, clock)
        worst = max(worst, seconds)
        for key, priority in asked:
            add_keys(instance, key, calibrator=False)
            tags = {"dagster/partition": key, PRIORITY_TAG: str(priority)}
            instance.create_run_for_job(job, tags=tags, status=DagsterRunStatus.NOT_STARTED)
            if key == live_key:
                asked_in = ticks
                order = queued(instance)
                waiting_before = sum(p > priority for _, p in order)
        waiting = queued(instance)
        most_waiting = max(most_waiting, len(waiting))
        for run_id, _ in waiting[:FINISHED_PER_TICK]:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            records.begin(run.tags["dagster/partition"], run_id)
            records.complete(run.tags["dagster/partition"])
            instance.report_run_canceled(run)
        if asked_in and ticks >= asked_in + 12:
            break
    return [
        ("groups of the catch-up", str(n_groups)),
        ("ticks from the arrival of the live group's files to its run", str(asked_in - written + 1)),
        ("runs that go before it in the queue", str(waiting_before)),
        ("most runs waiting at once", str(most_waiting)),
        ("groups still pending or unread at the end", str(n_groups + 1 - records.counts()["completed"])),
        ("longest tick (it reads 384 headers), s", f"{worst:.2f}"),
    ]


@click.command()
@click.option("--files", "n_files", default=138_000, show_default=True)
@click.option("--groups", "n_groups", default=288, show_default=True)
def main(n_files: int, n_groups: int) -> None:
    """Print both tables."""
    clock = Clock()
    incoming.time = clock  # type: ignore[assignment]
    console = Console(width=90)
    for title, measure, number in (
        (f"One tick over {n_files} files", steady, n_files),
        (f"A live group in a catch-up of {n_groups}", catch_up, n_groups),
    ):
        with tempfile.TemporaryDirectory() as home, DagsterInstance.local_temp(home) as instance:
            os.environ["CONTIMG_HOME"] = home
            get_settings.cache_clear()
            get_settings().incoming_folder.mkdir()
            table = Table(title=title, show_header=False)
            for name, value in measure(instance, clock, number):
                table.add_row(name, value if isinstance(value, str) else f"{value:.3f} s")
            console.print(table)


if __name__ == "__main__":
    main()
