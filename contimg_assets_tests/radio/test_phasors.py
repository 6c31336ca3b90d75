"""Phasors by arithmetic against numpy's functions."""

import numpy as np
import pytest

from contimg_assets.radio.imaging.phasors import bandwidth_smearing, phasor, sine


def test_sine_of_turns() -> None:
    """To 1e-9 within a few turns, and to the turns' own rounding beyond."""
    turns = np.concatenate([np.linspace(-3, 3, 2401), [0.25, -0.25, 0.5, 1e-12]])
    assert np.abs([sine(t) for t in turns] - np.sin(2 * np.pi * turns)).max() < 1e-9
    assert sine(12345.678) == pytest.approx(np.sin(2 * np.pi * 0.678), abs=1e-8)


def test_phasor_is_the_exponential() -> None:
    """Real and imaginary part."""
    for turns in (-1.3, 0.0, 0.1, 0.37, 0.5, 7.75):
        assert phasor(turns) == pytest.approx(np.exp(2j * np.pi * turns), abs=1e-9)


def test_smearing_is_a_sinc() -> None:
    """Also beyond its first zero, and at none."""
    for turns in (0.0, 1e-8, 0.3, 0.99, 1.5, -2.2):
        assert bandwidth_smearing(turns, 1.0) == pytest.approx(np.sinc(turns), abs=1e-8)
