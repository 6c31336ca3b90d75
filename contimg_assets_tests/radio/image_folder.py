"""A small image's folder as imaging leaves it: sources through a beam, noise with the dirty beam's shape."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio.images.components import points_image
from contimg_assets.radio.images.grid import ImageGrid

N = 400
CELL_ARCSEC = 20.0
#: Full widths, pixels.
BEAM_PIXELS = (5.0, 4.0)
NOISE_JY = 1e-3
CENTRE = (350.0, 16.3)


def header() -> fits.Header:
    """As ``imaging/fits.py`` writes it, as far as quality needs it."""
    made = fits.Header()
    made["BUNIT"] = "Jy/beam"
    cell = CELL_ARCSEC / 3600
    for axis, (kind, value, step, pixel) in enumerate(
        [
            ("RA---SIN", CENTRE[0], -cell, N // 2 + 1),
            ("DEC--SIN", CENTRE[1], cell, N // 2 + 1),
            ("FREQ", 1.405e9, 1.875e8, 1),
            ("STOKES", 1.0, 1.0, 1),
        ],
        start=1,
    ):
        made[f"CTYPE{axis}"], made[f"CRVAL{axis}"] = kind, value
        made[f"CDELT{axis}"], made[f"CRPIX{axis}"] = step, pixel
    made["BMAJ"], made["BMIN"], made["BPA"] = BEAM_PIXELS[0] * cell, BEAM_PIXELS[1] * cell, 0.0
    made["OBJECT"], made["TELESCOP"], made["DATE-OBS"] = "J2320+1618", "DSA_110", "2025-06-01T13:55:12"
    made["DATE-END"] = "2025-06-01T14:00:23.040"
    made["MJD-OBS"], made["MJD-END"], made["EXPTIME"] = 60827.58, 60827.5836, 309.2
    return made


def beam_shape(x: float, y: float) -> NDArray[np.float64]:
    """The restoring beam at a pixel."""
    yy, xx = np.mgrid[:N, :N].astype(float)
    return 0.5 ** ((2 * (yy - y) / BEAM_PIXELS[0]) ** 2 + (2 * (xx - x) / BEAM_PIXELS[1]) ** 2)


def write_image_folder(
    folder: Path, sources: Sequence[tuple[float, float, float]], artefact: NDArray[np.float64] | float = 0.0
) -> Path:
    """Write image, residual, beam and dirty beam of sources (x, y, Jy on the sky) in noise.

    Parameters
    ----------
    folder : Path
    sources : sequence
    artefact : ndarray or float
        Added to image and residual; NaN makes them blank.

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir()
    rng = np.random.default_rng(4)
    psf = beam_shape(N // 2, N // 2)
    white = np.fft.rfft2(rng.normal(size=(N, N)))
    noise = np.fft.irfft2(white * np.abs(np.fft.rfft2(psf)) ** 0.5, s=(N, N))
    residual = NOISE_JY * noise / noise.std() + artefact
    yy, xx = np.mgrid[:N, :N] - N // 2
    power = np.exp(-4 * np.log(2) * np.hypot(xx, yy) ** 2 / (0.9 * N) ** 2)
    image = residual + sum(flux * power[round(y), round(x)] * beam_shape(x, y) for x, y, flux in sources)
    grid = ImageGrid(N, CELL_ARCSEC)
    places = np.array([(x, y, flux * power[round(y), round(x)]) for x, y, flux in sources]).reshape(-1, 3)
    model = points_image((*grid.directions(*places[:, :2].T), places[:, 2].astype(np.float32)), grid)
    planes = {
        "image": image,
        "residual": residual,
        "model": model,
        "pb": power,
        "psf": psf,
        "pbcor": image / power,
    }
    for kind, pixels in planes.items():
        fits.PrimaryHDU(pixels.astype(np.float32)[None, None], header()).writeto(
            folder / f"g.{kind}.fits", checksum=True
        )
    summary: dict[str, Any] = {
        "expected_rms_mjy_beam": 1e3 * NOISE_JY,
        "flag_fraction": 0.1,
        "outside_sources": [],
        "beam_major_arcsec": BEAM_PIXELS[0] * CELL_ARCSEC,
        "beam_minor_arcsec": BEAM_PIXELS[1] * CELL_ARCSEC,
        "system_noise_ratio": 1.02,
        "noisy_antennas": {},
        "strong_sources": [{"name": "Sun", "apparent_jy": 150.0}],
        "settings": {"threshold_sigma": 3.0},
        "calibration": {"flags": {"bad_antenna_fraction": 0.01, "wrong_subbands": []}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def spread_sources(n: int = 40, jy: float = 0.1) -> list[tuple[float, float, float]]:
    """Sources on a loose grid, from ``jy`` downwards."""
    rng = np.random.default_rng(6)
    places = [(x, y) for y in range(60, N - 50, 42) for x in range(60, N - 50, 42)][:n]
    return [(x + rng.uniform(-3, 3), y + rng.uniform(-3, 3), jy * 0.95**i) for i, (x, y) in enumerate(places)]
