"""Spectral indices of bright sources, measured while CLEAN goes on.

A component is taken to have the typical spectrum.  A source whose own is another
leaves its difference in the visibilities: nothing on the average over the band,
where the image's peak is made, but sidelobes around it that no component takes
away.  Here that difference is measured towards each bright source and taken off.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg_assets.radio.images.components import Points
from contimg_assets.radio.imaging.bright_points import gather
from contimg_assets.radio.imaging.engine import Spectrum
from contimg_assets.radio.imaging.phasors import baseline_starts, begin_baseline, turn_on
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX

#: Components within this many beams (major axis) of a source's brightest are its own.
_REACH_BEAMS = 1.0
#: Sources at most: each costs as much time.
_MOST_SOURCES = 32
#: A change of the index is made if it is this many times its error.
_LEAST_SIGMA = 4.0
#: An index with an error larger than this, the scatter between sources, tells nothing.
_WORST_ERROR = 0.2
#: A source waits until the residual's peak is below this part of it: what others leave is in its spectrum.
_OTHERS = 0.2


@numba.njit(cache=True, parallel=True, fastmath=True)
def _slopes(
    values: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    logs: NDArray[np.float32],
    places: NDArray[np.float64],
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Weighted sums, by integration, of ``value × log`` turned to each place, and of ``log²``."""
    n, n_places = len(frequencies), len(places)
    for t in numba.prange(len(sums)):
        state, seen = np.empty((5, n_places), np.float32), np.empty(n_places, np.float32)
        real, imag, by_real, by_imag, left = state
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            begin_baseline(uvw[t * n + first], frequencies[first:end], places, state)
            seen[:] = 0
            squares = np.float32(0)
            for i in range(first, end):
                weighted = weights[t * n + i] * logs[i]
                squares += weighted * logs[i]
                along = weighted * values[t * n + i].real
                across = weighted * values[t * n + i].imag
                for k in range(n_places):
                    seen[k] += along * real[k] + across * imag[k]
                turn_on(real, imag, by_real, by_imag)
            for k in range(n_places):
                sums[t, k] += left[k] * seen[k]
                totals[t, k] += left[k] * left[k] * squares


@numba.njit(cache=True, parallel=True, fastmath=True)
def _subtract(
    values: NDArray[np.complex64],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    logs: NDArray[np.float32],
    places: NDArray[np.float64],
    changes: NDArray[np.float64],
    n_times: int,
) -> None:
    """Take ``change × log`` of each place from the visibilities."""
    n, n_places = len(frequencies), len(places)
    for t in numba.prange(n_times):
        state = np.empty((5, n_places), np.float32)
        real, imag, by_real, by_imag, left = state
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            begin_baseline(uvw[t * n + first], frequencies[first:end], places, state)
            for k in range(n_places):
                real[k] *= left[k] * changes[k]
                imag[k] *= left[k] * changes[k]
            for i in range(first, end):
                along, across = np.float32(0), np.float32(0)
                for k in range(n_places):
                    along += real[k]
                    across += imag[k]
                values[t * n + i] -= complex(logs[i] * along, logs[i] * across)
                turn_on(real, imag, by_real, by_imag)


@dataclass
class Spectra:
    """The bright sources of one group, and what their spectra were found to be."""

    data: StokesI
    weights: NDArray[np.float32]
    """Imaging weights, shape (n_visibilities,)."""
    noise_jy: float
    """Expected in the image."""
    least_jy: float
    """Fainter sources keep the typical spectrum."""
    slope_error: float = np.inf
    """Of what is measured towards any source, Jy times the logarithm of frequency."""

    def __post_init__(self) -> None:
        frequencies = self.data.frequencies_hz
        self._starts = baseline_starts(frequencies)
        logs = np.log(frequencies / frequencies.mean())
        by_slot = self.weights.reshape(self.data.n_times, -1).sum(axis=0, dtype=np.float64)
        # What is taken has no mean over the band: the flux density of the image stays what it was.
        logs -= np.average(logs, weights=by_slot)
        self._logs = logs.astype(np.float32)
        square = np.average(logs**2, weights=by_slot)
        if square > 0:
            self.slope_error = self.noise_jy / np.sqrt(square)
        self._places = np.zeros((0, 2))
        self._flux = np.zeros(0)
        # Taken from the data so far, and found there in all: small changes are not taken.
        self._taken, self._found = np.zeros((2, 0))

    def take_from(
        self, left: NDArray[np.complex64], components: Points, beam_rad: float, peak_jy: float
    ) -> None:
        """Measure the spectra in what is left of the data, and take them away there.

        Parameters
        ----------
        left : ndarray, complex64, shape (n_visibilities,)
            Data less the model so far; changed.
        components : (ndarray, ndarray, ndarray), each of shape (n,)
            All of the model: l, m and mean apparent flux densities, Jy.
        beam_rad : float
            Major axis of the restoring beam.
        peak_jy : float
            Of the residual image, about: what others may have left.
        """
        if not np.isfinite(self.slope_error):
            return
        self._gather(components, _REACH_BEAMS * beam_rad, max(self.least_jy, peak_jy / _OTHERS))
        if not len(self._flux):
            return
        l, m = self._places.T
        places = np.stack([l, m, np.sqrt(1.0 - l * l - m * m) - 1.0], axis=-1)
        sums, totals = np.zeros((2, self.data.n_times, len(places)))
        geometry = (self.data.uvw, self.data.frequencies_hz, self._starts, self._logs)
        _slopes(left, self.weights, *geometry, places, sums, totals)
        change = sums.sum(axis=0) / totals.sum(axis=0)
        self._found = self._taken + change
        changed = np.abs(change) > _LEAST_SIGMA * self.slope_error
        if changed.any():
            self._taken[changed] += change[changed]
            _subtract(left, *geometry, places[changed], change[changed], self.data.n_times)

    def remember(self) -> Callable[[], None]:
        """What takes back all that comes after."""
        known = self._places.copy(), self._flux.copy(), self._taken.copy(), self._found.copy()

        def take_back() -> None:
            self._places, self._flux, self._taken, self._found = known

        return take_back

    def _gather(self, components: Points, reach: float, least: float) -> None:
        """Sum components to sources; one that is known keeps its place."""
        l, m, flux = components
        nearest = self._nearest(l, m, reach)
        known = nearest < len(self._places)
        self._flux = np.bincount(nearest[known], flux[known], len(self._places))
        free = ~known
        places = np.stack([l[free], m[free]], axis=-1) / reach
        for _, total, place in gather(places, flux[free], least):
            if len(self._places) == _MOST_SOURCES:
                break
            self._places = np.append(self._places, reach * place[None], axis=0)
            self._flux, self._taken = np.append(self._flux, total), np.append(self._taken, 0.0)

    def _nearest(self, l: NDArray[np.float64], m: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
        """Source to which each component belongs; their number where it belongs to none."""
        if not len(self._places):
            return np.zeros(len(l), np.int64)
        points = np.stack([l, m], axis=-1)
        return np.asarray(cKDTree(self._places).query(points, distance_upper_bound=reach)[1])

    def indices(self, l: NDArray[np.float64], m: NDArray[np.float64], beam_rad: float) -> NDArray[np.float64]:
        """Spectral indices with which components were subtracted, shape (n,)."""
        own = TYPICAL_SPECTRAL_INDEX + self._taken / np.where(self._flux > 0, self._flux, np.inf)
        return np.append(own, TYPICAL_SPECTRAL_INDEX)[self._nearest(l, m, _REACH_BEAMS * beam_rad)]

    def measured(self) -> tuple[Spectrum, ...]:
        """The spectra of all sources that are bright enough in the end, and for the band that is left."""
        return tuple(
            Spectrum(
                *self._places[k],
                apparent_jy=self._flux[k],
                index=TYPICAL_SPECTRAL_INDEX + self._found[k] / self._flux[k],
                error=self.slope_error / self._flux[k],
            )
            for k in np.flatnonzero(self._flux >= max(self.least_jy, self.slope_error / _WORST_ERROR))
        )
