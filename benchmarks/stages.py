"""Wall time and peak memory of every stage of a processed group.

    .venv/bin/python benchmarks/stages.py [GROUP]

Reads what each stage recorded of itself when ``contimg process`` ran it (its
whole process, start to end), so the table is of the real thing and costs nothing.
"""

import json
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from contimg_assets.radio.telescope import GROUP_S

#: Integrations of a full group.
FULL_INTEGRATIONS = 24


def main() -> None:
    """Print one table for each group of CONTIMG_HOME, or for the one named."""
    command = [sys.executable, "-m", "contimg_assets.cli", "products", *sys.argv[1:], "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for group in found if isinstance(found, list) else found.get("groups", [found]):
        table = Table(title=f"{group['group']}: cost of each stage")
        for column in ("stage", "wall, s", "peak memory, MiB"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        total = 0.0
        for name, product in group["products"].items():
            numbers = product["numbers"]
            total += numbers["stage_seconds"]
            table.add_row(name, f"{numbers['stage_seconds']:.1f}", f"{numbers['peak_memory_mb']:.0f}")
        table.add_row("all", f"{total:.1f}", "", end_section=True)
        console = Console(width=70)
        console.print(table)
        if group["products"]["measurement_set"]["numbers"]["n_integrations"] == FULL_INTEGRATIONS:
            console.print(f"real-time factor ({GROUP_S:.0f} s a group): {GROUP_S / total:.2f}")


if __name__ == "__main__":
    main()
