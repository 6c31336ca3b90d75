"""How a source changes through a group: it drifts through the beam, and has a spectrum.

CLEAN's components are means over the group.  A source at the beam's half-power
point changes by a third from one end of a group to the other, and subtracted as
a constant it leaves the sidelobes of that change.  The beam is known, so the
change is: here it is written as few modes, each an image times a function of
time and frequency, that can be predicted (``predict.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.beam_image import power_towards
from contimg_assets.radio.imaging.predict import Mode
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX

#: Where the mean beam is below this, how it changes is not trusted: a null's place
#: differs from dish to dish.
_LEAST_BEAM = 0.03
#: Modes at most, …
_MOST_MODES = 3
#: … and how much change they may leave (root of the sum of squares over components), in units
#: of the image's noise: what is left shows through the dirty beam's sidelobes, of a few per cent.
_LEFT_OVER = 10.0


def response(
    shape: GroupShape,
    l: NDArray[np.float64],
    m: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
    reference_hz: float,
    index: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Power beam × spectrum towards directions as they drift, shape (n, n_times, n_frequencies)."""
    local = np.stack([l, m, np.sqrt(1.0 - l * l - m * m)], axis=-1)
    power = power_towards(shape, local, frequencies_hz).swapaxes(0, 1)
    power *= ((frequencies_hz / reference_hz) ** index[:, None])[:, None]
    return power


@dataclass(frozen=True)
class Drift:
    """A group's beam, seen by its imaging weights."""

    shape: GroupShape
    data: StokesI
    weights: Weights

    def modes(self, l: NDArray[np.float64], m: NDArray[np.float64], flux: NDArray[np.float32]) -> list[Mode]:
        """Modes of the change of components about their means.

        Parameters
        ----------
        l, m : ndarray, shape (n,)
            Direction cosines from the phase centre.
        flux : ndarray, shape (n,)
            Mean apparent flux densities, Jy.

        Returns
        -------
        list of (ndarray of shape (n,), ndarray of shape (n_visibilities,))
            Coefficient of each component, relative to its flux density, and the factor of
            each visibility.
        """
        change = self._change(l, m)
        # Orthogonal under the weights, the brightest components first served.
        root = np.sqrt(self.weights.by_time_frequency / self.weights.by_time_frequency.sum()).reshape(-1)
        scaled = change.reshape(len(l), -1) * root
        _, energy, functions = np.linalg.svd(
            scaled.T @ (scaled * (flux.astype(float) ** 2)[:, None]), hermitian=True
        )
        # Of what would be left after the first 0, 1, … modes.
        left = np.append(np.cumsum(energy[::-1])[::-1], 0.0)
        allowed = (_LEFT_OVER * self.weights.expected_noise_jy) ** 2
        n_modes = min(_MOST_MODES, int(np.argmax(left <= allowed)))
        result: list[Mode] = []
        for function in functions[:n_modes]:
            factor = np.divide(function, root, out=np.zeros_like(function), where=root > 0)
            result.append(
                ((scaled @ function).astype(np.float32), self._spread(factor.reshape(change.shape[1:])))
            )
        return result

    @property
    def reference_hz(self) -> float:
        """Frequency at which the spectrum that components are taken to have is one."""
        return float(self.weights.bin_frequencies_hz.mean())

    def mean_response(
        self, l: NDArray[np.float64], m: NDArray[np.float64], index: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weighted mean of beam × spectrum towards directions, 0 where it is not trusted, shape (n,)."""
        return self._mean(self._response(l, m, index))

    def _response(
        self, l: NDArray[np.float64], m: NDArray[np.float64], index: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return response(self.shape, l, m, self.weights.bin_frequencies_hz, self.reference_hz, index)

    def _mean(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = self.weights.by_time_frequency
        mean = np.tensordot(seen, weights, axes=2) / weights.sum()
        return np.where(mean > _LEAST_BEAM, mean, 0.0)

    def _change(self, l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Beam × spectrum over its weighted mean, less one, shape (n, n_times, n_bins)."""
        # The spectrum shapes the change over the band, not the mean. What bright sources have
        # besides the typical one is measured (``spectra.py``).
        seen = self._response(l, m, np.full(len(l), TYPICAL_SPECTRAL_INDEX))
        mean = self._mean(seen)
        change = seen / np.where(mean > 0, mean, 1.0)[:, None, None] - 1.0
        change[mean == 0] = 0.0
        return change

    def _spread(self, function: NDArray[np.float64]) -> NDArray[np.float32]:
        """A function of integration and frequency bin, at every visibility."""
        bins, slots = self.weights.bin_frequencies_hz, self.data.frequencies_hz
        place = np.interp(slots, bins, np.arange(len(bins), dtype=np.float64))
        lower = np.minimum(place.astype(np.int32), max(len(bins) - 2, 0))
        return _interpolated(function, lower, (place - lower).astype(np.float32))


@numba.njit(cache=True, parallel=True)
def _interpolated(
    rows: NDArray[np.float64], lower: NDArray[np.int32], fraction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Each row between its columns ``lower`` and the next, one row after the other."""
    n, last = len(lower), rows.shape[1] - 1
    out = np.empty(len(rows) * n, np.float32)
    for t in numba.prange(len(rows)):
        for i in range(n):
            low, high = rows[t, lower[i]], rows[t, min(lower[i] + 1, last)]
            out[t * n + i] = low + fraction[i] * (high - low)
    return out
