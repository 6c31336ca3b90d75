"""Subbands that do not see the sky that their neighbours see.

A correlator node that is an integration late, or that has its channels in disorder, writes data whose power,
noise and interference are ordinary.  But what it has of the sky is another subband's no more.  So
calibrated means of each subband are multiplied with those of its neighbours, baseline by baseline and time by
time, and summed: the sky's own correlation, which no single source has to carry.  The same is done as if the
subband were an integration or two late or early: data of another time, phased for it.

Lags are those at which all agree best, and most subbands have none.  One that agrees less than half as well
as those around it, beyond chance, is not used.  Where the sky has too little in common for that to be seen,
nothing is said.

Belongs here: that comparison.  Does not belong here: the means (``radio/flagging/subband_means.py``).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.caltables.jones import Jones
from contimg_assets.radio.flagging.subband_means import SubbandMeans
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.robust import mad_sigma

#: Integrations by which a subband may be late, or early, beside another.
_MOST_LATE = 2
_LAGS = tuple(range(-_MOST_LATE, _MOST_LATE + 1))
#: Neighbours on each side that a subband is held against.
_BESIDE = 2
#: What is usual is the median of so many subbands on each side.
_AROUND = 3
#: Parts of the usual agreement: a subband with less is wrong; one with more at a lag is late.
_WRONG, _LATE = 0.5, 0.6
#: The usual agreement, and what is missing of it, are so many times what chance makes.
_SIGMA = 10.0
#: Of one that fits at no time, what is missing is so many times the scatter of the other subbands.
_SCATTER = 5.0
#: Less than this part of the power in common tells nothing: the Sun in a sidelobe would do as much.
_LEAST_COMMON = 0.01


@dataclass(frozen=True)
class WrongSubband:
    """One that is not to be used."""

    subband: int
    """The telescope's number: 0 is the highest in frequency."""
    late_by: int | None
    """Integrations, negative for early; None: it fits at no time."""
    agreement: float
    """With its neighbours, over the usual one."""
    sigma: float
    """By how many times what chance makes it is below the usual one."""

    def channels(self, n_channels: int) -> slice:
        """Its channels in a group of so many, frequencies rising."""
        width = n_channels // telescope.N_SUBBANDS
        first = (telescope.N_SUBBANDS - 1 - self.subband) * width
        return slice(first, first + width)

    def told(self) -> dict[str, Any]:
        """Plain values, with a line that says it."""
        return {**asdict(self), "reason": self.reason}

    @property
    def reason(self) -> str:
        """What is wrong with it, in words."""
        if self.late_by is None:
            what = "sees another sky than the subbands beside it"
        else:
            many = f"{abs(self.late_by)} integration{'s' if abs(self.late_by) > 1 else ''}"
            what = f"is {many} {'late' if self.late_by > 0 else 'early'}"
        return f"sb{self.subband:02d} {what} ({self.sigma:.0f} sigma)"


def wrong_subbands(shape: GroupShape, means: SubbandMeans, jones: Jones) -> list[WrongSubband]:
    """Find the subbands whose data are of another sky than their neighbours'.

    Parameters
    ----------
    shape : GroupShape
    means : SubbandMeans
        Of the group, not calibrated.
    jones : Jones
        The solutions for it.

    Returns
    -------
    list of WrongSubband
        The worst first.
    """
    seen = _Seen.of(shape, means, jones)
    places = np.flatnonzero(seen.there.any(axis=(0, 1, 3)))
    fewest = len(places) // 2
    found: list[WrongSubband] = []
    # One that fits nowhere spoils the agreement of those beside it: the worst goes first.
    while len(places) > fewest:
        late, nowhere = _judged(seen, places)
        if nowhere is None:
            return found + late
        found.append(nowhere)
        places = places[places != telescope.N_SUBBANDS - 1 - nowhere.subband]
    return found


@dataclass(frozen=True)
class _Seen:
    """Calibrated means by time, baseline, subband and feed; the mean power of each baseline is one."""

    values: NDArray[np.complex64]
    there: NDArray[np.bool_]
    w_m: NDArray[np.float64]
    """Of each baseline at each time, shape (n_times, n_baselines)."""
    frequencies_hz: NDArray[np.float64]
    """Of the subbands."""

    @classmethod
    def of(cls, shape: GroupShape, means: SubbandMeans, jones: Jones) -> "_Seen":
        """Calibrate means: by the gain of a subband's middle, as far as phases go."""
        one, two = shape.antenna_1[means.baselines], shape.antenna_2[means.baselines]
        size = (len(shape.antenna_names), telescope.N_SUBBANDS, -1, 2)
        factors = [gain.reshape(size).mean(axis=2) for gain in jones.inverse]
        values = means.values.copy()
        for t, which in enumerate(jones.solution):
            factor = factors[which][one] * factors[which][two].conj()
            values[t] *= factor[..., : values.shape[3]]
        there = values != 0
        n = np.maximum(there.sum(axis=(0, 2), keepdims=True), 1)
        power = (values.real**2 + values.imag**2).sum(axis=(0, 2), keepdims=True) / n
        values /= np.sqrt(np.where(power > 0, power, 1)).astype(np.float32)
        positions = phasing.to_meridian_frame(shape.antenna_positions)
        frequencies = shape.frequencies_hz.reshape(telescope.N_SUBBANDS, -1).mean(axis=1)
        w_m = np.einsum("ti,bi->tb", shape.axes()[:, 2], positions[two] - positions[one])
        return cls(values, there, w_m, frequencies)

    def at_lag(self, subband: int, lag: int) -> NDArray[np.complex64]:
        """What a subband would have at each time if it were late by so many integrations."""
        values = self.values[:, :, subband]
        n, out = len(values), np.zeros_like(values)
        if abs(lag) >= n:
            return out
        now, then = slice(max(0, -lag), n - max(0, lag)), slice(max(0, lag), n - max(0, -lag))
        # It was phased for the time that its files tell.
        turns = (self.w_m[then] - self.w_m[now]) * (self.frequencies_hz[subband] / SPEED_OF_LIGHT)
        out[now] = values[then] * np.exp(2j * np.pi * turns)[..., None]
        return out


@dataclass(frozen=True)
class _Pairs:
    """Sums of products of subbands, in order of frequency, with those that follow."""

    total: NDArray[np.float64]
    """[subband, how many places further on, less one, lag of the first beside the other]."""
    count: NDArray[np.int64]

    @classmethod
    def of(cls, seen: _Seen, places: NDArray[np.int64]) -> "_Pairs":
        """Multiply the subbands that are used."""
        size = (len(places), _BESIDE, len(_LAGS))
        total, count = np.zeros(size), np.zeros(size, np.int64)
        for i, place in enumerate(places):
            moved = [seen.at_lag(int(place), lag) for lag in _LAGS]
            for j, other in enumerate(places[i + 1 : i + 1 + _BESIDE]):
                theirs = np.ascontiguousarray(seen.values[:, :, other])
                for k, mine in enumerate(moved):
                    total[i, j, k] = np.vdot(theirs, mine).real
                    count[i, j, k] = np.count_nonzero((mine != 0) & (theirs != 0))
        return cls(total, count)

    def of_pair(self, first: int, second: int, lag: int) -> tuple[float, int]:
        """Sum and number for two subbands, the first late beside the second; nothing beyond what is tried."""
        if first > second:
            first, second, lag = second, first, -lag
        if abs(lag) > _MOST_LATE:
            return 0.0, 0
        at = first, second - first - 1, lag + _MOST_LATE
        return float(self.total[at]), int(self.count[at])

    def agreement(self, subband: int, lags: NDArray[np.int64], lag: int) -> tuple[float, int]:
        """Mean product with the neighbours, each at its lag, and of how many values."""
        low, high = max(0, subband - _BESIDE), min(len(lags), subband + _BESIDE + 1)
        parts = [self.of_pair(subband, k, lag - int(lags[k])) for k in range(low, high) if k != subband]
        n = sum(part[1] for part in parts)
        return (sum(part[0] for part in parts) / n if n else 0.0), n

    def lags(self) -> NDArray[np.int64]:
        """The lags at which all agree best, that of most of them 0.

        Exactly, by dynamic programming: a state is the lags of a subband and of the one before.
        """
        n = len(self.total)
        best = {(0, lag): (0.0, [lag]) for lag in _LAGS}
        for i in range(1, n):
            following: dict[tuple[int, int], tuple[float, list[int]]] = {}
            for (_, before), (score, chain) in best.items():
                for lag in _LAGS:
                    gain = sum(
                        self.of_pair(i, i - back, lag - chain[-back])[0]
                        for back in range(1, min(_BESIDE, i) + 1)
                    )
                    if (before, lag) not in following or score + gain > following[before, lag][0]:
                        following[before, lag] = score + gain, [*chain, lag]
            best = following
        lags = np.array(max(best.values(), key=lambda one: one[0])[1], np.int64)
        values, numbers = np.unique(lags, return_counts=True)
        return lags - values[np.argmax(numbers)]


def _judged(seen: _Seen, places: NDArray[np.int64]) -> tuple[list[WrongSubband], WrongSubband | None]:
    """Subbands that are late, and the one that fits least of those that fit nowhere."""
    pairs = _Pairs.of(seen, places)
    lags = pairs.lags()
    own, n = np.array([pairs.agreement(i, lags, int(lag)) for i, lag in enumerate(lags)]).T
    in_time = np.array([pairs.agreement(i, lags, 0)[0] for i in range(len(lags))])
    chance = 1.0 / np.sqrt(2.0 * np.maximum(n, 1))
    usual = np.array([np.median(own[np.abs(places - k) <= _AROUND]) for k in places])
    measurable = (usual > _SIGMA * chance) & (usual > _LEAST_COMMON)
    bad = measurable & (in_time < _WRONG * usual) & (usual - in_time > _SIGMA * chance)

    def told(at: int, late_by: int | None) -> WrongSubband:
        part, sigma = in_time[at] / usual[at], (usual - in_time)[at] / chance[at]
        return WrongSubband(telescope.N_SUBBANDS - 1 - int(places[at]), late_by, float(part), float(sigma))

    late = bad & (lags != 0) & (own > _LATE * usual)
    nowhere = bad & ~late & (usual - own > _SCATTER * mad_sigma(own - usual))
    worst = int(np.argmin(np.where(nowhere, own / usual, np.inf))) if nowhere.any() else None
    return [told(int(at), int(lags[at])) for at in np.flatnonzero(late)], (
        None if worst is None else told(worst, None)
    )
