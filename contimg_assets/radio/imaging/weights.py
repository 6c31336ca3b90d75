"""Imaging weights: how much each visibility counts, and the noise that follows.

The weights are computed here again as CASA and WSClean define them (Briggs
1995, thesis, section 3.3), so that the noise *expected* of an image is that of
the weighting used and of the data that are left, not a rule of thumb.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.measurement_set import GroupShape


@dataclass(frozen=True)
class WeightSummary:
    """What the imaging weights imply."""

    expected_noise_jy: float
    """Thermal noise of the image, Jy/beam."""
    by_time_channel: NDArray[np.float64]
    """Sum of weights, shape (n_times, n_channels)."""
    n_visibilities: int
    """Unflagged cross-correlations, both polarisations counted."""


@numba.njit(cache=True)
def _cell_of(u: float, v: float, cell: float, half: int) -> tuple[int, int]:
    if u < 0:
        u, v = -u, -v
    return int(round(u / cell)), int(round(v / cell)) + half


@numba.njit(cache=True)
def _density(
    uv: NDArray[np.float64],
    per_metre: NDArray[np.float64],
    weight: NDArray[np.float32],
    cell: float,
    grid: NDArray[np.float64],
) -> None:
    half = grid.shape[1] // 2
    for r in range(uv.shape[0]):
        for f in range(per_metre.shape[0]):
            if weight[r, f] > 0:
                i, j = _cell_of(uv[r, 0] * per_metre[f], uv[r, 1] * per_metre[f], cell, half)
                if i < grid.shape[0] and 0 <= j < grid.shape[1]:
                    grid[i, j] += weight[r, f]


@numba.njit(cache=True)
def _totals(
    uv: NDArray[np.float64],
    per_metre: NDArray[np.float64],
    weight: NDArray[np.float32],
    cell: float,
    grid: NDArray[np.float64],
    offset: float,
    slope: float,
    by_channel: NDArray[np.float64],
) -> float:
    half = grid.shape[1] // 2
    squares = 0.0
    for r in range(uv.shape[0]):
        for f in range(per_metre.shape[0]):
            if weight[r, f] > 0:
                i, j = _cell_of(uv[r, 0] * per_metre[f], uv[r, 1] * per_metre[f], cell, half)
                if i < grid.shape[0] and 0 <= j < grid.shape[1]:
                    w = weight[r, f] / (offset + slope * grid[i, j])
                    by_channel[f] += w
                    # n samples of equal weight in one: the variance adds n times.
                    squares += w * w / weight[r, f]
    return squares


def summarise_weights(
    shape: GroupShape, flags: NDArray[np.bool_], weighting: str, robust: float, field_rad: float
) -> WeightSummary:
    """Expected noise and the weight of every integration and channel.

    Parameters
    ----------
    shape : GroupShape
    flags : ndarray of bool, shape ``shape.data_shape``
    weighting : {"natural", "uniform", "briggs"}
    robust : float
        Briggs robustness, −2 (uniform) … 2 (natural).
    field_rad : float
        Width of the image: the uv cell is its inverse.

    Returns
    -------
    WeightSummary

    Raises
    ------
    ImagingError
        If everything is flagged.
    """
    cross = shape.cross
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    baselines = (positions[shape.antenna_2] - positions[shape.antenna_1])[cross]
    axes = shape.axes()
    per_metre = shape.frequencies_hz / SPEED_OF_LIGHT
    cell = 1.0 / field_rad
    extent = int(np.ceil(np.linalg.norm(baselines, axis=1).max() * per_metre.max() / cell)) + 2
    # Every integration has the same weights but for its flags: count samples of both polarisations.
    grid = np.zeros((extent, 2 * extent + 1))
    counts = [
        np.ascontiguousarray((~flags[t][cross]).sum(axis=-1), dtype=np.float32) for t in range(shape.n_times)
    ]
    uvs = [baselines @ axes[t, :2].T for t in range(shape.n_times)]
    for uv, weight in zip(uvs, counts, strict=True):
        _density(uv, per_metre, weight, cell, grid)
    n_visibilities = int(grid.sum())
    if n_visibilities == 0:
        raise ImagingError(f"{shape.path}: every visibility is flagged; there is nothing to image")
    if weighting == "natural":
        offset, slope = 1.0, 0.0
    elif weighting == "uniform":
        offset, slope = 0.0, 1.0
    else:
        offset, slope = 1.0, (5.0 * 10.0**-robust) ** 2 / (float((grid**2).sum()) / n_visibilities)
    by_time = np.zeros((shape.n_times, shape.n_channels))
    squares = 0.0
    for t, (uv, weight) in enumerate(zip(uvs, counts, strict=True)):
        squares += _totals(uv, per_metre, weight, cell, grid, offset, slope, by_time[t])
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    return WeightSummary(float(sigma * np.sqrt(squares) / by_time.sum()), by_time, n_visibilities)
