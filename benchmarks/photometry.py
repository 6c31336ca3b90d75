"""Photometry of a full-size image: 4500² pixels, 2000 sources that a survey lists.

Makes the image by the simulator of epochs, then measures it: the first time with
what a process needs once (compiled functions come from their cache), and again.

    python benchmarks/photometry.py [FOLDER]
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import install
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.restore import fit_beam
from contimg_assets.radio.photometry.measure import measure_image
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.epochs import EpochField, array_beam, epochs, write_epoch

N, CELL_ARCSEC, N_SOURCES, NOISE_JY = 4500, 4.8, 2000, 2.5e-4
CENTRE = (350.0, 16.3)


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
    write_epoch(folder / "image", "g", field, epoch, header, np.full((N, N), NOISE_JY, np.float32))
    lines = [
        nvss_line(Source("", *place)) for place in zip(ra.tolist(), dec.tolist(), jy.tolist(), strict=True)
    ]
    (folder / "nvss.dat").write_text("\n".join(lines) + "\n")
    install(folder / "catalogues", folder / "nvss.dat", "nvss")
    seen = jy * field.response > 5 * NOISE_JY
    error = np.full(int(seen.sum()), 2.0)
    columns = {"x": x[seen], "y": y[seen], "peak_jy_beam": (jy * field.response)[seen]}
    Table({**columns, "ra_error_arcsec": error, "dec_error_arcsec": error}).write(folder / "sources.fits")


def main(folder: Path) -> None:
    """Print seconds of each measurement."""
    make(folder)
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


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
