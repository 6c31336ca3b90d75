"""Where each dish points and how wide its beam is, from a calibrator's transit.

A calibrator drifts through the beams, and each antenna's amplitude follows its own voltage
beam: one that points east of the others sees it earlier. The sums of the scan against its
model have that by integration and subband, so no data are read again.

What a transit tells is the offset along hour angle, and the width along it. An offset across
is, to first order, a constant amplitude, which is the gain's (and the bandpass's, as the
beam's width goes with frequency). A gain that drifts during the scan looks like an offset;
but it is the same all over the band, which a beam is not. So a random walk of each gain, as
large as the residuals show, is in the covariance of the fit, and in the errors.

Belongs here: the fit, and what it means for gains. Does not belong here: offsets from the
sources of an image (``imaging/dish_offsets.py``).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import Source

#: Integrations at least: an offset and a width cannot be told from a walk by fewer.
_LEAST_TIMES = 6
#: What is not known of the beam's form (its fourth power, feeds, the model of the field), deg and
#: relative: errors of the array's mean, which has no noise to speak of, are not less.
_LEAST_ERROR_DEG, _LEAST_WIDTH_ERROR = 0.002, 0.002
#: The array's offset and width are used from this many errors on.
USED_SIGMA = 3.0
#: Steps of numerical derivatives, and Gauss–Newton's.
_STEP_DEG, _STEP_WIDTH, _ITERATIONS = 0.01, 0.005, 3
#: Parts of the band in which amplitudes are measured: a beam's width goes with frequency, a gain's drift not.
_PARTS = 4
#: Added to normal equations, relative: pairs of antennas alone do not determine a sum's two parts.
_RIDGE = 1e-9
#: Of a constant that nobody knows.
_UNKNOWN = 10.0
#: Antennas that differ from the median by this many robust deviations, in width or offset, are not
#: in the array's mean.
_STRAY = 6.0
#: An antenna whose error is larger than this says nothing, deg.
_WORST_ERROR_DEG = 0.3
#: Where the model's beam is below this the calibrator is no good for beams.
_LEAST_POWER = 0.1
#: Of a power whose logarithm is taken.
_LOWEST = 1e-12


@dataclass(frozen=True)
class DishBeam:
    """A dish's beam along hour angle, or the mean of all."""

    east_deg: float
    """Where it points, east of the meridian point."""
    east_error_deg: float
    width: float
    """Over the pattern's."""
    width_error: float
    walk: float
    """What is left of its gain's amplitude: rms of its change in an integration."""

    def significant(self, array: Beam) -> tuple[float, float]:
        """Its offset and width where they are significantly others than the array's, else the array's."""
        east = abs(self.east_deg - array.east_deg) > USED_SIGMA * self.east_error_deg
        width = abs(self.width - array.width) > USED_SIGMA * self.width_error
        return self.east_deg if east else array.east_deg, self.width if width else array.width

    def as_json(self) -> dict[str, float]:
        """As the sidecar has it."""
        return {
            "east_deg": self.east_deg,
            "east_error_deg": self.east_error_deg,
            "width": self.width,
            "width_error": self.width_error,
            "walk": self.walk,
        }


@dataclass(frozen=True)
class TransitBeams:
    """What one transit tells."""

    dishes: dict[str, DishBeam]
    """By antenna name; antennas without data, or in a scan too short, are left out."""
    array: DishBeam | None
    """Of the mean over the dishes."""
    squint_deg: float | None
    """How far XX points east of YY, mean over the array."""
    beam: Beam
    """The one to use: that of the model, moved and widened as far as that is significant."""

    @property
    def numbers(self) -> dict[str, float]:
        """Numbers of the set."""
        if self.array is None:
            return {}
        east = [dish.east_deg for dish in self.dishes.values()]
        found = {
            "beam_width": self.array.width,
            "beam_width_error": self.array.width_error,
            "beam_east_deg": self.array.east_deg,
            "beam_east_error_deg": self.array.east_error_deg,
            "pointing_east_rms_deg": float(np.std(east)),
        }
        return found if self.squint_deg is None else {**found, "beam_squint_deg": self.squint_deg}

    def as_json(self) -> dict[str, Any]:
        """As the sidecar has it."""
        return {
            "used": self.beam.as_json(),
            "array": None if self.array is None else self.array.as_json(),
            "squint_deg": self.squint_deg,
            "dishes": {name: dish.as_json() for name, dish in self.dishes.items()},
        }


@dataclass(frozen=True)
class Track:
    """The calibrator's way through the beam."""

    directions: NDArray[np.float64]
    """Meridian frame, shape (n_times, 3)."""
    declination_rad: float
    frequencies_hz: NDArray[np.float64]
    """Of the parts of the band."""
    model: Beam
    """With which the scan was summed."""

    @classmethod
    def of(cls, shape: GroupShape, calibrator: Source) -> "Track":
        """Of a scan."""
        where = phasing.apparent_vectors(
            shape.times_jd, np.deg2rad(calibrator.ra_deg), np.deg2rad(calibrator.dec_deg)
        )[:, 0]
        middles = shape.frequencies_hz.reshape(_PARTS, -1).mean(axis=1)
        return cls(where, shape.declination_rad, middles, shape.beam)

    def log_voltage(self, east_deg: float, width: float) -> NDArray[np.float64]:
        """Logarithm of the voltage beam, less the model's, shape (n_times, n_parts)."""
        power = self._power(replace(self.model, east_deg=east_deg, width=width))
        return 0.5 * np.log(np.maximum(power, _LOWEST) / np.maximum(self._of_model, _LOWEST))

    def _power(self, beam: Beam) -> NDArray[np.float64]:
        return beam.drifting_power(self.directions, self.declination_rad, self.frequencies_hz)

    @cached_property
    def _of_model(self) -> NDArray[np.float64]:
        return self._power(self.model)

    @property
    def usable(self) -> bool:
        """Whether the calibrator is in the main lobe all the time."""
        return len(self.directions) >= _LEAST_TIMES and float(self._of_model.min()) > _LEAST_POWER


def transit_beams(shape: GroupShape, sums: ScanSums, calibrator: Source) -> TransitBeams:
    """Measure the beams of all dishes.

    Parameters
    ----------
    shape : GroupShape
        With the beam of the model.
    sums : ScanSums
        Of the scan against that model.
    calibrator : Source
        Which drifts.
    """
    track = Track.of(shape, calibrator)
    nothing = TransitBeams({}, None, None, shape.beam)
    if not track.usable:
        return nothing
    feeds, errors = antenna_amplitudes(shape, sums)
    known = np.isfinite(errors)
    weights = np.where(known, 1 / np.where(known, errors, 1.0) ** 2, 0.0)
    both = _mean(feeds, weights, axis=-1), weights.sum(axis=-1)
    dishes = _each(track, shape, *both)
    if len(dishes) < 2:
        return replace(nothing, dishes=dishes)
    fair = _without_strays(dishes)
    of = [n for n, a in enumerate(shape.antennas) if shape.antenna_names[a] in fair]
    # Every dish counts the same: a loud one is no larger part of the array's beam.
    alike = (both[1][:, :, of] > 0).astype(np.float64)
    noise = alike.sum(axis=2) ** 2 / np.maximum(
        np.where(alike > 0, 1 / np.where(alike > 0, both[1][:, :, of], 1.0), 0.0).sum(axis=2), 1e-300
    )
    array = _fit(track, _mean(both[0][:, :, of], alike, axis=-1), noise)
    if array is None:
        return replace(nothing, dishes=dishes)
    array = replace(
        array,
        east_error_deg=float(np.hypot(array.east_error_deg, _LEAST_ERROR_DEG)),
        width_error=float(np.hypot(array.width_error, _LEAST_WIDTH_ERROR)),
    )
    return TransitBeams(dishes, array, _squint(track, feeds, weights, of), _used(track.model, array))


def _each(
    track: Track, shape: GroupShape, change: NDArray[np.float64], weight: NDArray[np.float64]
) -> dict[str, DishBeam]:
    """Every dish by itself; those of which the scan says something."""
    found = {
        n: dish
        for n in range(len(shape.antennas))
        if (dish := _fit(track, change[:, :, n], weight[:, :, n])) is not None
    }
    # A walk is known from few steps: nobody's is taken to be less than the usual one.
    usual = float(np.median([dish.walk for dish in found.values()])) if found else 0.0
    for n, dish in found.items():
        if dish.walk < usual:
            found[n] = _fit(track, change[:, :, n], weight[:, :, n], usual) or dish
    return {
        shape.antenna_names[shape.antennas[n]]: dish
        for n, dish in found.items()
        if dish.east_error_deg < _WORST_ERROR_DEG
    }


def _used(model: Beam, array: DishBeam) -> Beam:
    """The model's pattern, with what is significantly another than the pattern's own."""
    width = array.width if abs(array.width - 1) > USED_SIGMA * array.width_error else ASSUMED.width
    east = array.east_deg if abs(array.east_deg) > USED_SIGMA * array.east_error_deg else ASSUMED.east_deg
    return replace(model, width=width, east_deg=east)


def antenna_amplitudes(shape: GroupShape, sums: ScanSums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How each antenna's gain changes through a scan: relative amplitude about its mean.

    With one phase and amplitude of each baseline and subband for the whole scan, what is left is the sum
    of two antennas' changes, to first order: linear equations in each integration, part of the band and feed.

    Returns
    -------
    change, error : ndarray, shape (n_times, _PARTS, n_antennas, 2)
        NaN without data.
    """
    hands = [0, shape.n_polarisations - 1]
    product, square = sums.by_time[..., hands], sums.model_by_time[..., hands].astype(np.float64)
    total = square.sum(axis=0)
    mean = np.divide(product.sum(axis=0), total, where=total > 0, out=np.zeros(total.shape, complex))
    variance = _variance(sums, hands)
    known = np.isfinite(variance) & (variance > 0)
    each = np.divide(1.0, variance, where=known, out=np.zeros(variance.shape))
    # Σ Re(V M* / mean) is Σ|M|² times 1 and both antennas' changes.
    weight = square * np.abs(mean) ** 2 * each
    left = np.real(product * np.conj(mean)) * each - weight
    weight, left = (a.reshape(len(a), _PARTS, -1, *a.shape[2:]).sum(axis=2) for a in (weight, left))
    ids = np.searchsorted(shape.antennas, [shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]])
    n_antennas = len(shape.antennas)
    change, error = np.full((2, *left.shape[:2], n_antennas, 2), np.nan)
    for t, part, p in np.ndindex(len(left), _PARTS, 2):
        normal, right = np.zeros((n_antennas, n_antennas)), np.zeros(n_antennas)
        normal[ids[0], ids[1]] = normal[ids[1], ids[0]] = weight[t, part, :, p]
        np.fill_diagonal(normal, normal.sum(axis=0))
        for end in ids:
            right += np.bincount(end, left[t, part, :, p], n_antennas)
        live = np.flatnonzero(np.diag(normal) > 0)
        # A triangle tells three antennas apart; two are one number.
        if len(live) > 2:
            ridge = _RIDGE * np.diag(np.diag(normal)[live])
            inverse = np.linalg.inv(normal[np.ix_(live, live)] + ridge)
            change[t, part, live, p] = inverse @ right[live]
            error[t, part, live, p] = np.sqrt(np.diag(inverse))
    return change, error


def _variance(sums: ScanSums, hands: list[int]) -> NDArray[np.float64]:
    """Noise of a baseline's visibilities, from what its scan has beside the mean, shape (n_cross, 2)."""
    left, number = np.zeros((2, sums.power.shape[1], 2))
    for k in range(len(sums.intervals)):
        product, model, power, count = (
            a[k][..., hands] for a in (sums.product, sums.model, sums.power, sums.count)
        )
        some = model > 0
        explained = np.divide(np.abs(product) ** 2, model, where=some, out=np.zeros(model.shape, np.float32))
        left += (power - explained).sum(axis=1)
        # The mean takes one of them.
        number += np.maximum(count - 1, 0).sum(axis=1)
    return np.divide(left, 2 * number, where=number > 0, out=np.full(left.shape, np.nan))


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    total = weights.sum(axis=axis)
    summed = (np.where(weights > 0, values, 0.0) * weights).sum(axis=axis)
    return np.divide(summed, total, where=total > 0, out=np.full(total.shape, np.nan))


def _fit(
    track: Track, change: NDArray[np.float64], weight: NDArray[np.float64], least_walk: float = 0.0
) -> DishBeam | None:
    """Offset and width by generalised least squares, shape (n_times, n_parts) in both."""
    good = (weight > 0) & np.isfinite(change)
    if np.count_nonzero(good.any(axis=1)) < _LEAST_TIMES:
        return None
    times, parts = np.nonzero(good)
    logs = np.log1p(np.maximum(np.where(good, change, 0.0), -0.9))
    noise = np.diag(1 / weight[good])
    # One constant of each part of the band, which is the bandpass's.
    fixed = noise + _UNKNOWN**2 * (parts[:, None] == parts)
    walk = least_walk
    parameters = np.array([track.model.east_deg, track.model.width])
    covariance = np.zeros((2, 2))
    for _ in range(_ITERATIONS):
        together = fixed + walk**2 * (1 + np.minimum(times[:, None], times))
        middle = track.log_voltage(*parameters)
        slopes = np.stack(
            [
                (track.log_voltage(*(parameters + step)) - track.log_voltage(*(parameters - step)))[good]
                / (2 * step.sum())
                for step in (np.array([_STEP_DEG, 0.0]), np.array([0.0, _STEP_WIDTH]))
            ],
            axis=-1,
        )
        left = (logs - middle)[good]
        weighted = np.linalg.solve(together, np.column_stack([slopes, left]))
        covariance = np.linalg.inv(slopes.T @ weighted[:, :2])
        step = covariance @ (slopes.T @ weighted[:, 2])
        parameters = parameters + step
        parameters[1] = np.clip(parameters[1], 0.5, 2.0)
        rest = np.where(good, logs - track.log_voltage(*parameters), 0.0)
        walk = max(least_walk, _walk(rest, np.where(good, weight, 0.0)))
    return DishBeam(
        float(parameters[0]),
        float(np.sqrt(covariance[0, 0])),
        float(parameters[1]),
        float(np.sqrt(covariance[1, 1])),
        walk,
    )


def _walk(left: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Rms of a residual's change in an integration beyond its noise."""
    constants = (left * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
    total = weight.sum(axis=1)
    seen = total > 0
    by_time = ((left - constants) * weight).sum(axis=1)[seen] / total[seen]
    steps = np.diff(by_time)
    noise = 1 / total[seen]
    excess = np.mean(steps**2 - noise[1:] - noise[:-1])
    # Below its own scatter it is none.
    scatter = np.mean(noise) * np.sqrt(6.0 / len(steps)) * 2
    return float(np.sqrt(excess)) if excess > scatter else 0.0


def _without_strays(dishes: dict[str, DishBeam]) -> set[str]:
    """Dishes that are like the others."""
    values = np.array([[dish.east_deg, dish.width] for dish in dishes.values()])
    errors = np.array([[dish.east_error_deg, dish.width_error] for dish in dishes.values()])
    away = np.abs(values - np.median(values, axis=0))
    spread = np.maximum(1.4826 * np.median(away, axis=0), np.median(errors, axis=0))
    near = np.max(away / spread, axis=1) < _STRAY
    return {name for name, k in zip(dishes, near.tolist(), strict=True) if k}


def _squint(
    track: Track, feeds: NDArray[np.float64], weights: NDArray[np.float64], of: list[int]
) -> float | None:
    """How far XX points east of YY."""
    found = [
        _fit(
            track, _mean(feeds[:, :, of, p], weights[:, :, of, p], axis=-1), weights[:, :, of, p].sum(axis=-1)
        )
        for p in (0, 1)
    ]
    if found[0] is None or found[1] is None:
        return None
    return found[0].east_deg - found[1].east_deg
