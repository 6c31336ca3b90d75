"""Imaging weights: how much each visibility counts, and what follows from that.

Defined as CASA and WSClean define them (Briggs 1995, thesis, section 3.3).
From the weights follow the noise *expected* of the image (that of the weighting
used and of the data left, not a rule of thumb) and the width of its beam.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import telescope
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.measurement_set import GroupShape


@dataclass(frozen=True)
class Weights:
    """Imaging weights of a group."""

    values: NDArray[np.float32]
    """Of each visibility, zero where flagged, shape (n_rows, n_channels)."""
    expected_noise_jy: float
    """Thermal noise of the image, Jy/beam."""
    by_time_channel: NDArray[np.float64]
    """Sum of weights, shape (n_times, n_channels)."""
    n_visibilities: int
    """Unflagged samples; each polarisation and channel counts."""
    narrowest_beam_rad: float
    """Full width at half maximum of the dirty beam's core across its narrow side,
    from the curvature at its peak."""


@numba.njit(cache=True)
def _cell_of(u: float, v: float, cell: float, half: int) -> tuple[int, int]:
    if u < 0:
        u, v = -u, -v
    return round(u / cell), round(v / cell) + half


@numba.njit(cache=True)
def _fill(
    uvw: NDArray[np.float64],
    per_metre: NDArray[np.float64],
    counts: NDArray[np.float32],
    cell: float,
    grid: NDArray[np.float64],
) -> None:
    half = grid.shape[1] // 2
    for r in range(uvw.shape[0]):
        for f in range(per_metre.shape[0]):
            if counts[r, f] > 0:
                i, j = _cell_of(uvw[r, 0] * per_metre[f], uvw[r, 1] * per_metre[f], cell, half)
                grid[i, j] += counts[r, f]


@numba.njit(cache=True)
def _weigh(
    uvw: NDArray[np.float64],
    per_metre: NDArray[np.float64],
    counts: NDArray[np.float32],
    cell: float,
    grid: NDArray[np.float64],
    offset: float,
    slope: float,
    out: NDArray[np.float32],
) -> tuple[float, float, float, float]:
    half = grid.shape[1] // 2
    variance, uu, uv, vv = 0.0, 0.0, 0.0, 0.0
    for r in range(uvw.shape[0]):
        for f in range(per_metre.shape[0]):
            if counts[r, f] > 0:
                u, v = uvw[r, 0] * per_metre[f], uvw[r, 1] * per_metre[f]
                i, j = _cell_of(u, v, cell, half)
                w = counts[r, f] / (offset + slope * grid[i, j])
                out[r, f] = w
                # The mean of n samples has a variance of one over n.
                variance += w * w / counts[r, f]
                uu += w * u * u
                uv += w * u * v
                vv += w * v * v
    return variance, uu, uv, vv


def imaging_weights(
    shape: GroupShape, data: StokesI, weighting: str, robust: float, field_rad: float
) -> Weights:
    """Weights of every visibility.

    Parameters
    ----------
    shape : GroupShape
    data : StokesI
    weighting : {"natural", "uniform", "briggs"}
    robust : float
        Briggs robustness, −2 (uniform) … 2 (natural).
    field_rad : float
        Width of the image: the uv cell is its inverse.

    Returns
    -------
    Weights
    """
    per_metre = data.frequencies_hz / SPEED_OF_LIGHT
    cell = 1.0 / field_rad
    extent = int(np.ceil(np.abs(data.uvw_m[:, :2]).max() * per_metre.max() / cell)) + 2
    grid = np.zeros((extent, 2 * extent + 1))
    _fill(data.uvw_m, per_metre, data.counts, cell, grid)
    n_visibilities = float(grid.sum())
    if weighting == "natural":
        offset, slope = 1.0, 0.0
    elif weighting == "uniform":
        offset, slope = 0.0, 1.0
    else:
        offset, slope = 1.0, (5.0 * 10.0**-robust) ** 2 / (float((grid**2).sum()) / n_visibilities)
    values = np.zeros(data.counts.shape, np.float32)
    variance, uu, uv, vv = _weigh(data.uvw_m, per_metre, data.counts, cell, grid, offset, slope, values)
    by_time = values.reshape(data.n_times, -1, len(per_metre)).sum(axis=1, dtype=np.float64)
    total = float(by_time.sum())
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    widest = float(np.linalg.eigvalsh(np.array([[uu, uv], [uv, vv]]) / total)[-1])
    return Weights(
        values,
        float(sigma * np.sqrt(variance) / total),
        by_time,
        int(n_visibilities),
        # 1 − 2π²⟨u²⟩θ² of the beam against 1 − 4 ln 2 (θ/FWHM)² of a Gaussian.
        float(np.sqrt(4 * np.log(2) / (2 * np.pi**2 * widest))),
    )
