"""Numbers of many light curves: constant sources have what they should, variable ones stand out."""

import numpy as np
import pandas
import pytest
from scipy.stats import kstest

from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.population import LAGS_DAYS, cut_of, is_variable, table_of
from contimg_assets.simulation.epochs import variable

OPTIONS = VariabilityOptions(relative_error=0.0)


def rows(
    n_sources: int, n_days: int, modulation: float = 0.0, jy: float = 0.02, seed: int = 1
) -> pandas.DataFrame:
    """Light curves of a measurement a day, with errors that differ from day to day."""
    rng = np.random.default_rng(seed)
    days = np.arange(n_days)
    parts = []
    for i in range(n_sources):
        curve = variable(days.astype(float), jy, modulation, 10.0, rng) if modulation else np.full(n_days, jy)
        error = 5e-4 * rng.uniform(1, 2, n_days)
        parts.append(
            pandas.DataFrame(
                {
                    "source": f"{modulation}-{i:04d}",
                    "mjd": 61041.3 + days,
                    "flux_jy": curve + error * rng.standard_normal(n_days),
                    "flux_error_jy": error,
                    "ra_deg": 10.0 + i / 100,
                    "dec_deg": 16.0,
                }
            )
        )
    return pandas.concat(parts, ignore_index=True)


def test_constant_sources_have_what_their_calibration_says() -> None:
    table = table_of(rows(300, 120), OPTIONS)
    assert table["eta"].mean() == pytest.approx(1.0, abs=0.02)
    # The probability of η is uniform, and the structure function without its noise is nothing.
    assert kstest(table["eta_probability"], "uniform").pvalue > 0.01
    assert table["modulation_excess"].mean() == pytest.approx(0.0, abs=0.005)
    assert (table["modulation"] / table["modulation_of_noise"]).mean() == pytest.approx(1.0, abs=0.02)
    for lag in LAGS_DAYS[:-2]:
        pull = table[f"structure_{lag}d"] / table[f"structure_{lag}d_error"]
        assert abs(pull.mean()) < 0.25, lag
        assert 0.5 < pull.std() < 1.5, lag
    # Of pairs as far apart there is about one by noise in a light curve.
    assert 0.3 < table["pairs_by_noise"].median() < 3
    assert np.isfinite(table[["stetson_K", "skew"]].to_numpy()).all()


def test_a_source_that_scintillates_has_its_size_and_time_scale() -> None:
    table = table_of(rows(40, 360, modulation=0.1), OPTIONS)
    assert table["modulation_excess"].mean() == pytest.approx(0.1, rel=0.15)
    # A damped random walk: 2 m² (1 − exp(−τ/10 d)), over lags from 1 to 2 days, and from 64 on.
    assert table["structure_1d"].mean() == pytest.approx(2 * 0.01 * (1 - np.exp(-0.1)), rel=0.25)
    assert table["structure_64d"].mean() == pytest.approx(2 * 0.01, rel=0.25)


def test_variable_sources_are_those_beyond_the_population() -> None:
    both = pandas.concat([rows(400, 60), rows(8, 60, modulation=0.3)], ignore_index=True)
    table = table_of(both, OPTIONS)
    cut = cut_of(table, OPTIONS)
    variable_ones = is_variable(table, cut, OPTIONS)
    true = table.index.str.startswith("0.3")
    assert variable_ones[true].all()
    assert variable_ones[~true].mean() < 0.03
    assert 1.2 < cut.eta < 2.5
    # Too few epochs tell nothing.
    assert len(table_of(rows(3, 4), OPTIONS)) == 0
