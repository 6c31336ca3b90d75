"""Imaging weights: how much each visibility counts, and what follows from that.

Defined as CASA and WSClean define them (Briggs 1995, thesis, section 3.3).
From the weights follow the noise *expected* of the image (that of the weighting
used and of the data left, not a rule of thumb) and the width of its beam.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.measurement_set import GroupShape

#: Frequency bins in which the sums of weights are kept: the beam's averages need no more.
_BAND_BINS = 16


@dataclass(frozen=True)
class Weights:
    """Imaging weights of a group."""

    values: NDArray[np.float32]
    """Of each visibility, zero where flagged or outside the uv range, shape (n_visibilities,)."""
    expected_noise_jy: float
    """Thermal noise of the image, Jy/beam, by the noise of the data if they tell it."""
    nominal_noise_jy: float
    """The same if all systems were nominal."""
    by_time_frequency: NDArray[np.float64]
    """Sum of weights, shape (n_times, n_bins)."""
    bin_frequencies_hz: NDArray[np.float64]
    """Weighted mean frequency of each bin, shape (n_bins,)."""
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
def _extent(uvw: NDArray[np.float64]) -> float:
    """The largest |u| or |v|."""
    largest = 0.0
    for r in range(len(uvw)):
        largest = max(largest, abs(uvw[r, 0]), abs(uvw[r, 1]))
    return largest


@numba.njit(cache=True, inline="always")
def _counts_at(
    uvw: NDArray[np.float64], counts: NDArray[np.float32], r: int, squares: tuple[float, float]
) -> np.float32:
    """Samples of a visibility; none outside the uv range."""
    square = uvw[r, 0] ** 2 + uvw[r, 1] ** 2
    return counts[r] if squares[0] <= square <= squares[1] else np.float32(0)


@numba.njit(cache=True)
def _fill(
    uvw: NDArray[np.float64],
    counts: NDArray[np.float32],
    variance: NDArray[np.float32],
    squares: tuple[float, float],
    cell: float,
    grid: NDArray[np.float64],
) -> float:
    half = grid.shape[1] // 2
    samples = 0.0
    for r in range(len(counts)):
        n = _counts_at(uvw, counts, r, squares)
        if n > 0:
            i, j = _cell_of(uvw[r, 0], uvw[r, 1], cell, half)
            grid[i, j] += n / variance[r % len(variance)]
            samples += float(n)
    return samples


@numba.njit(cache=True)
def _weigh(
    uvw: NDArray[np.float64],
    counts: NDArray[np.float32],
    variance: NDArray[np.float32],
    squares: tuple[float, float],
    cell: float,
    grid: NDArray[np.float64],
    offset: float,
    slope: float,
    out: NDArray[np.float32],
) -> tuple[float, float, float, float, float]:
    half = grid.shape[1] // 2
    measured, nominal, uu, uv, vv = 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(len(counts)):
        n = _counts_at(uvw, counts, r, squares)
        if n > 0:
            u, v = uvw[r, 0], uvw[r, 1]
            i, j = _cell_of(u, v, cell, half)
            of_one = variance[r % len(variance)]
            w = n / of_one / (offset + slope * grid[i, j])
            out[r] = w
            # The mean of n samples has a variance of one over n.
            measured += w * w * of_one / n
            nominal += w * w / n
            uu += w * u * u
            uv += w * u * v
            vv += w * v * v
    return measured, nominal, uu, uv, vv


def imaging_weights(
    shape: GroupShape,
    data: StokesI,
    weighting: str,
    robust: float,
    field_rad: float,
    uv_range: tuple[float, float] = (0.0, np.inf),
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
    uv_range : (float, float)
        Shortest and longest projected baseline that counts, wavelengths.

    Returns
    -------
    Weights

    Raises
    ------
    ImagingError
        If no visibility is left.
    """
    squares = float(uv_range[0]) ** 2, float(uv_range[1]) ** 2
    cell = 1.0 / field_rad
    extent = int(np.ceil(_extent(data.uvw) / cell)) + 2
    grid = np.zeros((extent, 2 * extent + 1))
    variance = data.variance
    if variance is None:
        variance = np.ones(len(data.frequencies_hz), np.float32)
    n_visibilities = _fill(data.uvw, data.counts, variance, squares, cell, grid)
    if n_visibilities == 0:
        raise ImagingError(f"{shape.path}: no visibility has a baseline of {uv_range} wavelengths")
    if weighting == "natural":
        offset, slope = 1.0, 0.0
    elif weighting == "uniform":
        offset, slope = 0.0, 1.0
    else:
        offset, slope = 1.0, (5.0 * 10.0**-robust) ** 2 / (float((grid**2).sum()) / float(grid.sum()))
    values = np.zeros(data.counts.shape, np.float32)
    measured, nominal, uu, uv, vv = _weigh(
        data.uvw, data.counts, variance, squares, cell, grid, offset, slope, values
    )
    bins, centres = _by_frequency(data, values)
    total = float(bins.sum())
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    widest = float(np.linalg.eigvalsh(np.array([[uu, uv], [uv, vv]]) / total)[-1])
    return Weights(
        values,
        float(sigma * np.sqrt(measured) / total),
        float(sigma * np.sqrt(nominal) / total),
        bins,
        centres,
        int(n_visibilities),
        # 1 − 2π²⟨u²⟩θ² of the beam against 1 − 4 ln 2 (θ/FWHM)² of a Gaussian.
        float(np.sqrt(4 * np.log(2) / (2 * np.pi**2 * widest))),
    )


def _by_frequency(
    data: StokesI, weights: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of weights by integration and frequency bin, and the bins' mean frequencies."""
    frequencies = data.frequencies_hz
    edges = np.linspace(frequencies.min(), frequencies.max(), _BAND_BINS + 1)
    bins = np.clip(np.searchsorted(edges, frequencies, side="right") - 1, 0, _BAND_BINS - 1)
    by_time = weights.reshape(data.n_times, -1)
    sums = np.array([np.bincount(bins, row, _BAND_BINS) for row in by_time], np.float64)
    by_slot = by_time.sum(axis=0, dtype=np.float64)
    moments = np.bincount(bins, by_slot * frequencies, _BAND_BINS).astype(np.float64)
    total = sums.sum(axis=0)
    middle = (edges[1:] + edges[:-1]) / 2
    means = np.divide(moments, total, where=total > 0, out=middle)
    return sums, means
