"""What averaging over channels and integrations takes from a source in the image.

A visibility is a mean over its channels and its integration.  The correlator stops the fringes of one
direction, which each integration has on the meridian; those of every other go on meanwhile, and the
mean loses by it, the more so the longer the baseline and the farther the source.  CLEAN knows one dirty
beam and sees a fainter source, so the loss belongs to the response by which an image is divided, as
the primary beam does.

Belongs here: the mean loss, which images have.  Does not belong here: that of one visibility
(``phasors.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.measurement_set import GroupShape

#: The first term of what a mean over x turns loses, over x².
_LOSS = np.pi**2 / 6.0


def tracking(shape: GroupShape) -> NDArray[np.float64]:
    """How sources turn while an integration lasts, in its frame of u, v and w.

    Returns
    -------
    ndarray, shape (n_times, 2, 3)
        The celestial pole times the angle of an integration, and the tracked direction less the phase centre.
    """
    axes = shape.axes()
    pole = axes[:, :, 2] * telescope.EARTH_ROTATION_RAD_S * shape.integration_s
    tracked = axes @ phasing.pointing_vector(shape.declination_rad) - np.array([0.0, 0.0, 1.0])
    return np.stack([pole, tracked], axis=1)


@numba.njit(cache=True, parallel=True)
def _moments(
    uvw: NDArray[np.float64],
    weights: NDArray[np.float32],
    widths: NDArray[np.float64],
    poles: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Weighted sums, by integration, of ll, lm, mm of turns in an integration, then of turns in a channel."""
    n = len(widths)
    for t in numba.prange(len(sums)):
        pole = poles[t]
        for i in range(n):
            weight = weights[t * n + i]
            if weight > 0:
                u, v, w = uvw[t * n + i]
                by_l, by_m = v * pole[2] - w * pole[1], w * pole[0] - u * pole[2]
                sums[t, 0] += weight * by_l * by_l
                sums[t, 1] += weight * by_l * by_m
                sums[t, 2] += weight * by_m * by_m
                square = weight * widths[i] * widths[i]
                sums[t, 3] += square * u * u
                sums[t, 4] += square * u * v
                sums[t, 5] += square * v * v


@dataclass(frozen=True)
class Smearing:
    """Mean part of a source that averaging leaves, over an image."""

    coefficients: tuple[float, ...]
    """Of 1, l, m, l², l m, m² in the loss, as far as it is small."""

    @classmethod
    def of(
        cls, shape: GroupShape, data: StokesI, weights: Weights, widths_hz: NDArray[np.float64] | float
    ) -> "Smearing":
        """For visibilities whose averages are as wide as this, Hz (of each slot, or of all)."""
        turning = tracking(shape)
        sums = np.zeros((data.n_times, 6))
        widths = np.broadcast_to(widths_hz / data.frequencies_hz, data.frequencies_hz.shape)
        _moments(data.uvw, weights.values, np.ascontiguousarray(widths), turning[:, 0].copy(), sums)
        sums *= _LOSS / weights.values.sum(dtype=np.float64)
        ll, lm, mm, *of_channels = sums.T
        l, m = turning[:, 1, 0], turning[:, 1, 1]
        wide = np.sum(of_channels, axis=1)
        return cls(
            (
                float(np.sum(ll * l * l + 2 * lm * l * m + mm * m * m)),
                float(-2 * np.sum(ll * l + lm * m)),
                float(-2 * np.sum(lm * l + mm * m)),
                float(ll.sum() + wide[0]),
                float(2 * (lm.sum() + wide[1])),
                float(mm.sum() + wide[2]),
            )
        )

    def __call__(self, l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Part that is left at direction cosines from the phase centre, their common shape."""
        one, by_l, by_m, ll, lm, mm = self.coefficients
        # Of a mean of many sinc functions this is good beyond the first term.
        return np.exp(-(one + by_l * l + by_m * m + ll * l * l + lm * l * m + mm * m * m))

    def over(self, grid: ImageGrid) -> NDArray[np.float32]:
        """Part that is left in every pixel."""
        l_columns, m_rows = grid.axes()
        return self(l_columns[None, :], m_rows[:, None]).astype(np.float32)


def slot_widths_hz(frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width of each slot, which is the step to its neighbour of the same baseline, shape (n_slots,)."""
    steps = np.abs(np.diff(frequencies_hz))
    return np.minimum(np.append(steps, np.inf), np.append(np.inf, steps))
