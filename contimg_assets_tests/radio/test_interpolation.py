"""Gains between two sets: exact for a drift that is linear, better than the nearest for one that wanders."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.caltables.interpolation import interpolate
from contimg_assets.radio.caltables.jones import Jones
from contimg_assets.simulation.corruption import random_gains

FREQUENCIES = telescope.band_frequencies(4)
N = 24
#: A set 4 h before the group and one 6 h after it.
BEFORE, AFTER = -4.0, 6.0
WEIGHT = -BEFORE / (AFTER - BEFORE)
NIGHT = random_gains(N, 2, 2460827.5, 7, 1.0)


def jones(gains: NDArray[np.complex128]) -> Jones:
    """One solution for a group of one baseline."""
    inverse = np.divide(1, gains, where=gains != 0, out=np.zeros_like(gains)).astype(np.complex64)
    zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    return Jones(inverse[None], np.zeros(1, np.int64), zero, one, np.array([[0, 0], [1, 1]]))


def gains_at(hours: float) -> NDArray[np.complex128]:
    """True gains of the night, shape (antennas, channels, receptors)."""
    drift = NIGHT.drift(np.array([NIGHT.epoch_jd + hours / 24]))[0]
    return NIGHT.bandpass(FREQUENCIES) * drift[:, None]


def errors(used: Jones, true: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """What is left of each baseline after calibration: 1 for perfect gains."""
    left = used.inverse[0] * true
    i, j = np.triu_indices(N, 1)
    return left[i] * np.conj(left[j])


def phase_deg(values: NDArray[np.complex128]) -> float:
    return float(np.rad2deg(np.sqrt(np.mean(np.angle(values) ** 2))))


def test_a_linear_drift_is_taken_out() -> None:
    """Drifts of 2°/h and 0.4 %/h for each antenna; the sets have reference phases of their own.

    Left: the curvature of the amplitude, and float32.  (Nearest alone: 11° and 2 %.)
    """
    near, far = gains_at(BEFORE), gains_at(AFTER) * np.exp(2.5j)
    found, numbers = interpolate(jones(near), jones(far), WEIGHT)
    true = gains_at(0.0)
    assert phase_deg(errors(jones(near), true)) > 8
    assert phase_deg(errors(found, true)) < 0.1
    assert np.std(np.abs(errors(jones(near), true))) > 0.015
    assert np.std(np.abs(errors(found, true))) < 0.001
    assert numbers["interpolated_fraction"] == 1
    assert numbers["drift_phase_deg"] == pytest.approx(20, rel=0.3)


def test_a_drift_that_wanders_is_made_smaller_as_statistics_say() -> None:
    """Random walks of 3° after 1 h: after h of D hours the variance is h (D − h) / D in place of h.

    Over 200 nights of 24 antennas the ratio of rms is √0.6 = 0.775 to 3 %.
    """
    rng = np.random.default_rng(1)
    bandpass = NIGHT.bandpass(FREQUENCIES)
    nearest, between = [], []
    for _ in range(200):
        first = np.deg2rad(3) * np.sqrt(-BEFORE) * rng.normal(size=(N, 1, 2))
        second = first + np.deg2rad(3) * np.sqrt(AFTER) * rng.normal(size=(N, 1, 2))
        near, true, far = (bandpass * np.exp(1j * p) for p in (0.0 * first, first, second))
        nearest.append(phase_deg(errors(jones(near), true)))
        between.append(phase_deg(errors(interpolate(jones(near), jones(far), WEIGHT)[0], true)))
    ratio = np.sqrt(np.mean(np.square(between)) / np.mean(np.square(nearest)))
    assert ratio == pytest.approx(np.sqrt(0.6), rel=0.03)


def test_what_cannot_be_compared_stays_as_the_nearer_set_has_it() -> None:
    """No solution in the other set, another bandpass, a turn of 150°: those receptors only."""
    near, far = gains_at(BEFORE), gains_at(AFTER)
    far[0] = 0
    far[1] *= np.exp(2j * np.pi * np.arange(len(FREQUENCIES)) / 20)[:, None]
    far[2] = near[2] * np.exp(np.deg2rad(150) * 1j)
    near[3] = 0
    found, numbers = interpolate(jones(near), jones(far), WEIGHT)
    for antenna in (0, 1, 2, 3):
        assert np.array_equal(found.inverse[0, antenna], jones(near).inverse[0, antenna])
    assert numbers["interpolated_fraction"] == pytest.approx((N - 4) / (N - 1))
    others = np.min(np.triu_indices(N, 1), axis=0) > 3
    assert phase_deg(errors(found, gains_at(0.0))[others]) < 0.1
