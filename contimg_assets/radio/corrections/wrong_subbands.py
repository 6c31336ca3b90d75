"""Subbands that do not see the sky that their neighbours see.

A correlator node that is an integration late, or that has its channels in disorder, writes data whose power,
noise and interference are ordinary.  But what it has of the sky is another subband's no more.  So
calibrated means of each subband are multiplied with those of its neighbours, baseline by baseline and time by
time, and summed: the sky's own correlation, which no single source has to carry.  The same is done as if the
subband were an integration or two late or early: data of another time, phased for it.

A subband that agrees less than half as well as those around it, beyond chance, is not used.  Where the sky
has too little in common for that to be seen, nothing is said.

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

#: Integrations by which a subband may be late or early.
_LAGS = (1, -1, 2, -2)
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
    used: NDArray[np.bool_] = np.any(seen.there, axis=(0, 1, 3))
    found: list[WrongSubband] = []
    # One that is wrong spoils the agreement of those beside it: the worst goes first.
    while used.sum() > telescope.N_SUBBANDS // 2:
        worst = _worst(seen, used)
        if worst is None:
            break
        used[telescope.N_SUBBANDS - 1 - worst.subband] = False
        found.append(worst)
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
        if lag == 0:
            return values
        n, out = len(values), np.zeros_like(values)
        now, then = slice(max(0, -lag), n - max(0, lag)), slice(max(0, lag), n - max(0, -lag))
        # It was phased for the time that its files tell.
        turns = (self.w_m[then] - self.w_m[now]) * (self.frequencies_hz[subband] / SPEED_OF_LIGHT)
        out[now] = values[then] * np.exp(2j * np.pi * turns)[..., None]
        return out

    def agreement(self, subband: int, used: NDArray[np.bool_], lag: int = 0) -> tuple[float, int]:
        """Mean product with the neighbours, and of how many values."""
        mine = self.at_lag(subband, lag)
        total, n = 0.0, 0
        for other in _beside(subband, used):
            theirs = self.values[:, :, other]
            total += float(np.vdot(theirs, mine).real)
            n += int(np.count_nonzero((mine != 0) & (theirs != 0)))
        return (total / n if n else 0.0), n


def _beside(subband: int, used: NDArray[np.bool_]) -> list[int]:
    """The used neighbours, few on each side."""
    others = np.flatnonzero(used)
    return [*others[others < subband][-_BESIDE:].tolist(), *others[others > subband][:_BESIDE].tolist()]


def _worst(seen: _Seen, used: NDArray[np.bool_]) -> WrongSubband | None:
    """The subband that lacks most of the usual agreement, if it is wrong."""
    places = np.flatnonzero(used)
    own, n = np.array([seen.agreement(int(k), used) for k in places]).T
    chance = 1.0 / np.sqrt(2.0 * np.maximum(n, 1))
    usual = np.array([np.median(own[np.abs(places - k) <= _AROUND]) for k in places])
    scatter = mad_sigma(own - usual)
    measurable = (usual > _SIGMA * chance) & (usual > _LEAST_COMMON)
    missing = usual - own
    candidates = np.flatnonzero(measurable & (own < _WRONG * usual) & (missing > _SIGMA * chance))
    for at in candidates[np.argsort(-(missing / usual)[candidates])]:
        late_by = _late_by(seen, int(places[at]), used, _LATE * float(usual[at]))
        if late_by is not None or missing[at] > _SCATTER * scatter:
            number = telescope.N_SUBBANDS - 1 - int(places[at])
            part = float(own[at] / usual[at])
            return WrongSubband(number, late_by, part, float(missing[at] / chance[at]))
    return None


def _late_by(seen: _Seen, subband: int, used: NDArray[np.bool_], least: float) -> int | None:
    """Integrations by which a subband is late: those at which it agrees best, if well enough."""
    agreements = {lag: seen.agreement(subband, used, lag)[0] for lag in _LAGS}
    best = max(agreements, key=lambda lag: agreements[lag])
    return best if agreements[best] > least else None
