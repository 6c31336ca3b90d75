"""A night of groups through the sensors: groups an hour, latency, memory, bytes, and what the disk has left.

    .venv/bin/python benchmarks/night.py simulate FOLDER [--targets 12] [--first 0 --last 12] [--size full]
    .venv/bin/python benchmarks/night.py run FOLDER HOME [--targets 12] [--pace 309]

`simulate` writes a calibrator's transit and targets, one every five minutes, under one sky, into FOLDER, and
the sky as a catalogue.  `run` makes the scan's calibration set in a new HOME, starts `contimg ui` with its
sensors and lets each target's files arrive, together, every `--pace` seconds; without it all are there at
once.  HOME may lie on a disk of its own, small or large: Measurement Sets leave it when there is no room for
more, since they can be made again of the telescope's files, which are on another and must not change.
"""

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from astropy.time import Time
from latency import CONTIMG, daemon
from processes import below
from rich.console import Console
from rich.table import Table

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.group_key import parse_key
from contimg_assets.settings import get_settings
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.night import transit_start
from contimg_assets.simulation.observation import Observation, simulate
from contimg_assets.simulation.population import random_sky
from contimg_assets.simulation.presets import PRESETS, Corruption
from contimg_assets.station.installation import Installation
from contimg_assets.station.light_curves import separation_deg
from contimg_assets.station.models import ObservationGroup

CALIBRATOR, DECLINATION_DEG = "3C454.3", 16.27
#: From the scan's start to the first target's, s; sources are simulated so far from a pointing; the faintest.
FIRST_S, REACH_DEG, FAINTEST_JY = 1800.0, 2.6, 0.02
#: The machine is looked at this often; a night that stands still for so long is given up, s.
LOOK_S, PATIENCE_S = 1.0, 1800.0
PAGE = os.sysconf("SC_PAGE_SIZE")


@click.group()
def main() -> None:
    """Simulate a night; run it."""


@main.command(name="simulate")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--targets", default=12, show_default=True)
@click.option("--first", default=0, show_default=True, help="Of the groups to write; 0 is the scan.")
@click.option("--last", default=None, type=int, help="Of the groups to write; default all targets.")
@click.option("--size", type=click.Choice(sorted(PRESETS)), default="full", show_default=True)
def simulate_night(folder: Path, targets: int, first: int, last: int | None, size: str) -> None:
    """Write the files of a night."""
    preset, calibrator = PRESETS[size], named_calibrator(CALIBRATOR)
    length = preset.n_integrations * telescope.INTEGRATION_S
    scan = transit_start(calibrator, Time("2025-06-01T00:00:00", scale="utc"), length)
    declination = float(np.deg2rad(DECLINATION_DEG))
    middle = scan.jd + (FIRST_S + targets / 2 * telescope.GROUP_S) / 86400
    ra, dec = map(float, np.rad2deg(phasing.meridian_centre(middle, declination)))
    sky = random_sky(ra, dec, 10 + targets, 11, brighter_than_jy=FAINTEST_JY, minimum_separation_arcsec=90.0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nvss.dat").write_text("".join(f"{nvss_line(source)}\n" for source in (calibrator, *sky)))
    places = np.array([(source.ra_deg, source.dec_deg) for source in sky])
    for number in range(first, (targets if last is None else last) + 1):
        seconds = 0.0 if number == 0 else FIRST_S + (number - 1) * round(telescope.GROUP_S)
        start = Time(scan.unix + seconds, format="unix", scale="utc")
        at = np.rad2deg(phasing.meridian_centre(start.jd + length / 2 / 86400, declination))
        away = separation_deg(places[:, 0], places[:, 1], *map(float, at))
        around = [source for source, angle in zip(sky, away, strict=True) if angle < REACH_DEG]
        sources = [calibrator, *around] if number == 0 else around
        own = {"seed": 1 + number, "night_seed": 1, "night_epoch_jd": float(scan.jd)}
        simulate(Observation(preset, start, declination, sources, Corruption(), **own), folder)


@dataclass
class Watch:
    """What the disk and the processes of a run came to."""

    least_free: int
    most_resident: int = 0

    def look(self, disk: Path, root: int) -> None:
        """Once more."""
        self.least_free = min(self.least_free, shutil.disk_usage(disk).free)
        self.most_resident = max(self.most_resident, resident_bytes(root))


def resident_bytes(root: int) -> int:
    """Private memory of a process's children and theirs: pages that several share are not counted twice."""
    parents: dict[int, int] = {}
    own: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            _, resident, shared, *_ = (folder / "statm").read_text().split()
        except OSError:  # ended meanwhile
            continue
        own[int(folder.name)] = (int(resident) - int(shared)) * PAGE
    return sum(own.get(pid, 0) for pid in below(root, parents))


@contextmanager
def watched(disk: Path, root: int) -> Iterator[Watch]:
    """Look at disk and memory over the block."""
    stop, watch = threading.Event(), Watch(shutil.disk_usage(disk).free)

    def keep_looking() -> None:
        while not stop.wait(LOOK_S):
            watch.look(disk, root)

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 of files by name."""
    return {path.name: file_sha256(path) for path in files}


class Night:
    """Groups of FOLDER, in the order of time, and what became of them."""

    def __init__(self, folder: Path, station: Installation, targets: int) -> None:
        self.folder, self.station = folder, station
        self.arrived: dict[str, float] = {}
        self.done: dict[str, ObservationGroup] = {}
        # Before and after the night: meanwhile the groups have the machine to themselves.
        self.names = {key: hashes(self.files(key)) for key in self.truths()[:targets]}

    def truths(self) -> list[str]:
        """Keys of targets that are there and have not come."""
        keys = [parse_key(path.name) for path in sorted(self.folder.glob("*.truth.json"))]
        return [key for key in keys[1:] if key not in self.arrived]

    def files(self, key: str) -> list[Path]:
        """The telescope's files of a group: stamps scatter by less than a minute about its start."""
        at = Time(key, scale="utc").unix
        return [
            path
            for path in sorted(self.folder.glob("*.hdf5"))
            if abs(Time(path.name[:19], scale="utc").unix - at) < telescope.GROUP_S / 4
        ]

    def arrive(self, key: str) -> None:
        """All files of a group are there at once."""
        for name in self.names[key]:
            (get_settings().incoming_folder / name).hardlink_to(self.folder / name)
        self.arrived[key] = time.time()

    def unchanged(self) -> None:
        """Raise if a file of the telescope is not what it was."""
        for key in self.arrived:
            incoming = [get_settings().incoming_folder / name for name in self.names[key]]
            if hashes(incoming) != self.names[key]:
                raise click.ClickException(f"{key}: files of the telescope were changed")

    def look(self) -> None:
        """Which have ended since."""
        for key in self.arrived.keys() - self.done.keys():
            known = self.station.records.find(key)
            if known is None or known.state not in ("completed", "failed"):
                continue
            self.done[key] = known
            waited = known.updated.timestamp() - self.arrived[key]
            click.echo(f"{key} {known.state} after {waited:.0f} s  {known.reason or ''}")


@main.command(name="run")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--targets", default=12, show_default=True)
@click.option("--pace", default=0.0, show_default=True, help="Time from one group to the next, s.")
def run_night(folder: Path, home: Path, targets: int, pace: float) -> None:
    """Print the table."""
    os.environ |= {"CONTIMG_HOME": str(home), "CONTIMG_INCOMING": str(folder.absolute() / "incoming")}
    get_settings.cache_clear()
    subprocess.run([*CONTIMG, "init"], check=True)
    get_settings().incoming_folder.mkdir(exist_ok=True)
    subprocess.run([*CONTIMG, "catalogs", "import", str(folder / "nvss.dat")], check=True)
    station = Installation(get_settings())
    night = Night(folder, station, targets)
    key = parse_key(min(folder.glob("*.truth.json")).name)
    (folder / "scan").mkdir(exist_ok=True)
    for path in night.files(key):
        (folder / "scan" / path.name).unlink(missing_ok=True)
        (folder / "scan" / path.name).hardlink_to(path)
    subprocess.run([*CONTIMG, "process", str(folder / "scan")], check=False, stdout=subprocess.DEVNULL)
    if not station.registry.statuses().get("active"):
        raise click.ClickException(f"{key}: the scan gave no calibration that can be used")
    with daemon(home) as pid, watched(home, pid) as watch:
        began = last = time.time()
        while len(night.done) < targets:
            due = len(night.arrived) < len(night.names) and time.time() >= began + pace * len(night.arrived)
            if due and (waiting := night.truths()):
                night.arrive(waiting[0])
            before = len(night.done)
            night.look()
            last = time.time() if len(night.done) > before or due else last
            if time.time() - last > PATIENCE_S:
                raise click.ClickException(f"nothing has ended for {PATIENCE_S:.0f} s: see {home}/ui.log")
            time.sleep(0.5)
    night.unchanged()
    report(night, watch, began)


def report(night: Night, watch: Watch, began: float) -> None:
    """The table."""
    table = Table(title=f"{len(night.done)} groups")
    for column in ("group", "state", "arrived → ended, s", "stages, s", "peak, MiB", "made, MB", "kept, MB"):
        table.add_column(column, justify="left" if column == "group" else "right")
    stages_s = []
    for key, record in sorted(night.done.items()):
        products = night.station.records.products(key)
        numbers = [product.numbers for product in products.values()]
        stages_s.append(sum(float(each["stage_seconds"]) for each in numbers))
        made, kept = (
            sum(getattr(p, name) or 0 for p in products.values()) / 1e6
            for name in ("made_bytes", "kept_bytes")
        )
        table.add_row(
            key,
            record.state,
            f"{record.updated.timestamp() - night.arrived[key]:.0f}",
            f"{stages_s[-1]:.1f}",
            f"{max(float(each['peak_memory_mb']) for each in numbers):.0f}",
            f"{made:.0f}",
            f"{kept:.0f}",
        )
    console = Console(width=120)
    console.print(table)
    ended = sorted(record.updated.timestamp() for record in night.done.values())
    third = max(1, len(stages_s) // 3)
    console.print(
        f"groups an hour, from the first arrival: {3600 * len(ended) / (ended[-1] - began):.1f}; "
        f"stages of a group, the first third and the last: {statistics.median(stages_s[:third]):.1f}, "
        f"{statistics.median(stages_s[-third:]):.1f} s; "
        f"private memory of all processes at most: {watch.most_resident / 2**30:.2f} GiB; "
        f"least free: {watch.least_free / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
