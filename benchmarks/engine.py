"""What Dagster and our own records cost of a group: ``python benchmarks/engine.py FOLDER [--rounds 5]``.

A group goes through ``process_group`` with stages that make tiny files in no time, on SQLite and with
Dagster's storage in files, in this process: all of its time is the engine's, publication included.  The
start of a stage's process is the stage's.
"""

import argparse
import os
import statistics
import time
from pathlib import Path


def main() -> None:
    """Print CPU and wall time of each round, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder for a home")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    home = asked.folder.absolute()
    os.environ |= {"CONTIMG_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}

    from dagster import DagsterInstance

    from contimg_assets.resources.instance import initialise
    from contimg_assets.settings import get_settings
    from contimg_assets_tests.assets.test_chain import Station, failure_text
    from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET

    initialise(get_settings())
    costs: list[tuple[float, float]] = []
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        station = Station(home, instance)
        for job in ("convert_group", "solve_calibrator"):
            station.run(job, CALIBRATOR)
        for _ in range(asked.rounds):
            cpu, wall = time.process_time(), time.monotonic()
            ran = station.run("process_group", TARGET)
            if not ran.success:
                raise SystemExit(failure_text(ran))
            costs.append((time.process_time() - cpu, time.monotonic() - wall))
            print(f"CPU {costs[-1][0]:.2f} s, wall {costs[-1][1]:.2f} s", flush=True)
    cpu, wall = (statistics.median(values) for values in zip(*costs, strict=True))
    print(f"median: CPU {cpu:.2f} s, wall {wall:.2f} s, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
