"""The compiled sum over sources, against the plain one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.prediction import Averaging, point_source_visibilities
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


def test_averages_are_those_over_an_integration_and_a_channel() -> None:
    """Losses of a hundredth and more on the longest baselines, against means of 12 × 12 moments.

    Sources and the tracked point turn about the pole while the integration lasts.  What is left out is
    in how the loss changes over the band.
    """
    rng = np.random.default_rng(3)
    baselines = rng.uniform(-1300, 1300, (9, 3))
    tracked = np.array([np.cos(0.28), 0.0, np.sin(0.28)])
    directions = tracked + rng.uniform(-0.03, 0.03, (2, 5, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    frequencies = telescope.band_frequencies()
    amplitude = rng.uniform(0.5, 2, (2, 5, len(frequencies)))
    offsets = directions - tracked
    expected = np.zeros((18, len(frequencies)), complex)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    for node, weight in zip(nodes, weights / 2, strict=True):
        angle = node * telescope.INTEGRATION_S / 2 * 7.292115e-5
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        for part, share in zip(nodes, weights / 2, strict=True):
            inside = frequencies + part * np.ptp(frequencies[:2]) / 2
            expected += weight * share * brute_force(baselines, offsets @ turn.T, inside, amplitude)
    found = point_source_visibilities(
        baselines, offsets, frequencies, amplitude, Averaging.of(offsets, telescope.INTEGRATION_S)
    )
    still = point_source_visibilities(baselines, offsets, frequencies, amplitude)
    total = amplitude.sum(axis=1).max()
    assert np.abs(still - expected).max() > 0.01 * total
    assert np.abs(found - expected).max() < 3e-4 * total


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
