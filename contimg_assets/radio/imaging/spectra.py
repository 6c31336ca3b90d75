"""Spectral indices of bright sources, measured while CLEAN goes on.

A component is taken to have the typical spectrum.  A source whose own is another
leaves its difference in the visibilities: nothing on the average over the band,
where the image's peak is made, but sidelobes around it that no component takes
away.  Here that difference is measured towards each bright source and subtracted.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg_assets.radio.images.components import Points, offsets_from_centre, values_at
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.imaging.bright_points import gather
from contimg_assets.radio.imaging.engine import Slopes, Spectrum
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.phasors import advance_phasors, baseline_starts, start_phasors
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
#: Accuracy of the gridder for slopes, which are noise but for little.
_SLOPE_ACCURACY = 1e-2
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
    positions: NDArray[np.float64],
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Weighted sums, by integration, of ``value × log`` phased to each position, and of ``log²``."""
    n, n_positions = len(frequencies), len(positions)
    for t in numba.prange(len(sums)):
        state, correlated = np.empty((5, n_positions), np.float32), np.empty(n_positions, np.float32)
        real, imag, by_real, by_imag, smearing = state[0], state[1], state[2], state[3], state[4]
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            start_phasors(uvw[t * n + first], frequencies[first:end], positions, state)
            correlated[:] = 0
            squares = np.float32(0)
            for i in range(first, end):
                weighted = weights[t * n + i] * logs[i]
                squares += weighted * logs[i]
                along = weighted * values[t * n + i].real
                across = weighted * values[t * n + i].imag
                for k in range(n_positions):
                    correlated[k] += along * real[k] + across * imag[k]
                advance_phasors(real, imag, by_real, by_imag)
            for k in range(n_positions):
                sums[t, k] += smearing[k] * correlated[k]
                totals[t, k] += smearing[k] * smearing[k] * squares


@numba.njit(cache=True, parallel=True, fastmath=True)
def _subtract(
    values: NDArray[np.complex64],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    logs: NDArray[np.float32],
    positions: NDArray[np.float64],
    changes: NDArray[np.float64],
    n_times: int,
) -> None:
    """Take ``change × log`` of each position from the visibilities."""
    n, n_positions = len(frequencies), len(positions)
    for t in numba.prange(n_times):
        state = np.empty((5, n_positions), np.float32)
        real, imag, by_real, by_imag, smearing = state[0], state[1], state[2], state[3], state[4]
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            start_phasors(uvw[t * n + first], frequencies[first:end], positions, state)
            for k in range(n_positions):
                real[k] *= smearing[k] * changes[k]
                imag[k] *= smearing[k] * changes[k]
            for i in range(first, end):
                along, across = np.float32(0), np.float32(0)
                for k in range(n_positions):
                    along += real[k]
                    across += imag[k]
                values[t * n + i] -= complex(logs[i] * along, logs[i] * across)
                advance_phasors(real, imag, by_real, by_imag)


def _none() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True)
class SpectraModel:
    """The bright sources of one group and their spectra: a value, of which an earlier one may be kept."""

    positions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    """Direction cosines l and m, shape (n, 2)."""
    flux: NDArray[np.float64] = field(default_factory=_none)
    """Mean apparent flux densities, Jy, shape (n,)."""
    subtracted: NDArray[np.float64] = field(default_factory=_none)
    """What the model has besides the typical spectrum, Jy per unit of the logarithm of frequency."""
    measured: NDArray[np.float64] = field(default_factory=_none)
    """The same as measured: small changes are not subtracted."""

    def nearest(self, l: NDArray[np.float64], m: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
        """Source to which each component belongs; their number where it belongs to none."""
        if not len(self.positions):
            return np.zeros(len(l), np.int64)
        components = np.stack([l, m], axis=-1)
        return np.asarray(cKDTree(self.positions).query(components, distance_upper_bound=reach)[1])


@dataclass(frozen=True)
class Spectra:
    """How the spectra of one group's bright sources are measured."""

    data: StokesI
    weights: NDArray[np.float32]
    """Imaging weights, shape (n_visibilities,)."""
    noise_jy: float
    """Expected in the image."""
    least_jy: float
    """Fainter sources keep the typical spectrum."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return baseline_starts(self.data.frequencies_hz)

    @cached_property
    def _centred_logs(self) -> tuple[NDArray[np.float64], float]:
        """Logarithm of each slot's frequency less the weighted mean, and the weighted mean of its square.

        So what is subtracted has no mean over the band: the flux density of the image stays what it was.
        """
        frequencies = self.data.frequencies_hz
        logs = np.log(frequencies / frequencies.mean())
        by_slot = self.weights.reshape(self.data.n_times, -1).sum(axis=0, dtype=np.float64)
        logs -= np.average(logs, weights=by_slot)
        return logs, float(np.average(logs**2, weights=by_slot))

    @cached_property
    def _logs(self) -> NDArray[np.float32]:
        return self._centred_logs[0].astype(np.float32)

    @cached_property
    def slope_error(self) -> float:
        """Of what is measured towards any source, Jy per unit of the logarithm of frequency."""
        square = self._centred_logs[1]
        return float(self.noise_jy / np.sqrt(square)) if square > 0 else float("inf")

    def subtract(
        self,
        residuals: NDArray[np.complex64],
        known: SpectraModel,
        components: Points,
        beam_rad: float,
        peak_jy: float,
    ) -> SpectraModel:
        """Measure the spectra in residual visibilities, and subtract there what is new.

        Parameters
        ----------
        residuals : ndarray, complex64, shape (n_visibilities,)
            Data less the model so far; changed in place.
        known : SpectraModel
            What of the spectra is in the model so far.
        components : (ndarray, ndarray, ndarray), each of shape (n,)
            All of the model: l, m and mean apparent flux densities, Jy.
        beam_rad : float
            Major axis of the restoring beam.
        peak_jy : float
            Of the residual image, about: what others may have left.

        Returns
        -------
        SpectraModel
            What is in the model now.
        """
        if not np.isfinite(self.slope_error):
            return known
        model = self._gather(
            known, components, _REACH_BEAMS * beam_rad, max(self.least_jy, peak_jy / _OTHERS)
        )
        if not len(model.flux):
            return model
        positions = offsets_from_centre(*model.positions.T)
        sums, totals = np.zeros((2, self.data.n_times, len(positions)))
        geometry = (self.data.uvw, self.data.frequencies_hz, self._starts, self._logs)
        _slopes(residuals, self.weights, *geometry, positions, sums, totals)
        change = sums.sum(axis=0) / totals.sum(axis=0)
        changed = np.abs(change) > _LEAST_SIGMA * self.slope_error
        subtracted = model.subtracted.copy()
        if changed.any():
            subtracted[changed] += change[changed]
            _subtract(residuals, *geometry, positions[changed], change[changed], self.data.n_times)
        return replace(model, subtracted=subtracted, measured=model.subtracted + change)

    def _gather(self, known: SpectraModel, components: Points, reach: float, least: float) -> SpectraModel:
        """Sum components to sources; one that is known keeps its position."""
        l, m, flux = components
        nearest = known.nearest(l, m, reach)
        is_known = nearest < len(known.positions)
        positions, subtracted = known.positions, known.subtracted
        sums = np.bincount(nearest[is_known], flux[is_known], len(positions))
        free = ~is_known
        in_reach = np.stack([l[free], m[free]], axis=-1) / reach
        for _, total, position in gather(in_reach, flux[free], least):
            if len(positions) == _MOST_SOURCES:
                break
            positions = np.append(positions, reach * position[None], axis=0)
            sums, subtracted = np.append(sums, total), np.append(subtracted, 0.0)
        return replace(known, positions=positions, flux=sums, subtracted=subtracted)

    def indices(
        self, model: SpectraModel, l: NDArray[np.float64], m: NDArray[np.float64], beam_rad: float
    ) -> NDArray[np.float64]:
        """Spectral indices with which components were subtracted, shape (n,)."""
        own = TYPICAL_SPECTRAL_INDEX + model.subtracted / np.where(model.flux > 0, model.flux, np.inf)
        return np.append(own, TYPICAL_SPECTRAL_INDEX)[model.nearest(l, m, _REACH_BEAMS * beam_rad)]

    def left(
        self,
        residuals: NDArray[np.complex64],
        gridder: Gridder,
        l: NDArray[np.float64],
        m: NDArray[np.float64],
    ) -> Slopes | None:
        """What the residual visibilities have of spectra at places; None where there is no band.

        One more gridding, for all sources: light curves by colour are of every one that CLEAN has found.
        """
        if not np.isfinite(self.slope_error):
            return None
        image = gridder.slopes(residuals, np.tile(self._logs, self.data.n_times), _SLOPE_ACCURACY)
        return Slopes(values_at(image, l, m, gridder.grid), robust_rms(image))

    def measured(self, model: SpectraModel) -> tuple[Spectrum, ...]:
        """The spectra of all sources that are bright enough in the end, and for the band that is left."""
        return tuple(
            Spectrum(
                *model.positions[k],
                apparent_jy=model.flux[k],
                index=TYPICAL_SPECTRAL_INDEX + model.measured[k] / model.flux[k],
                error=self.slope_error / model.flux[k],
            )
            for k in np.flatnonzero(model.flux >= max(self.least_jy, self.slope_error / _WORST_ERROR))
        )
