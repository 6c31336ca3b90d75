"""The compiled sum over sources, against the plain one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.prediction import point_source_visibilities
from contimg_assets_tests.radio.independent import LIGHT


def brute_force(
    baselines: NDArray[np.float64],
    offsets: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    amplitude: NDArray[np.float64],
) -> NDArray[np.complex128]:
    """Every phase by itself, in double precision."""
    delay = np.einsum("bi,tsi->tbs", baselines, offsets) / LIGHT
    phase = 2j * np.pi * delay[..., None] * frequencies
    total = np.einsum("tsf,tbsf->tbf", amplitude, np.exp(phase))
    return total.reshape(-1, len(frequencies))


@pytest.mark.parametrize(
    "frequencies",
    [
        telescope.band_frequencies(),
        telescope.subband_frequencies(3),
        np.array([1.4e9]),
        np.array([1.3e9, 1.5e9]),
    ],
    ids=["768 ascending", "48 descending", "one", "two"],
)
def test_visibilities_are_the_sum_over_sources(frequencies: NDArray[np.float64]) -> None:
    """Σ A exp(+2πi b·(s − s₀) ν/c) for each integration, baseline and channel.

    Longest baselines, sources all over the beam, either order of frequency.  complex64 rounds
    to 6e-8 of the sum; the running rotation over 768 channels adds 768 roundings of 1e-16.
    """
    rng = np.random.default_rng(1)
    baselines = rng.uniform(-2700, 2700, (9, 3))
    baselines[0] = 0.0
    offsets = rng.uniform(-0.05, 0.05, (3, 20, 3))
    amplitude = rng.uniform(0, 5, (3, 20, len(frequencies)))
    found = point_source_visibilities(baselines, offsets, frequencies, amplitude)
    expected = brute_force(baselines, offsets, frequencies, amplitude)
    assert found.dtype == np.complex64
    assert found.shape == (27, len(frequencies))
    assert np.abs(found - expected).max() < 2e-7 * amplitude.sum(axis=1).max()


def test_an_autocorrelation_has_the_flux_density_and_no_phase() -> None:
    """A baseline of no length gives the sum of the flux densities, real and positive."""
    amplitude = np.full((2, 3, 4), 1.5)
    offsets = np.random.default_rng(2).uniform(-0.05, 0.05, (2, 3, 3))
    found = point_source_visibilities(np.zeros((1, 3)), offsets, np.linspace(1.3e9, 1.4e9, 4), amplitude)
    assert np.array_equal(found, np.full((2, 4), 4.5 + 0j, np.complex64))


def test_no_sources_make_no_signal() -> None:
    """An empty sky is zero, of the right shape."""
    found = point_source_visibilities(
        np.ones((5, 3)), np.zeros((2, 0, 3)), np.array([1.3e9, 1.4e9]), np.zeros((2, 0, 2))
    )
    assert found.shape == (10, 2)
    assert not found.any()
