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
#: Visibilities are worked on in so many parts, each with a grid of its own, however many cores there are.
_PARTS = 4


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


@numba.njit(cache=True, parallel=True)
def _extents(uvw: NDArray[np.float64], largest: NDArray[np.float64]) -> None:
    """The largest |u| or |v| of each part of the visibilities."""
    parts, n = len(largest), len(uvw)
    for part in numba.prange(parts):
        most = 0.0
        for r in range(part * n // parts, (part + 1) * n // parts):
            most = max(most, abs(uvw[r, 0]), abs(uvw[r, 1]))
        largest[part] = most


@numba.njit(cache=True, inline="always")
def _counts_at(
    uvw: NDArray[np.float64], counts: NDArray[np.float32], r: int, squares: tuple[float, float]
) -> np.float32:
    """Samples of a visibility; none outside the uv range."""
    square = uvw[r, 0] ** 2 + uvw[r, 1] ** 2
    return counts[r] if squares[0] <= square <= squares[1] else np.float32(0)


@numba.njit(cache=True, parallel=True)
def _fill(
    uvw: NDArray[np.float64],
    counts: NDArray[np.float32],
    variance: NDArray[np.float32],
    squares: tuple[float, float],
    cell: float,
    grids: NDArray[np.float64],
    samples: NDArray[np.float64],
) -> None:
    """Add up what each cell holds, a grid for each part of the integrations, and count samples."""
    parts, half, n_slots = len(grids), grids.shape[2] // 2, len(variance)
    n_times = len(counts) // n_slots
    for part in numba.prange(parts):
        for t in range(part * n_times // parts, (part + 1) * n_times // parts):
            for slot in range(n_slots):
                r = t * n_slots + slot
                n = _counts_at(uvw, counts, r, squares)
                if n > 0:
                    i, j = _cell_of(uvw[r, 0], uvw[r, 1], cell, half)
                    grids[part, i, j] += n / variance[slot]
                    samples[part] += n


@numba.njit(cache=True, parallel=True)
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
    sums: NDArray[np.float64],
) -> None:
    """Weights, and sums by integration: of the noise's variance, of the nominal one's, of uu, uv and vv."""
    half, n_slots = grid.shape[1] // 2, len(variance)
    for t in numba.prange(len(sums)):
        measured, nominal, uu, uv, vv = 0.0, 0.0, 0.0, 0.0, 0.0
        for slot in range(n_slots):
            r = t * n_slots + slot
            n = _counts_at(uvw, counts, r, squares)
            if n > 0:
                u, v = uvw[r, 0], uvw[r, 1]
                i, j = _cell_of(u, v, cell, half)
                of_one = variance[slot]
                w = n / of_one / (offset + slope * grid[i, j])
                out[r] = w
                # The mean of n samples has a variance of one over n.
                measured += w * w * of_one / n
                nominal += w * w / n
                uu += w * u * u
                uv += w * u * v
                vv += w * v * v
        sums[t] = measured, nominal, uu, uv, vv


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
    largest, samples = np.zeros(_PARTS), np.zeros(_PARTS)
    _extents(data.uvw, largest)
    extent = int(np.ceil(largest.max() / cell)) + 2
    grids = np.zeros((_PARTS, extent, 2 * extent + 1))
    variance = data.variance
    if variance is None:
        variance = np.ones(len(data.frequencies_hz), np.float32)
    _fill(data.uvw, data.counts, variance, squares, cell, grids, samples)
    n_visibilities, grid = samples.sum(), grids.sum(axis=0)
    if n_visibilities == 0:
        raise ImagingError(f"{shape.path}: no visibility has a baseline of {uv_range} wavelengths")
    if weighting == "natural":
        offset, slope = 1.0, 0.0
    elif weighting == "uniform":
        offset, slope = 0.0, 1.0
    else:
        offset, slope = 1.0, (5.0 * 10.0**-robust) ** 2 / (float((grid**2).sum()) / float(grid.sum()))
    values = np.zeros(data.counts.shape, np.float32)
    sums = np.zeros((data.n_times, 5))
    _weigh(data.uvw, data.counts, variance, squares, cell, grid, offset, slope, values, sums)
    measured, nominal, uu, uv, vv = sums.sum(axis=0)
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
