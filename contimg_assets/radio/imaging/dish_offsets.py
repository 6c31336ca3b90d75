"""Where dishes point beside the array's mean, from the bright points of one image.

A dish that points elsewhere sees a source off the axis brighter or fainter than the mean of
all does, by the slope of its voltage beam there: on its own baselines the point that was
subtracted is wrong by that.  What is left in the residual visibilities is linear in
the offsets of two dishes, so all are fitted together, with a gain each, from sources on
all sides; and what they explain is subtracted, as far as it is significant.

The mean over the array is in the flux densities of the points, so what is found is relative
to it.

Belongs here: the fit, and the subtraction.  Does not belong here: offsets from a calibrator's
transit, which tell the mean too (``calibration/transit_beams.py``).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.images.components import Points, join, offsets_from_centre
from contimg_assets.radio.imaging.beam_image import power_towards
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.phasors import (
    advance_phasors,
    baseline_starts,
    start_phasors,
    time_smearing,
)
from contimg_assets.radio.imaging.smearing import tracking

#: Points of this many times the noise tell offsets, the brightest of them at most, if …
_LEAST_SIGMA, _MOST_POINTS = 50.0, 24
#: … one is this bright: an error of 3 % of it on an antenna's baselines is a tenth of the noise.
_BRIGHTEST_SIGMA = 100.0
#: If one has this many times the noise, offsets are fitted anew as other sources leave the residuals: around
#: a calibrator of 40 000 three false sources of 10 σ came out without it, around one of 7 000 none.
_ANEW_SIGMA = 10_000.0
#: Nearer to a null nobody knows the slope of a beam.
_LEAST_POWER = 0.1
#: What is believed beforehand, rms: of a gain's amplitude, and of an offset, deg.
_PRIOR = (0.1, 0.3, 0.3)
#: A spread of offsets is real that is over what errors make by this many times its own error, …
_REAL = 3.0
#: … and offsets are told whose median error is below this, deg.
_WORST_ERROR_DEG = 0.1
#: Step of the numerical slopes of the beam, deg.
_STEP_DEG = 0.01
#: Parameters of a dish: gain, east, north.
_N = 3


@numba.njit(cache=True, parallel=True, fastmath=True)
def _normal(
    residuals: NDArray[np.complex64],
    weights: NDArray[np.float32],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    lower: NDArray[np.int32],
    fraction: NDArray[np.float32],
    turning: NDArray[np.float64],
    positions: NDArray[np.float64],
    shares: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Sums by integration and baseline of the equations for gain, east and north.

    ``shares`` has flux densities by integration and bin, then times the slopes. The columns of ``sums``:
    00, 01, 02, 11, 12, 22 of the normal matrix; three of the right-hand side.
    """
    n, n_positions = len(frequencies), len(positions)
    for t in numba.prange(len(sums)):
        state = np.empty((5, n_positions), np.float32)
        real, imag, by_real, by_imag, loss = state[0], state[1], state[2], state[3], state[4]
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            start_phasors(uvw[t * n + first], frequencies[first:end], positions, state)
            for k in range(n_positions):
                loss[k] *= time_smearing(uvw[t * n + (first + end) // 2], positions[k], turning[t])
            for i in range(first, end):
                low, part, weight = lower[i], fraction[i], weights[t * n + i]
                a0, a1, a2 = np.float32(0), np.float32(0), np.float32(0)
                b0, b1, b2 = np.float32(0), np.float32(0), np.float32(0)
                for k in range(n_positions):
                    x, y = loss[k] * real[k], loss[k] * imag[k]
                    s0 = shares[0, t, low, k] + part * (shares[0, t, low + 1, k] - shares[0, t, low, k])
                    s1 = shares[1, t, low, k] + part * (shares[1, t, low + 1, k] - shares[1, t, low, k])
                    s2 = shares[2, t, low, k] + part * (shares[2, t, low + 1, k] - shares[2, t, low, k])
                    a0 += s0 * x
                    b0 += s0 * y
                    a1 += s1 * x
                    b1 += s1 * y
                    a2 += s2 * x
                    b2 += s2 * y
                rest = residuals[t * n + i]
                sums[t, b, 0] += weight * (a0 * a0 + b0 * b0)
                sums[t, b, 1] += weight * (a0 * a1 + b0 * b1)
                sums[t, b, 2] += weight * (a0 * a2 + b0 * b2)
                sums[t, b, 3] += weight * (a1 * a1 + b1 * b1)
                sums[t, b, 4] += weight * (a1 * a2 + b1 * b2)
                sums[t, b, 5] += weight * (a2 * a2 + b2 * b2)
                sums[t, b, 6] += weight * (a0 * rest.real + b0 * rest.imag)
                sums[t, b, 7] += weight * (a1 * rest.real + b1 * rest.imag)
                sums[t, b, 8] += weight * (a2 * rest.real + b2 * rest.imag)
                advance_phasors(real, imag, by_real, by_imag)


@numba.njit(cache=True, parallel=True, fastmath=True)
def _add(
    visibilities: NDArray[np.complex64],
    uvw: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    starts: NDArray[np.int64],
    lower: NDArray[np.int32],
    fraction: NDArray[np.float32],
    turning: NDArray[np.float64],
    positions: NDArray[np.float64],
    shares: NDArray[np.float32],
    offsets: NDArray[np.float32],
    sign: float,
) -> None:
    """Add, or take away, what offsets make of points; ``shares`` has flux densities, then bare slopes."""
    n, n_positions = len(frequencies), len(positions)
    for t in numba.prange(shares.shape[1]):
        state = np.empty((5, n_positions), np.float32)
        real, imag, by_real, by_imag, loss = state[0], state[1], state[2], state[3], state[4]
        changes = np.empty((shares.shape[2], n_positions), np.float32)
        for b in range(len(starts) - 1):
            first, end = starts[b], starts[b + 1]
            start_phasors(uvw[t * n + first], frequencies[first:end], positions, state)
            gain, east, north = offsets[b]
            for k in range(n_positions):
                loss[k] *= time_smearing(uvw[t * n + (first + end) // 2], positions[k], turning[t])
            for low in range(lower[first], lower[end - 1] + 2):
                for k in range(n_positions):
                    # The logarithm of a beam is near enough a parabola: its change by an offset a line.
                    rise = np.expm1(gain + east * shares[1, t, low, k] + north * shares[2, t, low, k])
                    changes[low, k] = sign * loss[k] * shares[0, t, low, k] * rise
            for i in range(first, end):
                low, part = lower[i], fraction[i]
                total_real, total_imag = np.float32(0), np.float32(0)
                for k in range(n_positions):
                    change = changes[low, k] + part * (changes[low + 1, k] - changes[low, k])
                    total_real += change * real[k]
                    total_imag += change * imag[k]
                visibilities[t * n + i] += complex(total_real, total_imag)
                advance_phasors(real, imag, by_real, by_imag)


def _no_offsets() -> NDArray[np.float64]:
    return np.zeros((0, _N))


@dataclass(frozen=True)
class OffsetModel:
    """What of dishes' offsets is subtracted: a value, of which an earlier one may be kept."""

    points: Points = field(default_factory=join)
    """The points that tell them."""
    used: NDArray[np.float64] = field(default_factory=_no_offsets)
    """Relative gain, east and north (deg) of each antenna with data; none where nothing is subtracted."""
    found: NDArray[np.float64] = field(default_factory=_no_offsets)
    """As fitted, less their mean."""
    errors: NDArray[np.float64] = field(default_factory=_no_offsets)


@dataclass(frozen=True)
class DishOffsets:
    """How the offsets of one group's dishes are measured."""

    drift: Drift
    is_used: NDArray[np.bool_]
    """Cross-correlations of which there are visibilities."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return baseline_starts(self.drift.data.frequencies_hz)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """Both antennas of each baseline as indices of ``shape.antennas``, shape (2, n_baselines)."""
        shape = self.drift.shape
        both = np.stack([shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]])[:, self.is_used]
        return np.searchsorted(shape.antennas, both)

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        """Inverse variances: no image's weights, which count a crowded part of the plane for less."""
        shape = self.drift.shape
        sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
        return np.where(self.drift.weights.values > 0, self.drift.data.counts / sigma**2, 0).astype(
            np.float32
        )

    def subtract(self, residuals: NDArray[np.complex64], known: OffsetModel, points: Points) -> OffsetModel:
        """Measure offsets in residual visibilities, and subtract there what they explain.

        Parameters
        ----------
        residuals : ndarray, complex64, shape (n_visibilities,)
            Data less the model so far; changed in place.
        known : OffsetModel
            What of offsets is in the model so far.
        points : Points
            Bright points of the model.

        Returns
        -------
        OffsetModel
            What is in the model now.
        """
        chosen = self._choose(points)
        if len(chosen[0]) and all(map(np.array_equal, chosen, known.points)) and self._is_told(chosen):
            return known
        if len(known.used):
            self._add(residuals, known, 1.0)
        # Visibilities of another selection of baselines are nobody's.
        if not len(chosen[0]) or len(self._starts) - 1 != self._ends.shape[1]:
            return OffsetModel()
        shares = self._shares(chosen)
        shares[1:] *= shares[0]
        sums = np.zeros((self.drift.data.n_times, len(self._starts) - 1, 9))
        geometry = self._geometry(chosen)
        _normal(residuals, self._weights, *geometry, shares, sums)
        model = replace(self._solve(sums.sum(axis=0)), points=chosen)
        if len(model.used):
            self._add(residuals, model, -1.0)
        return model

    def _choose(self, points: Points) -> Points:
        """The brightest points, where the slope of the beam is known; none where none is bright."""
        l, m, flux = points
        noise = self.drift.weights.expected_noise_jy
        bright = np.flatnonzero(flux >= _LEAST_SIGMA * noise)
        if not len(bright) or flux.max() < _BRIGHTEST_SIGMA * noise:
            return join()
        bright = bright[np.argsort(-flux[bright])[:_MOST_POINTS]]
        power = self._power(l[bright], m[bright], 0.0, 0.0).min(axis=(0, 2))
        bright = bright[power > _LEAST_POWER]
        return l[bright], m[bright], flux[bright]

    def _is_told(self, points: Points) -> bool:
        """Whether a fit to points is good enough, whatever other sources were in the residuals."""
        return float(points[2].max()) < _ANEW_SIGMA * self.drift.weights.expected_noise_jy

    def _power(
        self, l: NDArray[np.float64], m: NDArray[np.float64], east: float, north: float
    ) -> NDArray[np.float64]:
        """Beam of a dish that points that far beside the mean, deg, shape (n_times, n, n_bins)."""
        shape = self.drift.shape
        beam = replace(
            shape.beam, east_deg=shape.beam.east_deg + east, north_deg=shape.beam.north_deg + north
        )
        local = np.stack([l, m, np.sqrt(1.0 - l * l - m * m)], axis=-1)
        return power_towards(replace(shape, beam=beam), local, self.drift.weights.bin_frequencies_hz)

    def _shares(self, points: Points) -> NDArray[np.float32]:
        """Flux densities of points and slopes of the logarithm of the voltage beam, 1/deg.

        Shape (3, n_times, n_bins, n): flux density, by an offset east, by one north.
        """
        l, m, flux = points
        relative = self.drift.relative_response(l, m) / self.drift.smearing(l, m)[:, None, None]
        rows = [(relative * flux[:, None, None]).transpose(1, 2, 0)]
        for east, north in ((_STEP_DEG, 0.0), (0.0, _STEP_DEG)):
            rise = np.log(self._power(l, m, east, north) / self._power(l, m, -east, -north))
            rows.append((rise / (4 * _STEP_DEG)).transpose(0, 2, 1))
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _geometry(
        self, points: Points
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.int32],
        NDArray[np.float32],
        NDArray[np.float64],
        NDArray[np.float64],
    ]:
        drift = self.drift
        positions = offsets_from_centre(*points[:2])
        return (
            drift.data.uvw,
            drift.data.frequencies_hz,
            self._starts,
            *drift.bins,
            tracking(drift.shape),
            positions,
        )

    def _add(self, visibilities: NDArray[np.complex64], model: OffsetModel, sign: float) -> None:
        geometry = self._geometry(model.points)
        of_both = model.used[self._ends].sum(axis=0).astype(np.float32)
        shares = self._shares(model.points)
        _add(visibilities, *geometry, shares, of_both, sign)

    def _solve(self, sums: NDArray[np.float64]) -> OffsetModel:
        """All dishes together; what two of them make of a baseline is their sum."""
        n = len(self.drift.shape.antennas)
        normal, right = np.zeros((n, _N, n, _N)), np.zeros((n, _N))
        rows, columns = np.triu_indices(_N)
        for b, (one, two) in enumerate(self._ends.T):
            block = np.zeros((_N, _N))
            block[rows, columns] = block[columns, rows] = sums[b, :6]
            for i in (one, two):
                right[i] += sums[b, 6:]
                for j in (one, two):
                    normal[i, :, j] += block
        matrix = normal.reshape(n * _N, n * _N)
        seen = np.diag(matrix).reshape(n, _N).min(axis=1) > 0
        matrix[np.diag_indices_from(matrix)] += np.tile(1 / np.square(_PRIOR), n)
        inverse = np.linalg.inv(matrix)
        found = (inverse @ right.reshape(-1)).reshape(n, _N)
        errors = np.sqrt(np.diag(inverse)).reshape(n, _N)
        if not seen.any() or np.median(errors[seen, 1:]) > _WORST_ERROR_DEG:
            return OffsetModel()
        found = np.where(seen[:, None], found - found[seen].mean(axis=0), 0.0)
        errors[~seen] = np.inf
        used = np.stack([_real(found[:, k], errors[:, k]) for k in range(_N)], axis=-1)
        return OffsetModel(used=used if used.any() else _no_offsets(), found=found, errors=errors)

    def as_columns(self, model: OffsetModel) -> dict[str, list[Any]]:
        """Antennas that were seen, by name, and their offsets from the array's mean with errors, deg.

        Columns, to 1e-5: every image keeps them.
        """
        seen = np.flatnonzero(np.isfinite(model.errors).all(axis=1))
        if not len(seen):
            return {}
        shape = self.drift.shape
        values = np.stack([model.found, model.errors], axis=-1)[seen, 1:].reshape(len(seen), -1)
        names = ("east_deg", "east_error_deg", "north_deg", "north_error_deg")
        return {
            "antennas": [shape.antenna_names[shape.antennas[n]] for n in seen],
            **dict(zip(names, np.round(values, 5).T.tolist(), strict=True)),
        }


def _real(found: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of the values is no noise: each drawn to zero by its error, and all are zero if none is real."""
    known = np.isfinite(errors)
    noise = errors[known] ** 2
    excess = float(np.mean(found[known] ** 2) - np.mean(noise))
    if excess < _REAL * float(np.sqrt(2 * np.mean(noise**2) / np.count_nonzero(known))):
        return np.zeros(len(found))
    return np.where(known, found * excess / (excess + np.where(known, errors, 1.0) ** 2), 0.0)
