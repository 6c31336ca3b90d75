"""Cone search over a catalogue of NVSS's size, in NVSS's published format.

Writes 1 773 484 random sources as VizieR's ``nvss.dat``, installs them, and
times searches of 3.5° as they are made for a field, at declinations of the
telescope, across 0h and near the pole.

    python benchmarks/catalogues.py [FOLDER]
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from contimg_assets.radio.catalogues.store import Catalogue, install
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line

N_SOURCES = 1_773_484
RADIUS_DEG = 3.5
CENTRES = ((83.1, 16.27), (240.0, 54.57), (0.1, 54.57), (120.0, 71.6), (10.0, 89.0))


def main(folder: Path) -> None:
    """Print milliseconds and rows of each search."""
    rng = np.random.default_rng(1)
    dec = np.rad2deg(np.arcsin(rng.uniform(np.sin(np.deg2rad(-40)), 1, N_SOURCES)))
    ra, flux = rng.uniform(0, 360, N_SOURCES), 2.5e-3 * rng.uniform(1e-4, 1, N_SOURCES) ** -1.1
    path = folder / "nvss.dat"
    with path.open("w") as handle:
        for sky in zip(ra, dec, flux, strict=True):
            handle.write(nvss_line(Source("", float(sky[0]), float(sky[1]), float(sky[2]))) + "\n")
    began = time.perf_counter()
    manifest = install(folder / "catalogues", path, "nvss")
    print(f"installed {manifest.n_sources} sources of {path.stat().st_size / 1e6:.0f} MB", end=" ")
    print(f"in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    catalogue = Catalogue(folder / "catalogues", "nvss")
    size = catalogue.rows.nbytes
    print(f"opened {size / 1e6:.0f} MB in {1e3 * (time.perf_counter() - began):.1f} ms")
    for centre in CENTRES:
        times = []
        for _ in range(10):
            began = time.perf_counter()
            rows = catalogue.cone(*centre, RADIUS_DEG)
            times.append(1e3 * (time.perf_counter() - began))
        print(
            f"{centre[0]:6.1f} {centre[1]:+6.2f}: {len(rows):5d} sources, "
            f"first {times[0]:5.2f} ms, median {np.median(times):5.2f} ms, slowest {max(times):5.2f} ms"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
