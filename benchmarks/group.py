"""From the files of a group to its image with quality numbers: where every second goes.

    .venv/bin/python benchmarks/group.py TARGET TABLES [--rounds 1]

TARGET holds the files of one group; TABLES is the calibration set made from its
calibrator (``contimg solve``).  Each stage is a process of its own, as Dagster runs
it, with default settings.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

import click
from processes import Cost, contimg
from rich.console import Console
from rich.table import Table

from contimg_assets.radio.telescope import GROUP_S


@click.command()
@click.argument("target", type=click.Path(path_type=Path, exists=True))
@click.argument("tables", type=click.Path(path_type=Path, exists=True))
@click.option("--rounds", default=1, show_default=True, help="How often it is run; medians are printed.")
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where to write.")
def main(target: Path, tables: Path, rounds: int, scratch: Path | None) -> None:
    """Time every stage of the group in TARGET."""
    costs: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="contimg-benchmark-", dir=scratch) as name:
        work = Path(name)
        home = {"CONTIMG_HOME": str(work / "home")}
        for _ in range(rounds):
            for folder in work.iterdir():
                if folder.name != "home":
                    shutil.rmtree(folder)
            raw, flags, image = (work / x for x in ("raw.ms", "flags", "image"))
            for label, arguments in {
                "conversion": ("convert", target, raw),
                "its quality": ("qa", "ms", raw, work / "qa_ms"),
                "flags": ("flag", raw, flags),
                "calibration looked at": ("apply", raw, flags, tables),
                "image": ("image", raw, image, "--calibrate", flags, tables),
                "its quality ": ("qa", "image", image, work / "qa_image"),
            }.items():
                costs.setdefault(label, []).append(contimg(*arguments, **home))
    table = Table("stage", "wall, s", "CPU, s", "peak memory, MiB", title=f"{target}, medians of {rounds}")
    total = 0.0
    for label, runs in costs.items():
        wall, cpu = (statistics.median(getattr(c, key) for c in runs) for key in ("wall_s", "cpu_s"))
        total += wall
        table.add_row(label, f"{wall:.1f}", f"{cpu:.1f}", f"{max(c.peak_mib for c in runs):.0f}")
    table.add_row("all", f"{total:.1f}")
    console = Console(width=90)
    console.print(table)
    console.print(f"real-time factor ({GROUP_S:.0f} s a group): {GROUP_S / total:.2f}")


if __name__ == "__main__":
    main()
