"""The imaging engines on one group: cost, noise and errors against the truth.

    .venv/bin/python benchmarks/imaging.py MS TRUTH [--field 3.6] [--rounds 1] [--engine wgridder …]

MS is a Measurement Set of a simulated group, TRUTH the simulator's file.  All
engines get the same field, cell, weighting and thresholds, alternating; each
run is a process of its own, products and all.  The floor reads the data once
and grids them twice.
"""

import itertools
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from processes import Cost, contimg
from rich.console import Console
from rich.table import Table

from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.planes import plane_file
from contimg_assets.radio.images.source_finding import read_plane
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.plan import plan
from contimg_assets.radio.imaging.visibilities import read_stokes_i
from contimg_assets.radio.measurement_set import read_shape
from contimg_assets.radio.robust import mad_sigma
from contimg_assets.simulation.comparison import Match, compare, summary

_ENGINES = ("wgridder", "wsclean", "tclean")


def floor(ms: Path, field_deg: float, threads: int) -> float:
    """Seconds to read the data once and to grid them twice."""
    shape = read_shape(ms)
    planned = plan(shape, ImagingOptions(field_deg=field_deg))
    began = time.monotonic()
    data = read_stokes_i(shape, "DATA", planned.factors)
    gridder = Gridder(data.uvw, data.counts, planned.grid, threads)
    for _ in range(2):
        gridder.dirty(data.values, 1e-4)
    return time.monotonic() - began


def quality(out: Path, matches: list[Match]) -> list[str]:
    """Noise, dynamic range, flux density and position errors of an image, as text."""
    image, residual = out / "image.image.fits", out / "image.residual.fits"
    noise = robust_rms(read_plane(residual).pixels.astype(np.float32))
    found = summary(matches)
    peak = float(np.nanmax(read_plane(image).pixels))
    return [
        f"{1e3 * noise:.3f}",
        f"{peak / noise:.0f}",
        f"{found['median_flux_ratio']:.4f} ± {found['flux_ratio_scatter']:.4f}",
        f"{found['median_offset_arcsec']:.3f} / {found['largest_offset_arcsec']:.2f}",
        f"{found['n_measured']:.0f}",
    ]


def difference(one: list[Match], other: list[Match]) -> tuple[str, str, str]:
    """What two engines say of the same sources: ratio of flux densities, offset, number of sources."""
    of_other = {m.name: m for m in other if np.isfinite(m.ratio)}
    pairs = [(m, of_other[m.name]) for m in one if np.isfinite(m.ratio) and m.name in of_other]
    if not pairs:
        return "", "", "0"
    ratio = np.array([a.measured_jy / b.measured_jy for a, b in pairs])
    offset = [np.hypot(a.east_arcsec - b.east_arcsec, a.north_arcsec - b.north_arcsec) for a, b in pairs]
    return (
        f"{np.median(ratio):.4f} ± {mad_sigma(ratio):.4f}",
        f"{np.median(offset):.3f} / {np.max(offset):.2f}",
        f"{len(pairs)}",
    )


@click.command()
@click.argument("ms", type=click.Path(path_type=Path, exists=True))
@click.argument("truth", type=click.Path(path_type=Path, exists=True))
@click.option("--field", default=3.6, show_default=True, help="Width of the image, deg.")
@click.option("--rounds", default=1, show_default=True, help="How often each is run; medians are printed.")
@click.option("--engine", "engines", multiple=True, type=click.Choice(_ENGINES), default=_ENGINES)
@click.option("--threads", default=2, show_default=True)
@click.option("--scratch", type=click.Path(path_type=Path, exists=True), help="Where to write.")
def main(
    ms: Path,
    truth: Path,
    field: float,
    rounds: int,
    engines: tuple[str, ...],
    threads: int,
    scratch: Path | None,
) -> None:
    """Compare the imaging engines on the Measurement Set MS."""
    costs: dict[str, list[Cost]] = {engine: [] for engine in engines}
    results: dict[str, list[str]] = {}
    matches: dict[str, list[Match]] = {}
    with tempfile.TemporaryDirectory(prefix="contimg-benchmark-", dir=scratch) as name:
        work = Path(name)
        shared = {
            "CONTIMG_HOME": str(work / "home"),
            "CONTIMG_THREADS": str(threads),
            "CONTIMG_IMAGING__FIELD_DEG": str(field),
        }
        # Once for nothing: compiled code is made on first use.
        contimg("image", ms, work / "out", **shared)
        for _ in range(rounds):
            for engine in engines:
                shutil.rmtree(work / "out")
                costs[engine].append(
                    contimg("image", ms, work / "out", CONTIMG_IMAGING__ENGINE=engine, **shared)
                )
                image, pb, noise = (plane_file(work / "out", "image", k) for k in ("image", "pb", "noise"))
                matches[engine] = compare(truth, image, pb, noise)
                results[engine] = quality(work / "out", matches[engine])
        lowest = floor(ms, field, threads)
    columns = [
        "",
        "wall, s",
        "CPU, s",
        "peak, MiB",
        "rms, mJy",
        "dynamic range",
        "flux ratio",
        "offset, ″",
        "n",
    ]
    table = Table(*columns, title=f"{ms.name}, {field}°, medians of {rounds}")
    for engine, runs in costs.items():
        wall, cpu = (statistics.median(getattr(c, key) for c in runs) for key in ("wall_s", "cpu_s"))
        peak = max(c.peak_mib for c in runs)
        table.add_row(engine, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}", *results[engine])
    table.add_row("reading, two passes", f"{lowest:.1f}")
    Console(width=130).print(table)
    between = Table(
        "", "flux ratio", "offset, ″ (median / largest)", "n", title="between engines, sources over 20σ"
    )
    for one, other in itertools.combinations(matches, 2):
        between.add_row(f"{one}, {other}", *difference(matches[one], matches[other]))
    if between.row_count:
        Console(width=130).print(between)


if __name__ == "__main__":
    main()
