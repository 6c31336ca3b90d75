"""Numbers of light curves against their definitions, and what noise alone makes of them."""

import numpy as np
import pytest

from contimg_assets.radio.variability.statistics import variability


def test_numbers_are_those_of_the_definitions() -> None:
    flux, error = np.array([1.0, 1.2, 0.9, np.nan, 2.0]), np.array([0.1, 0.2, 0.1, 0.1, 0.4])
    found = variability(flux, error)
    good, sigma = flux[[0, 1, 2, 4]], error[[0, 1, 2, 4]]
    w = sigma**-2
    # As published: N/(N − 1) (mean(w I²) − mean(w I)²/mean(w)).
    eta = 4 / 3 * ((w * good**2).mean() - (w * good).mean() ** 2 / w.mean())
    assert found.n == 4
    assert found.eta == pytest.approx(eta)
    assert found.modulation == pytest.approx(good.std(ddof=1) / good.mean())
    pairs = [
        (abs(a - b) / np.hypot(s, t), 2 * abs(a - b) / (a + b))
        for a, s in zip(good, sigma, strict=True)
        for b, t in zip(good, sigma, strict=True)
    ]
    assert (found.pair_sigma, found.pair_modulation) == pytest.approx(max(pairs))


def test_a_constant_source_with_right_errors_has_an_eta_of_one() -> None:
    rng = np.random.default_rng(3)
    etas = [variability(5 + e * rng.standard_normal(30), e).eta for e in rng.uniform(0.1, 1, (2000, 30))]
    assert np.mean(etas) == pytest.approx(1.0, abs=0.02)


def test_more_epochs_than_are_looked_at_together_and_fewer_than_tell() -> None:
    flux = np.zeros(1500)
    flux[700], flux[1400] = 3.0, -4.0
    assert variability(flux, np.ones(1500)).pair_sigma == pytest.approx(7 / np.sqrt(2))
    one = variability(np.array([2.0]), np.array([0.1]))
    assert (one.n, one.weighted_mean_jy) == (1, 2.0)
    assert np.isnan(one.eta)
    assert variability(np.array([np.nan]), np.array([0.1])).n == 0
