"""Phases that move within a scan, against those that were put in."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.calibration.scan_phases import scan_phases, steadied
from contimg_assets.radio.measurement_set import GroupShape

N_ANTENNAS, N_TIMES, N_CHANNELS = 16, 24, 32
ONE, TWO = (pairs.astype(np.int32) for pairs in np.triu_indices(N_ANTENNAS, 1))


def shape_of() -> GroupShape:
    """As much of a group as the phases of a scan need."""
    return GroupShape(
        path=Path("scan.ms"),
        times_jd=2460827.0 + np.arange(N_TIMES) * 12.884901888 / 86400,
        integration_s=12.884901888,
        antenna_1=ONE,
        antenna_2=TWO,
        antenna_names=tuple(str(n) for n in range(N_ANTENNAS)),
        antenna_positions=np.zeros((N_ANTENNAS, 3)),
        frequencies_hz=np.linspace(1.3e9, 1.331e9, N_CHANNELS),
        channel_width_hz=1e6,
        n_polarisations=2,
        centre=(0.0, 0.0),
        declination_rad=0.0,
    )


def sums_of(phases: NDArray[np.float64], noise: float, n_intervals: int = 1) -> ScanSums:
    """A calibrator that fades from 2 to 1 Jy, seen with gains of these phases, (n_times, n_antennas)."""
    random = np.random.default_rng(3)
    gains = random.uniform(0.8, 1.2, (N_ANTENNAS, N_CHANNELS, 2)) * np.exp(
        2j * np.pi * random.uniform(0, 1, (N_ANTENNAS, N_CHANNELS, 2))
    )
    flux = np.linspace(2, 1, N_TIMES)
    turn = np.exp(1j * (phases[:, ONE] - phases[:, TWO]))
    data = (gains[ONE] * gains[TWO].conj())[None] * (flux[:, None] * turn)[:, :, None, None]
    data += noise * cast(Any, random.standard_normal((*data.shape, 2)) @ [1, 1j])
    product = data * flux[:, None, None, None]
    square = np.broadcast_to((flux**2)[:, None, None, None], product.shape)
    intervals = np.array_split(np.arange(N_TIMES), n_intervals)
    parts = (N_TIMES, len(ONE), 16, N_CHANNELS // 16, 2)

    def of_intervals(values: NDArray[Any], kind: type) -> NDArray[Any]:
        return np.array([values[times].sum(axis=0) for times in intervals]).astype(kind)

    return ScanSums(
        list(intervals),
        of_intervals(product, np.complex64),
        of_intervals(square, np.float32),
        of_intervals(np.abs(data) ** 2, np.float64),
        of_intervals(np.ones(product.shape), np.int16),
        product.reshape(parts).sum(axis=3).swapaxes(1, 2),
        square.reshape(parts).sum(axis=3).swapaxes(1, 2).astype(np.float32),
    )


def moving() -> NDArray[np.float64]:
    """A gradient that turns the outermost antennas by 0.7 rad to either side."""
    places = np.linspace(-1, 1, N_ANTENNAS)
    return 0.7 * np.sin(2 * np.pi * 0.34 * np.arange(N_TIMES) / N_TIMES * 1.2 + 0.4)[:, None] * places


@pytest.mark.parametrize("n_intervals", [1, 3])
def test_sums_are_those_of_phases_that_stand_still(n_intervals: int) -> None:
    """A baseline that loses 4 % by its phases has the sums of their mean, to 10⁻³."""
    phases = moving()
    sums = sums_of(phases, 0.0, n_intervals)
    found = scan_phases(shape_of(), sums, reference=0)
    assert found is not None
    still = phases.copy()
    for times in sums.intervals:
        still[times] = phases[times].mean(axis=0)
    expected = sums_of(still, 0.0, n_intervals)
    assert found.values == pytest.approx(phases - still, abs=3e-3)
    before = np.abs(sums.product / expected.product)
    assert n_intervals > 1 or before.min() < 0.96
    steady = steadied(shape_of(), sums, found)
    assert steady.product / expected.product == pytest.approx(1.0, abs=5e-3)
    assert np.abs(steady.product / expected.product) == pytest.approx(1.0, abs=1e-3)
    turned = steady.by_time / expected.by_time
    assert turned == pytest.approx(1.0, abs=5e-3)


def test_noise_does_not_move_phases() -> None:
    """A scan whose phases stand still is left as it is, and so is one of which nobody can tell."""
    still = np.zeros((N_TIMES, N_ANTENNAS))
    for noise in (0.01, 0.3, 1.0, 3.0, 30.0):
        assert scan_phases(shape_of(), sums_of(still, noise), reference=0) is None


def test_a_faint_calibrator_s_noise_makes_nothing_larger() -> None:
    """Phases with errors of a few degrees put back what motion takes, and not what noise does."""
    phases = moving()
    sums = sums_of(phases, 1.4)
    found = scan_phases(shape_of(), sums, reference=0)
    assert found is not None
    assert np.median(found.errors) > 0.02
    steady, clean = steadied(shape_of(), sums, found), sums_of(phases - phases.mean(axis=0), 0.0)
    factor = np.abs(steady.product / sums.product).mean()
    true = scan_phases(shape_of(), clean, reference=0)
    assert true is not None
    expected = np.abs(steadied(shape_of(), clean, true).product / clean.product).mean()
    assert factor == pytest.approx(expected, abs=1.5e-3)
