"""The noise of antennas from differences of channels: true under a bright sky, and where little is left."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.imaging.integration_sums import IntegrationSums
from contimg_assets.radio.imaging.system_noise import SystemNoise
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.imaging.weights import imaging_weights
from contimg_assets.radio.measurement_set import GroupShape

N_ANTENNAS, N_TIMES, N_CHANNELS = 20, 12, 96


def shape_of(n_polarisations: int) -> GroupShape:
    stations = telescope.stations()
    active = stations.active[:N_ANTENNAS]
    one, two = np.triu_indices(N_ANTENNAS)
    return GroupShape(
        path=Path("none.ms"),
        times_jd=2460827.5 + np.arange(N_TIMES) * telescope.INTEGRATION_S / 86400,
        integration_s=telescope.INTEGRATION_S,
        antenna_1=active[one].astype(np.int32),
        antenna_2=active[two].astype(np.int32),
        antenna_names=stations.names,
        antenna_positions=stations.positions,
        frequencies_hz=telescope.band_frequencies()[:N_CHANNELS],
        channel_width_hz=telescope.SUBBAND_BANDWIDTH_HZ / telescope.SUBBAND_CHANNELS,
        n_polarisations=n_polarisations,
        centre=(0.0, 0.5),
        declination_rad=0.5,
    )


def sky(shape: GroupShape, jy: float) -> NDArray[np.complex64]:
    """A source whose phase turns over the band, another turn for each baseline, in all polarisations."""
    turns = np.linspace(0, 8, shape.n_baselines)[:, None] * np.linspace(0, 1, shape.n_channels)
    return np.repeat((jy * np.exp(2j * np.pi * turns))[..., None], shape.n_polarisations, axis=2).astype(
        np.complex64
    )


def sums_of(shape: GroupShape) -> IntegrationSums:
    return IntegrationSums.of(shape, np.ones(int(shape.cross.sum()), np.int64))


def noise_of(shape: GroupShape, sefd_ratio: NDArray[np.float64], jy: float = 0.0) -> SystemNoise:
    rng = np.random.default_rng(5)
    sums = sums_of(shape)
    one, two = (np.searchsorted(shape.antennas, ids) for ids in (shape.antenna_1, shape.antenna_2))
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    scale = (sigma * np.sqrt(sefd_ratio[one] * sefd_ratio[two]))[:, None, None]
    for t in range(shape.n_times):
        parts = rng.normal(size=(2, *shape.data_shape[1:])) * scale
        flags = np.zeros(shape.data_shape[1:], bool)
        # Of one antenna half is flagged, of another all; what is flagged may be anything.
        flags[(one == 3) | (two == 3), : N_CHANNELS // 2] = True
        flags[(one == 7) | (two == 7)] = True
        data = (parts[0] + 1j * parts[1] + sky(shape, jy)).astype(np.complex64)
        data[flags] = 1e6
        # Interference that no flag has, on one baseline.
        data[(one == 1) & (two == 5), 10:20, 0] += 500 * (-1) ** t * np.arange(10)
        sums.add(t, data, flags)
    return sums.differences.system_noise(shape)


@pytest.mark.parametrize("n_polarisations", [1, 2, 4])
def test_each_antenna_s_own_noise(n_polarisations: int) -> None:
    """From half to five times the nominal, to 6 %; the nominal one for an antenna without data."""
    true = np.ones(N_ANTENNAS)
    true[[0, 4, 9]] = 3.0, 0.5, 5.0
    found = noise_of(shape_of(n_polarisations), true)
    told = np.arange(N_ANTENNAS) != 7
    assert found.measured
    assert np.allclose(found.sefd_ratio[told], true[told], rtol=0.06)
    assert found.sefd_ratio[7] == 1.0


def test_a_bright_sky_is_no_noise() -> None:
    """A source of 30 times the noise of a visibility, whose phase turns eight times over the band."""
    found = noise_of(shape_of(2), np.ones(N_ANTENNAS), jy=80.0)
    assert np.allclose(found.sefd_ratio, 1.0, rtol=0.06)


def test_data_without_noise_tell_none() -> None:
    """Simulated ones, or a model: the nominal noise stands."""
    shape = shape_of(2)
    sums = sums_of(shape)
    sums.add(0, sky(shape, 80.0), np.zeros(shape.data_shape[1:], bool))
    found = sums.differences.system_noise(shape)
    assert not found.measured
    assert np.all(found.sefd_ratio == 1.0)


def test_noisy_antennas_weigh_less_and_the_expected_noise_is_that_of_the_data() -> None:
    """Natural weights are inverse variances; both noises are those of the formula."""
    shape = shape_of(2)
    rng = np.random.default_rng(3)
    n = int(shape.cross.sum())
    uvw = rng.normal(size=(n, 3)) * 500
    variance = rng.uniform(0.5, 4.0, n).astype(np.float32)
    counts = np.full(n, 2.0, np.float32)
    frequencies = np.linspace(1.3e9, 1.5e9, n)
    data = StokesI(uvw, frequencies, np.ones(n, np.complex64), counts, 1, variance=variance)
    found = imaging_weights(shape, data, "natural", 0.0, 0.03)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    assert np.allclose(found.values, 2 / variance, rtol=1e-6)
    assert found.expected_noise_jy == pytest.approx(sigma / np.sqrt(np.sum(2 / variance)), rel=1e-5)
    weights = 2 / variance
    nominal = sigma * np.sqrt(np.sum(weights**2 / 2)) / weights.sum()
    assert found.nominal_noise_jy == pytest.approx(nominal, rel=1e-5)
    assert found.n_visibilities == 2 * n
