"""Photometry of a full-size image: 4500² pixels, 2000 sources that a survey lists.

Makes the image by the simulator of epochs, then measures it: the first time with
what a process needs once (compiled functions come from their cache), and again.  Then
enters measurements of groups in stations with 1000 and with 100 000 groups before them.

    python -m benchmarks.photometry [FOLDER]
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from sqlalchemy import insert, select

from benchmarks.api import fill
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import install
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.restore import fit_beam
from contimg_assets.radio.photometry.measure import measure_image
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.radio.sky import Source
from contimg_assets.settings import Settings
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.epochs import EpochField, array_beam, epochs, write_epoch
from contimg_assets.station.columns import now
from contimg_assets.station.database import transaction
from contimg_assets.station.group_states import Registration
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GROUP, GroupSummary, ProductVersion
from contimg_assets.station.publication import publish

N, CELL_ARCSEC, N_SOURCES, NOISE_JY = 4500, 4.8, 2000, 2.5e-4
CENTRE = (350.0, 16.3)
_TURNS = 30


def make(folder: Path) -> None:
    """Write the image's products, the survey and the list of detections."""
    rng = np.random.default_rng(1)
    psf = array_beam(N, 9.4, 2.35)
    beam = fit_beam(psf.astype(np.float32), CELL_ARCSEC)
    x, y = rng.uniform(60, N - 60, (2, N_SOURCES))
    jy = 1e-3 * rng.uniform(1e-3, 1, N_SOURCES) ** -1.1
    yy, xx = np.mgrid[:N, :N] - N // 2
    power = np.exp(-4 * np.log(2) * np.hypot(xx, yy) ** 2 / N**2)
    field = EpochField(psf, psf, power, NOISE_JY, x, y)
    header = fits.Header({"NAXIS": 2, "NAXIS1": N, "NAXIS2": N, "ABERSCAL": 1.0, "NOISE": NOISE_JY})
    axes = (("RA---SIN", CENTRE[0], -1, N // 2 + 1), ("DEC--SIN", CENTRE[1], 1, N // 2 + 1))
    for axis, (kind, value, sign, pixel) in enumerate(axes, start=1):
        header[f"CTYPE{axis}"], header[f"CRVAL{axis}"] = kind, value
        header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = sign * CELL_ARCSEC / 3600, pixel
    ra, dec = celestial_wcs(header).all_pix2world(x, y, 0)
    header["CRVAL3"], header["MJD-OBS"], header["MJD-END"] = 1.4e9, 60827.58, 60827.5836
    header["BMAJ"], header["BMIN"] = beam.major_arcsec / 3600, beam.minor_arcsec / 3600
    header["BPA"] = beam.position_angle_deg
    epoch = next(epochs(field, jy[None]))
    noise = np.full((N, N), NOISE_JY, np.float32)
    write_epoch(folder / "image", "g", field, epoch, header, noise, index=-0.2)
    lines = [
        nvss_line(Source("", *place)) for place in zip(ra.tolist(), dec.tolist(), jy.tolist(), strict=True)
    ]
    (folder / "nvss.dat").write_text("\n".join(lines) + "\n")
    install(folder / "catalogues", folder / "nvss.dat", "nvss")
    seen = jy * field.response > 5 * NOISE_JY
    error = np.full(int(seen.sum()), 2.0)
    columns = {"x": x[seen], "y": y[seen], "peak_jy_beam": (jy * field.response)[seen]}
    Table({**columns, "ra_error_arcsec": error, "dec_error_arcsec": error}).write(folder / "sources.fits")


def station(folder: Path, number: int) -> Installation:
    """A station with groups that are done, each with four products."""
    folder.mkdir()
    made = Installation(Settings(home=folder))
    fill(made, number)
    products = ("measurement_set", "calibrated_ms", "image", "photometry")
    with transaction(made.engine) as session:
        keys = session.scalars(select(GroupSummary.key)).all()
        rows: list[dict[str, Any]] = [
            {
                **{"kind": GROUP, "key": key, "product": product, "version": "0", "made_at": now()},
                **{"path": f"products/{key}/{product}", "numbers": {"n_measured": 900}, "settings": {}},
            }
            for key in keys
            for product in products
        ]
        session.execute(insert(ProductVersion), rows)
    return made


def enter(made: Installation, measured: Path, numbers: dict[str, Any]) -> tuple[float, float]:
    """Median seconds, of CPU and in all, of entering a group's measurements."""
    cpus, walls = [], []
    for n in range(_TURNS):
        key = f"2025-01-01T00:00:{n:02d}"
        told = Registration(key, {}, (), 16.27, 60676.0, 309.0, ())
        made.records.register(told, ready=True)
        image = made.records.record_product(key, "image", PurePosixPath(f"products/{key}/image"), {})
        with made.store.staging(key, "photometry") as staging:
            shutil.copytree(measured, staging / "built")
            began, cpu = time.perf_counter(), time.process_time()
            publish(
                made.records, made.store, staging / "built", key, "photometry", numbers, inputs=[image.id]
            )
            cpus.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - began)
    return float(np.median(cpus)), float(np.median(walls))


def main(folder: Path) -> None:
    """Print seconds of each measurement."""
    make(folder)
    numbers: dict[str, Any] = {}
    for turn in ("first", "again"):
        began, cpu = time.perf_counter(), time.process_time()
        numbers = measure_image(
            folder / "image",
            folder / "sources.fits",
            folder / turn,
            "g",
            folder / "catalogues",
            CatalogueOptions(),
            PhotometryOptions(least_sigma=0.0),
        )
        size = (folder / turn / "photometry.parquet").stat().st_size
        print(
            f"{turn}: {numbers['n_measured']} sources, {time.perf_counter() - began:.2f} s, "
            f"{time.process_time() - cpu:.2f} s of CPU, {size / numbers['n_measured']:.0f} bytes a row"
        )
    for number in (1000, 100_000):
        made = station(folder / f"station-{number}", number)
        cpu, wall = enter(made, folder / "again", numbers)
        print(f"entered after {number} groups: {1e3 * cpu:.1f} ms of CPU, {1e3 * wall:.1f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
