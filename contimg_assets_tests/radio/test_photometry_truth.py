"""Errors of photometry against a truth that shares no code with it, at two sizes.

The short ones run always; the long ones are those that the claims are made by.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from contimg_assets_tests.radio.epoch_fields import NOISE_JY, Pulls, beam_of, field, lattice, pulls

#: Autocorrelations of the noise: the dirty beam's own, and Gaussians narrower than the restoring beam.
CORRELATIONS = [None, 0.6, 0.8]


def constant_sources(n: int, steps: tuple[int, int], scale: float | None, n_epochs: int) -> Pulls:
    """Constant sources of 0.5 to 100 times the noise."""
    x, y = lattice(n, *steps)
    jy = NOISE_JY * 10 ** np.random.default_rng(5).uniform(-0.3, 2, len(x))
    return pulls(field(n, scale, x, y), np.tile(jy, (n_epochs, 1)), seed=11)


@pytest.mark.parametrize("scale", CORRELATIONS)
def test_errors_of_constant_sources_are_what_they_are_said_to_be(scale: float | None) -> None:
    """600 measurements: mean square 1 ± 0.12 (two standard errors), normal, unbiased; offsets too."""
    found = constant_sources(512, (54, 70), scale, 10)
    assert found.values.size >= 400
    assert (found.values**2).mean() == pytest.approx(1.0, abs=2 * np.sqrt(2 / found.values.size))
    assert abs(found.values.mean()) < 3 / np.sqrt(found.values.size)
    assert kstest(found.values.ravel(), "norm").pvalue > 0.01
    bright = np.isfinite(found.free)
    assert bright.mean() > 0.3
    assert found.free[bright].std() == pytest.approx(1.0, abs=0.2)
    assert found.east[bright].std() == pytest.approx(1.0, abs=0.2)
    assert found.chi2.mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.long
@pytest.mark.parametrize("scale", CORRELATIONS)
def test_a_thousand_constant_sources_for_a_year(scale: float | None) -> None:
    """The bar of the claim: mean η 1.00 ± 0.02, and all pulls together normal (KS p > 0.01)."""
    found = constant_sources(1536, (31, 62), scale, 365)
    assert found.values.shape[1] >= 1000
    print(
        f"scale {scale}: {found.values.shape}, eta {found.eta.mean():.4f}, mean {found.values.mean():.4f}, "
        f"std {found.values.std():.4f}, KS {kstest(found.values.ravel(), 'norm').pvalue:.3f}, "
        f"chi2 {found.chi2.mean():.4f}, free {np.nanstd(found.free):.4f}, offset {np.nanstd(found.east):.4f}"
    )
    assert found.eta.mean() == pytest.approx(1.0, abs=0.02)
    assert kstest(found.values.ravel(), "norm").pvalue > 0.01


# -- close pairs ----------------------------------------------------------------------------

SEPARATIONS, RATIOS = (0.5, 0.75, 1.0, 2.0, 3.0), (1.0, 10.0, 100.0)


def close_pairs(n: int, step: int, n_epochs: int) -> tuple[Pulls, NDArray[np.float64], NDArray[np.float64]]:
    """Pairs, none near another, at all separations (in beams) and ratios; the fainter is 3σ."""
    beam = beam_of(n)
    at = np.arange(60, n - 60, step)
    x, y = (each.ravel().astype(float) for each in np.meshgrid(at, at))
    kinds = [(s, r) for s in SEPARATIONS for r in RATIOS]
    apart, ratio = np.array([kinds[i % len(kinds)] for i in range(len(x))]).T
    rng = np.random.default_rng(9)
    x, y = x + rng.uniform(-0.5, 0.5, len(x)), y + rng.uniform(-0.5, 0.5, len(x))
    turn = rng.uniform(0, 2 * np.pi, len(x))
    along, across = apart * beam.major * np.cos(turn), apart * beam.minor * np.sin(turn)
    sine, cosine = np.sin(beam.angle_rad), np.cos(beam.angle_rad)
    x2, y2 = x - along * sine + across * cosine, y + along * cosine + across * sine
    jy = NOISE_JY * 3 * np.concatenate([ratio, np.ones(len(x))])
    made = field(n, None, np.concatenate([x, x2]), np.concatenate([y, y2]))
    return pulls(made, np.tile(jy, (n_epochs, 1)), seed=4), np.tile(apart, 2), np.tile(ratio, 2)


def test_close_pairs_do_not_bias_one_another() -> None:
    """Both of a pair, over all separations and ratios: no bias, and errors that hold."""
    found, _, _ = close_pairs(512, 95, 16)
    assert np.isfinite(found.values).all()
    assert abs(found.values.mean()) < 0.2
    assert found.values.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.long
def test_close_pairs_of_every_separation_and_ratio() -> None:
    """The bar of the claim: bias below 0.5 σ, pulls 1 ± 0.05, for each separation and each ratio."""
    found, apart, ratio = close_pairs(1024, 95, 140)
    for separation in SEPARATIONS:
        for times in RATIOS:
            own = found.values[:, (apart == separation) & (ratio == times)]
            print(
                f"{separation} beams, 1:{times:g}: bias {own.mean():.3f}, pulls {own.std():.3f}, n {own.size}"
            )
            assert abs(own.mean()) < 0.5
            assert own.std() == pytest.approx(1.0, abs=0.05)
