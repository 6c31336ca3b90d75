"""Time and memory of converting one group: both writers, alternating, and the floor of copying bytes.

    .venv/bin/python benchmarks/conversion.py FOLDER [--rounds 3] [--scratch FOLDER]

FOLDER holds the files of one group (``contimg simulate FOLDER --preset full``).
Each row is a process of its own, start to end, as a stage runs it.  The floor
copies the input's files and writes as many bytes as the Measurement Set has.
"""

import os
import shutil
import statistics
import tempfile
from pathlib import Path

import click
from processes import Cost, contimg, run
from rich.console import Console
from rich.table import Table

_FLOOR = 'cp --reflink=never "$0"/*.hdf5 "$1" && head --bytes "$2" /dev/zero > "$1"/output'


def convert(writer: str, source: Path, out: Path) -> Cost:
    """Run ``contimg convert``, replacing what the last round left."""
    shutil.rmtree(out, ignore_errors=True)
    return contimg("convert", source, out, CONTIMG_CONVERSION__WRITER=writer)


def floor(source: Path, work: Path, n_bytes: int) -> Cost:
    """Copy the input and write as many bytes as the output has."""
    copies = work / "copies"
    copies.mkdir()
    try:
        return run(["sh", "-c", _FLOOR, str(source), str(copies), str(n_bytes)], {})
    finally:
        shutil.rmtree(copies)


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--rounds", default=3, show_default=True, help="How often each is run; medians are printed.")
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where to write.")
def main(source: Path, rounds: int, scratch: Path | None) -> None:
    """Compare the writers on the group in SOURCE."""
    costs: dict[str, list[Cost]] = {"direct": [], "pyuvdata": [], "copying": []}
    with tempfile.TemporaryDirectory(prefix="contimg-benchmark-", dir=scratch) as name:
        work = Path(name)
        os.environ["CONTIMG_HOME"] = str(work / "home")
        # Once for nothing: CASA's data folder and compiled code are made on first use.
        convert("direct", source, work / "out.ms")
        n_bytes = sum(path.stat().st_size for path in (work / "out.ms").rglob("*") if path.is_file())
        for _ in range(rounds):
            for writer in ("direct", "pyuvdata"):
                costs[writer].append(convert(writer, source, work / "out.ms"))
            shutil.rmtree(work / "out.ms")
            costs["copying"].append(floor(source, work, n_bytes))
    table = Table("", "wall, s", "CPU, s", "peak memory, MiB", title=f"{source}, medians of {rounds}")
    wall = {}
    for label, runs in costs.items():
        wall[label] = statistics.median(cost.wall_s for cost in runs)
        cpu, peak = statistics.median(c.cpu_s for c in runs), max(c.peak_mib for c in runs)
        table.add_row(label, f"{wall[label]:.1f}", f"{cpu:.1f}", f"{peak:.0f}")
    console = Console(width=90)
    console.print(table)
    console.print(f"direct / pyuvdata: {wall['direct'] / wall['pyuvdata']:.2f}")
    console.print(f"direct / copying:  {wall['direct'] / wall['copying']:.2f}")


if __name__ == "__main__":
    main()
