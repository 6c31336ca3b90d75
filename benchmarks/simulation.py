"""Time and memory of the independent simulator: a calibrator and a target, preset by preset.

    .venv/bin/python benchmarks/simulation.py [plain crowded bad_night …] [--size full] [--scratch FOLDER]

Each row is one ``contimg simulate --independent``, start to end, in a process of its own.
"""

import json
import tempfile
from pathlib import Path

import click
from processes import contimg
from rich.console import Console
from rich.table import Table

from contimg_assets.simulation.independent.presets import PRESETS


@click.command()
@click.argument("presets", nargs=-1, type=click.Choice(list(PRESETS)))
@click.option("--size", type=click.Choice(["tiny", "demo", "full"]), default="full", show_default=True)
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where to write.")
def main(presets: tuple[str, ...], size: str, scratch: Path | None) -> None:
    """Simulate PRESETS (default: plain, crowded, bad_night) and print what each took."""
    table = Table("", "sources", "wall, s", "CPU, s", "peak memory, MiB", title=f"pairs of size {size}")
    for preset in presets or ("plain", "crowded", "bad_night"):
        with tempfile.TemporaryDirectory(prefix="contimg-benchmark-", dir=scratch) as name:
            cost = contimg("simulate", Path(name), "--independent", "--preset", preset, "--size", size)
            truths = [json.loads(path.read_text()) for path in sorted(Path(name).glob("*.truth.json"))]
        sources = " + ".join(str(len(truth["sources"])) for truth in truths)
        table.add_row(preset, sources, f"{cost.wall_s:.0f}", f"{cost.cpu_s:.0f}", f"{cost.peak_mib:.0f}")
    Console(width=90).print(table)


if __name__ == "__main__":
    main()
