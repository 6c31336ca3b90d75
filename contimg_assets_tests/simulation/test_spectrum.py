"""Means over channels from values at fewer frequencies are the means that formulas give."""

import numpy as np
import pytest

from contimg_assets.simulation.independent import instrument
from contimg_assets.simulation.independent.spectrum import samples_for


@pytest.mark.parametrize(("n_channels", "subbands"), [(48, (3, 4, 6)), (8, (0, 1)), (4, (15,))])
@pytest.mark.parametrize("averaged", [True, False])
def test_weights_are_right_for_every_delay_a_class_may_have(
    n_channels: int, subbands: tuple[int, ...], averaged: bool
) -> None:
    """A source at 3° on 2.6 km: 1e-6 at the largest delay of each class, with a missing subband between."""
    channels = np.concatenate([instrument.subband_hz(k, n_channels) for k in subbands])
    width = instrument.channel_width_hz(n_channels) * averaged
    samples = samples_for(channels, width, 0.48e-6)
    assert samples.steps.tolist() == [1, 2, 4, 8]
    for step, used, weights in zip(samples.steps, samples.used, samples.weights, strict=True):
        delay = np.linspace(-1, 1, 99) * 0.48e-6 / step
        at = samples.frequencies_hz[used] - channels[0]
        found = weights.astype(float) @ np.exp(2j * np.pi * np.outer(at, delay))
        expected = np.exp(2j * np.pi * np.outer(channels - channels[0], delay)) * np.sinc(delay * width)
        assert np.abs(found - expected).max() < 1e-6


def test_spectra_and_beams_are_followed_on_the_shortest_baselines() -> None:
    """The square of a cosine of 7 rad over a source's spectrum, without a delay: steps are 8 MHz there."""
    channels = np.concatenate([instrument.subband_hz(k, 48) for k in range(8)])
    samples = samples_for(channels, 0.0, 0.0)

    def seen(frequency: np.ndarray) -> np.ndarray:
        return (frequency / 1.4e9) ** -0.9 * np.cos(7.0 * frequency / 1.4e9) ** 2

    for used, weights in zip(samples.used, samples.weights, strict=True):
        found = weights.astype(float) @ seen(samples.frequencies_hz[used])
        assert np.abs(found - seen(channels)).max() < 2e-6
