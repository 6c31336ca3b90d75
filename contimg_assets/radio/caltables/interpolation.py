"""Gains between two calibration sets, one before a group and one after it.

The set that is nearer gives delays and bandpass; of the other only the change
of each antenna's mean gain is taken, in proportion to the time that has
passed.  For a drift that is linear this leaves nothing; for one that wanders
at random it leaves h (D − h) / D of the variance that the nearer set alone
leaves after h of D hours, and never more.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.jones import Jones

#: Where the two sets' bandpasses agree less than this (as a correlation), they are not of one instrument.
_LEAST_COHERENCE = 0.9
#: A change of phase that is larger than this may have gone the other way round, rad.
_LARGEST_TURN = np.pi / 2


def interpolate(near: Jones, far: Jones, weight: float) -> tuple[Jones, dict[str, float]]:
    """Bring a set's gains to a time between it and another.

    Parameters
    ----------
    near, far : Jones
        Of one group, each of one solution.
    weight : float
        Part of the time between the sets that has passed since the nearer, 0…0.5.

    Returns
    -------
    Jones
        The nearer's, times the change.  Antennas and receptors where the sets
        cannot be compared are as the nearer set has them.
    dict
        ``interpolated_fraction`` of its solved antennas and receptors, and what
        changed between the sets: ``drift_phase_deg``, ``drift_amplitude`` (rms).
    """
    one, two = near.inverse[0].astype(np.complex128), far.inverse[0].astype(np.complex128)
    both = (one != 0) & (two != 0)
    # Gains are the inverse of these: the change of the gain is one / two.
    cross = np.sum(np.where(both, one * np.conj(two), 0), axis=1)
    power_one = np.sum(np.where(both, np.abs(one) ** 2, 0), axis=1)
    power_two = np.sum(np.where(both, np.abs(two) ** 2, 0), axis=1)
    size = np.sqrt(power_one * power_two)
    coherence = np.divide(np.abs(cross), size, where=size > 0, out=np.zeros_like(size))
    amplitude = np.sqrt(np.divide(power_one, power_two, where=power_two > 0, out=np.ones_like(size)))
    good = coherence >= _LEAST_COHERENCE
    turn = _without_common_phase(np.angle(cross), good)
    good &= np.abs(turn) <= _LARGEST_TURN
    change = np.where(good, amplitude**weight * np.exp(1j * weight * turn), 1.0)
    solved = (one != 0).any(axis=1)
    numbers = {
        "interpolated_fraction": float((good & solved).sum() / max(1, solved.sum())),
        "drift_phase_deg": float(np.rad2deg(np.sqrt(np.mean(turn[good] ** 2)))) if good.any() else 0.0,
        "drift_amplitude": float(np.sqrt(np.mean((amplitude[good] - 1) ** 2))) if good.any() else 0.0,
    }
    inverse = (near.inverse / change[None, :, None, :]).astype(np.complex64)
    return replace(near, inverse=inverse), numbers


def _without_common_phase(turn: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Phases less the median of each receptor, about which they wrap.

    Every set has the phase of its own reference antenna; no baseline shows what
    all antennas have in common.
    """
    out = turn.copy()
    for hand in range(turn.shape[1]):
        if good[:, hand].any():
            mean = np.angle(np.exp(1j * turn[good[:, hand], hand]).sum())
            left = np.angle(np.exp(1j * (turn[:, hand] - mean)))
            out[:, hand] = np.angle(np.exp(1j * (left - np.median(left[good[:, hand]]))))
    return out
