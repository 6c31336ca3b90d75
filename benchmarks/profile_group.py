"""Where a group's seconds and bytes go: every stage's CPU, waiting, imports, memory, files, and its floor.

    .venv/bin/python benchmarks/profile_group.py TARGET TABLES [--scratch FOLDER] [--fsyncs] [--keep]

TARGET holds the files of one group; TABLES is the calibration set of its calibrator.  Each stage is a process
of its own with default settings, as a person types it.  What a column means:

- *waiting*: wall time in which neither core worked for the stage, as far as its CPU time tells;
- *imports*: CPU time of a process that loads the stage's code and ends; a run of several stages pays it once;
- *read*, *written*: bytes asked of the system (``rchar``, ``wchar`` of ``/proc/PID/io``), from the disk or
  from pages in memory;
- *to disk*: bytes that the process caused to be written to the disk (``write_bytes``);
- *floor*: what the bytes that it reads and writes take at the rates measured here with pages in memory and,
  for an image, its passes of the gridder on all cores, at the cost of one measured here.

CPU times are good on a busy machine, wall times and the floor on a quiet one.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from contimg_assets.radio.telescope import GROUP_S

#: What each stage loads, of the list that a run loads once (``stages/server.py``).
MODULES = {
    "convert": ("conversion.convert",),
    "qa ms": ("quality.measurement_set",),
    "flag": ("flagging.flag", "plots.flags"),
    "calibration looked at": ("calibration.apply",),
    "image": ("imaging.image", "imaging.start_model", "quality.products"),
    "qa image": ("quality.image",),
    "photometry": ("photometry.measure",),
}
#: Passes of the gridder besides one a major cycle: the first dirty image, and the dirty beam.
OTHER_PASSES = 2
#: Bytes that are copied to measure a rate, and pieces of them.
SAMPLE, PIECE = 1 << 30, 1 << 23


@dataclass(frozen=True)
class Profile:
    """What one process did."""

    wall_s: float
    user_s: float
    system_s: float
    peak_mib: float
    read: int
    written: int
    to_disk: int
    fsyncs: int | None

    @property
    def cpu_s(self) -> float:
        """Of all threads."""
        return self.user_s + self.system_s


def profile(command: list[str], environment: dict[str, str], fsyncs: bool = False) -> Profile:
    """Run a command to its end and look at what the kernel counted.

    Raises
    ------
    SystemExit
        If it fails.
    """
    with tempfile.NamedTemporaryFile("r") as counted:
        traced = [
            "strace",
            "-f",
            "-c",
            "-e",
            "trace=fsync,fdatasync,sync_file_range,msync",
            "-o",
            counted.name,
        ]
        full = [*(traced if fsyncs else []), *command]
        began = time.monotonic()
        silence = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        process = os.posix_spawnp(full[0], full, os.environ | environment, file_actions=silence)
        # Counted until the process is waited for.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        lines = Path(f"/proc/{process}/io").read_text().splitlines()
        io = {name: int(value) for name, value in (line.split(": ") for line in lines)}
        _, status, usage = os.wait4(process, 0)
        if status:
            sys.exit(f"{' '.join(command)}: failed")
        wall = time.monotonic() - began
        calls = [line.split() for line in counted.read().splitlines()]
    n_calls = sum(int(row[3]) for row in calls if row and row[-1] in ("fsync", "fdatasync", "msync"))
    return Profile(
        wall,
        usage.ru_utime,
        usage.ru_stime,
        usage.ru_maxrss / 1024,
        io["rchar"],
        io["wchar"],
        io["write_bytes"],
        n_calls if fsyncs else None,
    )


def rates(folder: Path) -> tuple[float, float]:
    """Bytes a second that are read from, and written to, pages in memory."""
    path, piece = folder / "rate", bytearray(os.urandom(PIECE))
    began = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for _ in range(SAMPLE // PIECE):
            file.write(piece)
    written = SAMPLE / (time.monotonic() - began)
    began = time.monotonic()
    with path.open("rb", buffering=0) as file:
        while file.readinto(piece):
            pass
    read = SAMPLE / (time.monotonic() - began)
    path.unlink()
    return read, written


def gridder_pass_s(ms: Path, threads: int) -> float:
    """Wall time of one dirty image of a set's visibilities, at the accuracy of a first major cycle."""
    import numpy as np

    from contimg_assets.radio.imaging.gridder import Gridder
    from contimg_assets.radio.imaging.options import ImagingOptions
    from contimg_assets.radio.imaging.plan import plan, weigh
    from contimg_assets.radio.imaging.visibilities import unflagged
    from contimg_assets.radio.measurement_set import read_shape

    shape, options = read_shape(ms), ImagingOptions()
    planned = plan(shape, options)
    data = unflagged(shape, planned.factors)
    gridder = Gridder(data.uvw, weigh(shape, data, options).values, planned.grid, threads)
    began = time.monotonic()
    gridder.dirty(np.ones(len(data.uvw), np.complex64), 1e-2)
    return time.monotonic() - began


def stages(target: Path, tables: Path, work: Path) -> dict[str, list[str]]:
    """Arguments of each stage, in order."""
    raw, flags, image, judged = work / "raw.ms", work / "flags", work / "image", work / "qa_image"
    found = {
        "convert": ("convert", target, raw),
        "qa ms": ("qa", "ms", raw, work / "qa_ms"),
        "flag": ("flag", raw, flags),
        "calibration looked at": ("apply", raw, flags, tables),
        "image": ("image", raw, image, "--calibrate", flags, tables),
        "qa image": ("qa", "image", image, judged),
        "photometry": (
            *("photometry", image, judged / "sources.fits", work / "photometry"),
            *("--group", "2000-01-01T00:00:00"),
        ),
    }
    return {name: [str(part) for part in arguments] for name, arguments in found.items()}


def table_of(
    profiles: dict[str, Profile], imports: dict[str, float], floors: dict[str, float], cores: int
) -> Table:
    """One row a stage, and their sums."""
    table = Table(title="where the seconds and bytes of a group go")
    columns = ("stage", "wall, s", "user, s", "system, s", "waiting, s", "imports, s", "floor, s")
    for column in (*columns, "peak, MiB", "read, MB", "written, MB", "to disk, MB", "fsyncs"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, one in profiles.items():
        times = (one.wall_s, one.user_s, one.system_s, max(0.0, one.wall_s - one.cpu_s / cores))
        table.add_row(
            name,
            *(f"{value:.1f}" for value in (*times, imports[name], floors[name])),
            f"{one.peak_mib:.0f}",
            *(f"{value / 1e6:.0f}" for value in (one.read, one.written, one.to_disk)),
            "" if one.fsyncs is None else str(one.fsyncs),
        )
    every = profiles.values()
    table.add_section()
    table.add_row(
        "all",
        *(f"{sum(getattr(one, key) for one in every):.1f}" for key in ("wall_s", "user_s", "system_s")),
        "",
        f"{sum(imports.values()):.1f}",
        f"{sum(floors.values()):.1f}",
        f"{max(one.peak_mib for one in every):.0f}",
        *(f"{sum(getattr(one, key) for one in every) / 1e6:.0f}" for key in ("read", "written", "to_disk")),
    )
    return table


@click.command()
@click.argument("target", type=click.Path(path_type=Path, exists=True))
@click.argument("tables", type=click.Path(path_type=Path, exists=True))
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where to write.")
@click.option("--home", type=click.Path(path_type=Path), help="A home with installed catalogues.")
@click.option("--fsyncs", is_flag=True, help="Count synchronous writes with strace, which slows stages down.")
@click.option("--keep", is_flag=True, help="Leave the products where they were written.")
def main(
    target: Path, tables: Path, scratch: Path | None, home: Path | None, fsyncs: bool, keep: bool
) -> None:
    """Profile every stage of the group in TARGET."""
    cores = len(os.sched_getaffinity(0))
    work = Path(tempfile.mkdtemp(prefix="contimg-profile-", dir=scratch))
    try:
        environment = {"CONTIMG_HOME": str(home or work / "home")}
        commands = stages(target.absolute(), tables.absolute(), work)
        profiles, imports = {}, {}
        for name, arguments in commands.items():
            code = "".join(f"import contimg_assets.radio.{module}\n" for module in MODULES[name])
            imports[name] = profile([sys.executable, "-c", code], environment).cpu_s
            profiles[name] = profile(
                [sys.executable, "-m", "contimg_assets.cli", *arguments], environment, fsyncs
            )
        read_rate, write_rate = rates(work)
        floors = {name: one.read / read_rate + one.written / write_rate for name, one in profiles.items()}
        summary = json.loads((work / "image" / "summary.json").read_text())
        one_pass = gridder_pass_s(work / "raw.ms", cores)
        n_passes = summary["n_major_cycles"] + OTHER_PASSES
        floors["image"] += n_passes * one_pass
        console = Console(width=150)
        console.print(table_of(profiles, imports, floors, cores))
        wall = sum(one.wall_s for one in profiles.values())
        console.print(
            f"{read_rate / 1e9:.2f} GB/s read, {write_rate / 1e9:.2f} GB/s written; "
            f"{n_passes} passes of the gridder of {one_pass:.1f} s; "
            f"real-time factor {GROUP_S / wall:.2f} ({GROUP_S:.0f} s a group)"
        )
        if keep:
            console.print(str(work))
    finally:
        if not keep:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
