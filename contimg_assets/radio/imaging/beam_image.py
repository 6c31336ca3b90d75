"""The primary beam of a drift scan as an image: averaged as the data are, for a typical spectrum.

An image is the mean over the band of what sources show through the beam.  Both fall with frequency, and
the mean of their product is not the product of their means: they are 0.1 % apart at the centre, and 0.6 %
where the beam is a tenth.  So the beam by which an image is divided is the mean over the band of the beam
times the typical spectrum, and the image's frequency is that at which such a source has the mean of its
flux densities.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX

#: Points of the coarse grid along an axis: 3′ at 3.5°, against a beam of 160′
#: (spline error below 1e-6).
_GRID_POINTS = 71
#: Frequencies that stand for the band.
_BAND_SAMPLES = 16


def power_towards(
    shape: GroupShape, local: NDArray[np.float64], frequencies_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Power beam towards fixed directions as they drift.

    Parameters
    ----------
    shape : GroupShape
    local : ndarray, shape (n, 3)
        Unit vectors (l, m, n) in the frame of u, v and w, in which a source stays where it is.
    frequencies_hz : ndarray, shape (n_frequencies,)

    Returns
    -------
    ndarray, shape (n_times, n, n_frequencies)
    """
    directions = np.einsum("si,tij->tsj", local, shape.axes())
    return shape.beam.drifting_power(directions, shape.declination_rad, frequencies_hz)


def image_frequency_hz(weights: Weights) -> float:
    """Frequency of an image's flux densities, for sources of the typical spectrum.

    At it such a source is as bright as in the weighted mean over the band.
    """
    by_bin, mean_hz = weights.by_time_frequency.sum(axis=0), float(weights.bin_frequencies_hz.mean())
    spectrum = (weights.bin_frequencies_hz / mean_hz) ** TYPICAL_SPECTRAL_INDEX
    return mean_hz * float(np.average(spectrum, weights=by_bin)) ** (1.0 / TYPICAL_SPECTRAL_INDEX)


def typical_response(shape: GroupShape, weights: Weights, grid: ImageGrid) -> NDArray[np.float32]:
    """What an image shows of sources of the typical spectrum, over their flux densities at its frequency.

    Returns
    -------
    ndarray, float32, shape (n_pixels, n_pixels)
    """
    frequencies_hz = weights.bin_frequencies_hz
    spectrum = (frequencies_hz / image_frequency_hz(weights)) ** TYPICAL_SPECTRAL_INDEX
    return drift_beam(shape, frequencies_hz, weights.by_time_frequency * spectrum, grid)


def drift_beam(
    shape: GroupShape,
    frequencies_hz: NDArray[np.float64],
    weights: NDArray[np.float64],
    grid: ImageGrid,
) -> NDArray[np.float32]:
    """Time- and frequency-averaged power beam about the phase centre.

    Parameters
    ----------
    shape : GroupShape
    frequencies_hz : ndarray, shape (n_channels,)
    weights : ndarray, shape (n_times, n_channels)
        Sum of imaging weights of each integration and channel.
    grid : ImageGrid

    Returns
    -------
    ndarray, float32, shape (n_pixels, n_pixels)
    """
    half = grid.centre * grid.cell_rad
    coarse = np.linspace(-half, half, _GRID_POINTS)
    l, m = np.meshgrid(coarse, coarse, indexing="xy")
    n = np.sqrt(1.0 - l**2 - m**2)
    local = np.stack([l, m, n], axis=-1)
    axes = shape.axes()
    bins = np.array_split(np.arange(len(frequencies_hz)), min(_BAND_SAMPLES, len(frequencies_hz)))
    total = np.zeros_like(l)
    pointing = shape.beam.axis(shape.declination_rad)
    for t in range(shape.n_times):
        by_bin = np.array([weights[t, b].sum() for b in bins])
        if by_bin.sum() == 0:
            continue
        centres = np.array(
            [
                np.average(frequencies_hz[b], weights=weights[t, b]) if w > 0 else frequencies_hz[b[0]]
                for b, w in zip(bins, by_bin, strict=True)
            ]
        )
        # The pointing, seen in this integration's (u, v, w): no turning of every pixel.
        offset = local - axes[t] @ pointing
        # sin θ from the chord 2 sin(θ/2), precise at the axis.
        chord = np.linalg.norm(offset, axis=-1)
        sine = chord * np.sqrt(1.0 - chord**2 / 4.0)
        total += shape.beam.power(sine[..., None], centres) @ by_bin
    spline = RectBivariateSpline(coarse, coarse, total / weights.sum())
    l_columns, m_rows = grid.axes()
    # l falls with the column; a spline wants ascending points.
    return spline(m_rows, l_columns[::-1])[:, ::-1].astype(np.float32)
