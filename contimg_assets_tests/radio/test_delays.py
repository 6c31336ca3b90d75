"""Delays of antennas, found in gains that are known."""

import numpy as np
import pytest

from contimg_assets.radio.calibration.delays import fit_delays, judge_delays
from contimg_assets.radio.calibration.fit_gains import Gains

N_ANTENNAS = 12
FREQUENCIES_HZ = np.arange(256, dtype=np.float64) * 244140.625 + 1.31e9
ONE, TWO = (pairs.astype(np.int32) for pairs in np.triu_indices(N_ANTENNAS, 1))


def gains_of(delays_ns: np.ndarray, error: float, seed: int = 0) -> Gains:
    """Gains of 0.03 with these delays, any phase, and errors."""
    random = np.random.default_rng(seed)
    turns = 1e-9 * delays_ns[:, None] * (FREQUENCIES_HZ - FREQUENCIES_HZ.mean())[:, None]
    values = 0.03 * np.exp(2j * np.pi * (turns + random.uniform(0, 1, (len(delays_ns), 1, 2))))
    noise = random.standard_normal((2, *values.shape)) * error / np.sqrt(2)
    return Gains(values + noise[0] + 1j * noise[1], np.full(values.shape, error))


def test_delays_are_the_true_ones_to_their_errors() -> None:
    """Pulls of 400 delays have a scatter of 1, with a tenth for how many they are."""
    delays = np.random.default_rng(1).normal(0, 3, (200, 2))
    found = fit_delays(gains_of(delays, error=0.005), FREQUENCIES_HZ)
    pulls = (found.ns - delays) / found.errors_ns
    assert pulls.std() == pytest.approx(1.0, abs=0.12)
    assert found.solved.all()
    assert found.snr.min() > 50


def test_an_antenna_without_gains_has_no_delay() -> None:
    gains = gains_of(np.ones((3, 2)), error=1e-4)
    gains.values[1], gains.errors[1] = 0, 0
    found = fit_delays(gains, FREQUENCIES_HZ)
    assert found.solved[:, 0].tolist() == [True, False, True]
    assert found.ns[[0, 2]] == pytest.approx(1.0, abs=6e-3)
    assert not found.ns[1].any()


def test_delays_are_kept_where_they_add_up_the_band() -> None:
    """Of 3 ns they do; of a hundredth of it, the band adds up without."""
    for delays, kept in ((np.linspace(-3, 3, 2 * N_ANTENNAS), True), (np.full(2 * N_ANTENNAS, 0.01), False)):
        gains = gains_of(delays.reshape(-1, 2), error=1e-4)
        product = (gains.values[ONE] * gains.values[TWO].conj()).astype(np.complex64)
        found = fit_delays(gains, FREQUENCIES_HZ)
        judged, told = judge_delays(found, product, ONE, TWO, FREQUENCIES_HZ)
        assert told.startswith("kept") == kept
        assert judged.ns.any() == kept
        assert judged.solved.all()
