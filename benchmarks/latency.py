"""How long a target takes from its last file to `completed` with the daemon running, and by hand.

    .venv/bin/contimg simulate FOLDER --preset full
    .venv/bin/contimg simulate FOLDER --preset full --start 2025-06-01T12:50:00    (further targets)
    .venv/bin/python benchmarks/latency.py FOLDER [--idle 120] [--rename]

FOLDER holds a calibrator scan and any number of targets that it covers.  In a home of its own the scan is
processed, then `contimg ui` is started, with Dagster's daemon and code server.  The files of each target are
written into the incoming folder one by one; when the group is completed it is made again by
`contimg reprocess`, in the same minutes on the same machine.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
from dagster import DagsterInstance, RunsFilter
from processes import below
from rich.console import Console
from rich.table import Table

from contimg_assets.radio.calibration.calibrators import find_calibrator
from contimg_assets.radio.grouping import FileGroup, find_groups
from contimg_assets.settings import get_settings
from contimg_assets.station.installation import Installation

#: Time between two files of a group, s.
BETWEEN_S = 0.3
#: A group that takes longer than this is given up, s.
PATIENCE_S = 1200.0
CONTIMG = (sys.executable, "-m", "contimg_assets.cli")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Timing:
    """One target: times since its last file was written, s."""

    key: str
    asked: float
    started: float
    completed: float
    jobs: str
    stages: float
    """Sum of the stages' own times."""
    reprocess: float
    """Wall time of `contimg reprocess`."""


def sort_groups(folder: Path) -> tuple[FileGroup, list[FileGroup]]:
    """The calibrator scan and the targets of a folder."""
    scans: list[FileGroup] = []
    targets: list[FileGroup] = []
    for group in find_groups(folder):
        header = group.header
        if header is None or group.status != "complete":
            continue
        middle = (header.start_mjd + header.end_mjd) / 2
        found = find_calibrator(header.declination_deg, middle, get_settings().calibration)
        (targets if found is None else scans).append(group)
    if not scans or not targets:
        raise click.UsageError(f"{folder}: found {len(scans)} calibrator scans and {len(targets)} targets")
    return scans[0], targets


@contextmanager
def daemon(home: Path) -> Iterator[int]:
    """`contimg ui`, from the first tick of its sensors to its end; its process."""
    with (
        (home / "ui.log").open("wb") as log,
        subprocess.Popen([*CONTIMG, "ui", "--port", "0"], stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            with DagsterInstance.from_config(str(home / "dagster")) as instance:
                while not any(state.name == "incoming_groups" for state in instance.all_instigator_state()):
                    time.sleep(0.5)
            time.sleep(20)  # the code server has loaded, and what a first tick does once is done
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def cpu_seconds(root: int) -> float:
    """CPU time of a process's children and theirs, s: daemon and code server, without the web server."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # ended meanwhile
            continue
        pid = int(path.parent.name)
        parents[pid], used[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return sum(used[pid] for pid in below(root, parents))


def idle(home: Path, pid: int, seconds: float) -> tuple[float, float]:
    """What a daemon with nothing to do uses: percent of one core, lines of log a minute."""
    log = home / "ui.log"
    cpu, lines = cpu_seconds(pid), log.read_bytes().count(b"\n")
    time.sleep(seconds)
    used = 100 * (cpu_seconds(pid) - cpu) / seconds
    return used, (log.read_bytes().count(b"\n") - lines) * 60 / seconds


def arrive(group: FileGroup, incoming: Path, *, rename: bool) -> float:
    """Write a group's files one by one; the time of the last, Unix s."""
    for path in group.files.values():
        time.sleep(BETWEEN_S)
        written = incoming / (f".{path.name}.part" if rename else path.name)
        shutil.copyfile(path, written)
        if rename:
            written.rename(incoming / path.name)
    return time.time()


def measure(group: FileGroup, home: Path, *, rename: bool) -> Timing:
    """One target, by the daemon and then by hand."""
    station, key = Installation(get_settings()), str(group.key)
    last = arrive(group, get_settings().incoming_folder, rename=rename)
    while True:
        known = station.records.find(key)
        if known is not None and known.state in ("completed", "failed"):
            break
        if time.time() - last > PATIENCE_S:
            raise click.ClickException(f"{key} is {known.state if known else 'not found'}: see {home}/ui.log")
        time.sleep(0.2)
    completed = known.updated.timestamp()
    products = ("measurement_set", "measurement_set_qa", "flags", "calibrated_ms", "image", "image_qa")
    stages = sum(float(station.records.product(key, p).numbers["stage_seconds"]) for p in products)
    time.sleep(3)  # the run ends
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        records = instance.get_run_records(RunsFilter(tags={"dagster/partition": key}), ascending=True)
    began: datetime = records[0].create_timestamp
    start_s = records[0].start_time or 0.0
    jobs = ", ".join(record.dagster_run.job_name for record in records)
    before = time.monotonic()
    # It also fails for a verdict of ERROR, which a small array may well get.
    subprocess.run([*CONTIMG, "reprocess", "--group", key], check=False, stdout=subprocess.DEVNULL)
    by_hand = time.monotonic() - before
    again = station.records.group(key)
    if again.state != "completed" or again.updated == known.updated:
        raise click.ClickException(f"{key} was not made again: it is {again.state}, {again.reason}")
    return Timing(key, began.timestamp() - last, start_s - last, completed - last, jobs, stages, by_hand)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where the home is made.")
@click.option("--rename", is_flag=True, help="Files are renamed to their names when they are whole.")
@click.option("--idle", "idle_s", default=0.0, help="Measure the idle daemon for so long before, s.")
def main(folder: Path, scratch: Path | None, rename: bool, idle_s: float) -> None:
    """Print the table."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="contimg-benchmark-", dir=scratch) as name:
        home = Path(name) / "home"
        os.environ["CONTIMG_HOME"] = str(home)
        # Solving is not measured here, and with its field imaged takes a quarter of an hour.
        os.environ["CONTIMG_CALIBRATION__IMAGE_FIELD"] = "false"
        get_settings.cache_clear()
        subprocess.run([*CONTIMG, "init"], check=True)
        get_settings().incoming_folder.mkdir(exist_ok=True)
        scan, targets = sort_groups(folder)
        (Path(name) / "scan").mkdir()
        for path in scan.files.values():
            (Path(name) / "scan" / path.name).symlink_to(path.absolute())
        subprocess.run([*CONTIMG, "process", str(Path(name) / "scan")], check=False)
        if not Installation(get_settings()).registry.statuses().get("active"):
            raise click.ClickException(f"{scan.key}: the scan gave no calibration that can be used")
        table = Table(title=f"{len(targets)} targets of {folder.name}, s since the last file")
        for column in (
            "target",
            "run asked for",
            "started",
            "completed",
            "stages",
            "reprocess",
            "ratio",
            "jobs",
        ):
            table.add_column(column)
        with daemon(home) as pid:
            if idle_s:
                used, lines = idle(home, pid, idle_s)
                console.print(
                    f"idle daemon and code server: {used:.1f} % of a core, {lines:.0f} lines a minute"
                )
            for group in targets:
                found = measure(group, home, rename=rename)
                numbers = (found.asked, found.started, found.completed, found.stages, found.reprocess)
                ratio = found.completed / found.reprocess
                table.add_row(found.key, *(f"{n:.1f}" for n in numbers), f"{ratio:.2f}", found.jobs)
        console.print(table)


if __name__ == "__main__":
    main()
