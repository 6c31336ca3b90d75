"""How a source changes through a group: it drifts through the beam, and has a spectrum.

CLEAN's components are means over the group.  A source at the beam's half-power
point changes by a third from one end of a group to the other, and subtracted as
a constant it leaves the sidelobes of that change.  The beam is known, so the
change is: here it is written as few modes, each an image times a function of
time and frequency, that can be predicted (``predict.py``).
"""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.beam_image import power_towards
from contimg_assets.radio.imaging.predict import Mode
from contimg_assets.radio.imaging.smearing import Smearing, slot_widths_hz
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
    """A group's drifting beam, averaged under its imaging weights."""

    shape: GroupShape
    data: StokesI
    weights: Weights

    def modes(
        self, responses: NDArray[np.float64], flux: NDArray[np.float32], times: slice
    ) -> tuple[NDArray[np.float32], list[Mode]]:
        """Components in a part of the group: their means there, and modes of the change about them.

        Parameters
        ----------
        responses : ndarray, shape (n, n_times, n_bins)
            Of ``relative_response``.
        flux : ndarray, shape (n,)
            Mean apparent flux densities in the group, Jy.
        times : slice
            Integrations of the part.

        Returns
        -------
        mean : ndarray, shape (n,)
            Mean apparent flux densities in the part, Jy.
        modes : list of (ndarray of shape (n,), ndarray of shape (n_visibilities of the part,))
            Coefficient of each component, Jy, and the factor of each visibility.
        """
        weights = self.weights.by_time_frequency[times]
        if not weights.any():
            return flux, []
        apparent = responses[:, times] * flux.astype(float)[:, None, None]
        mean = np.tensordot(apparent, weights, axes=2) / weights.sum()
        # Orthogonal under the weights, the brightest components first served.
        root = np.sqrt(weights / weights.sum()).reshape(-1)
        change = (apparent - mean[:, None, None]).reshape(len(flux), -1)
        scaled = change * root
        _, energy, functions = np.linalg.svd(scaled.T @ scaled, hermitian=True)
        # Of what would be left after the first 0, 1, … modes.
        remaining = np.append(np.cumsum(energy[::-1])[::-1], 0.0)
        allowed = (_LEFT_OVER * self.weights.expected_noise_jy) ** 2
        n_modes = min(_MOST_MODES, int(np.argmax(remaining <= allowed)))
        result: list[Mode] = []
        for function in functions[:n_modes]:
            coefficient = scaled @ function
            # Where there is weight that is the function over its root; elsewhere what the components do.
            factor = change.T @ coefficient / (coefficient @ coefficient)
            result.append(
                (
                    coefficient.astype(np.float32),
                    _interpolated(factor.reshape(weights.shape), *self.bins),
                )
            )
        return mean.astype(np.float32), result

    @cached_property
    def smearing(self) -> Smearing:
        """What averaging leaves of sources; mean apparent flux densities lack the rest, as in the image."""
        return Smearing.of(self.shape, self.data, self.weights, slot_widths_hz(self.data.frequencies_hz))

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

    def _mean(self, response: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = self.weights.by_time_frequency
        mean = np.tensordot(response, weights, axes=2) / weights.sum()
        return np.where(mean > _LEAST_BEAM, mean, 0.0)

    def relative_response(self, l: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Beam × spectrum over its weighted mean, 1 where that is not trusted, shape (n, n_times, n_bins)."""
        # The spectrum shapes the change over the band, not the mean. What bright sources have
        # besides the typical one is measured (``spectra.py``).
        relative = self._response(l, m, np.full(len(l), TYPICAL_SPECTRAL_INDEX))
        mean = self._mean(relative)
        relative /= np.where(mean > 0, mean, 1.0)[:, None, None]
        relative[mean == 0] = 1.0
        return relative

    @cached_property
    def bins(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of each slot, the frequency bin below, and how far on to the next, shape (n_slots,) both."""
        bins, slots = self.weights.bin_frequencies_hz, self.data.frequencies_hz
        # The line through the outermost two goes on to the band's ends.
        lower = np.clip(np.searchsorted(bins, slots) - 1, 0, len(bins) - 2)
        step = bins[lower + 1] - bins[lower]
        fraction = np.divide(slots - bins[lower], step, out=np.zeros(len(slots)), where=step > 0)
        return lower.astype(np.int32), fraction.astype(np.float32)


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
