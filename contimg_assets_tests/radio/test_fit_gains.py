"""The solver of gains, against gains that are known (``test_calibration.py`` has it beside CASA's)."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.calibration.fit_gains import Gains, fit_gains

N_ANTENNAS, N_CHANNELS = 24, 64
ONE, TWO = (pairs.astype(np.int32) for pairs in np.triu_indices(N_ANTENNAS, 1))


def _gains(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    phases = random.uniform(0, 2 * np.pi, shape)
    return (random.uniform(0.02, 0.05, shape) * (np.cos(phases) + 1j * np.sin(phases))).astype(np.complex128)


def truth_and_data(noise: float) -> tuple[NDArray[np.complex128], NDArray[np.complex64], NDArray[np.float32]]:
    """Gains of 0.02 to 0.05 with any phase, visibilities over their model, and weights of unit variance."""
    random = np.random.default_rng(1)
    shape = (N_ANTENNAS, N_CHANNELS, 2)
    gains = _gains(random, shape)
    data = gains[ONE] * gains[TWO].conj()
    data += (
        noise * (random.standard_normal(data.shape) + 1j * random.standard_normal(data.shape)) / np.sqrt(2)
    )
    return gains, data.astype(np.complex64), np.ones(data.shape, np.float32)


def fit(data: NDArray[np.complex64], weights: NDArray[np.float32], *, phases_only: bool = False) -> Gains:
    return fit_gains(
        data * weights,
        weights,
        ONE,
        TWO,
        3,
        n_antennas=N_ANTENNAS,
        minimum_baselines=4,
        phases_only=phases_only,
    )


def referred(gains: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The same up to the phase of the reference antenna."""
    return gains * np.exp(-1j * np.angle(gains[3]))


def test_errors_are_those_of_the_gains() -> None:
    """Pulls of 3 072 amplitudes and phases have a scatter of 1; three standard errors of it are 0.04.

    Gains with S/N of 10 and more, since S/N of few makes amplitudes larger.
    """
    gains, data, weights = truth_and_data(noise=1e-4)
    found = fit(data, weights)
    ratio = found.values / referred(gains)
    relative = found.errors / np.abs(found.values) / np.sqrt(2)
    assert relative.max() < 0.1
    amplitudes = (np.abs(ratio) - 1) / relative
    assert amplitudes.std() == pytest.approx(1.0, abs=0.05)
    assert amplitudes.mean() == pytest.approx(0.0, abs=0.06)
    # The reference's own phase is in those of all others.
    others = np.delete(np.arange(N_ANTENNAS), 3)
    phases = np.angle(ratio[others]) / np.hypot(relative[others], relative[3])
    assert phases.std() == pytest.approx(1.0, abs=0.08)


def test_an_antenna_with_too_few_baselines_has_no_gain() -> None:
    """Three baselines are not four; without them another has three, and so has none either."""
    gains, data, weights = truth_and_data(noise=0.0)
    of_7, of_9 = (ONE == 7) | (TWO == 7), (ONE == 9) | (TWO == 9)
    weights[np.flatnonzero(of_7)[3:], 5] = 0
    kept = np.concatenate([np.flatnonzero(of_9 & of_7), np.flatnonzero(of_9 & ~of_7)[-3:]])
    weights[np.flatnonzero(of_7)[:3], 5] = 0
    weights[np.flatnonzero(of_7 & (ONE < 2)), 5] = 1
    weights[np.flatnonzero(of_7 & of_9), 5] = 1
    weights[np.setdiff1d(np.flatnonzero(of_9), kept), 5] = 0
    found = fit(data, weights)
    assert np.flatnonzero(~found.values[:, 5].any(axis=1)).tolist() == [7, 9]
    rest = np.setdiff1d(np.arange(N_ANTENNAS), [7, 9])
    assert found.values[rest, 5] == pytest.approx(referred(gains)[rest, 5], rel=1e-4)
    assert found.values[:, 6] == pytest.approx(referred(gains)[:, 6], rel=1e-4)


def test_phases_go_on_where_the_reference_antenna_is_lost() -> None:
    """A phase that jumps there would be a jump of the bandpass."""
    random = np.random.default_rng(2)
    start = _gains(random, (N_ANTENNAS, 1, 2))
    gains = np.repeat(start, N_CHANNELS, axis=1)
    data = (gains[ONE] * gains[TWO].conj()).astype(np.complex64)
    weights = np.ones(data.shape, np.float32)
    weights[np.flatnonzero((ONE == 3) | (TWO == 3)), 20:30] = 0
    found = fit(data, weights)
    assert not found.values[3, 20:30].any()
    others = np.delete(np.arange(N_ANTENNAS), 3)
    assert found.values[others] == pytest.approx(referred(gains)[others], rel=1e-4)


def test_nothing_is_solved_from_nothing() -> None:
    _, data, weights = truth_and_data(noise=0.0)
    found = fit(data, 0 * weights)
    assert not found.values.any()
    assert not found.snr.any()


def test_phases_alone_have_amplitudes_of_one() -> None:
    """Phases are those of the gains, whatever the amplitudes of the visibilities are."""
    gains, data, weights = truth_and_data(noise=0.0)
    found = fit(data, weights, phases_only=True)
    assert np.abs(found.values) == pytest.approx(1.0, abs=1e-9)
    true = referred(gains)
    assert found.values == pytest.approx(true / np.abs(true), abs=1e-4)


def test_antennas_without_baselines_have_no_gain() -> None:
    """Ids of the telescope are kept, though others are not solved for."""
    gains, data, weights = truth_and_data(noise=0.0)
    found = fit_gains(data, weights, 2 * ONE, 2 * TWO, 6, n_antennas=2 * N_ANTENNAS + 1, minimum_baselines=4)
    assert not found.values[1::2].any()
    assert found.values[:-1:2] == pytest.approx(referred(gains), rel=1e-4)
