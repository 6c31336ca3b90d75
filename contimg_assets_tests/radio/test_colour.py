"""Spectra of measured sources: which components are whose, and whether an event has a colour."""

import numpy as np
import pytest

from contimg_assets.radio.photometry.colour import ComponentSpectra, Slopes, slopes_of
from contimg_assets.radio.photometry.fit import Fits, Points
from contimg_assets.radio.variability.colour import colour_of, spectral_index
from contimg_assets_tests.radio.epoch_fields import beam_of

N = 512


def fits_of(flux: list[float], merged: list[bool]) -> Fits:
    """Fits with errors and noise of 1 mJy, twice that at the last place."""
    n = len(flux)
    nothing, none = np.full(n, np.nan), np.zeros(n, bool)
    noise = np.full(n, 1e-3)
    noise[-1] *= 2
    return Fits(
        flux=np.array(flux),
        error=np.full(n, 1e-3),
        alone_error=np.full(n, 1e-3),
        noise=noise,
        chi2=np.ones(n),
        chi2_error=0.6,
        **{name: nothing for name in ("dx", "dy", "dx_error", "dy_error", "free_flux", "free_error")},
        n_joint=np.ones(n, int),
        merged=np.array(merged),
        edge=none,
        blank=none,
    )


PLACES = Points(np.array([100.0, 200.0, 300.0, 400.0]), np.full(4, 250.0), np.array([0.1, 0.1, 0.1, 0.1]))


def slopes(fits: Fits, components: Points, spectra: ComponentSpectra | None) -> Slopes:
    return slopes_of(PLACES, fits, components, spectra, beam_of(N).dirty, 1e-3, least_sigma=10.0)


def test_what_components_have_and_what_they_leave_is_the_source() -> None:
    """Two components of one source share what is left; a stranger's and a faint source's count nothing."""
    components = Points(
        np.array([100.0, 101.0, 200.0, 250.0, 400.0]),
        np.full(5, 250.0),
        np.array([0.06, 0.04, 0.005, 1, 0.1]),
    )
    spectra = ComponentSpectra(
        np.array([-0.7, -0.7, -0.7, -0.7, 0.5]), np.array([0.07, 0.02, 0.3, 9, 0.01]), 0.025
    )
    found = slopes(fits_of([0.1, 0.005, 0.1, 0.1], [False, False, False, False]), components, spectra)
    assert found.value[0] == pytest.approx(-0.07 + 0.6 * 0.07 + 0.4 * 0.02)
    assert found.error[0] == pytest.approx(0.025)
    # Too faint; without components.
    assert np.isnan(found.value[1:3]).all()
    assert (found.value[3], found.error[3]) == pytest.approx((0.06, 0.05))
    merged = slopes(fits_of([0.1] * 4, [True, False, False, False]), components, spectra)
    assert np.isnan(merged.value[0])


def test_an_image_without_spectra_or_components_has_none() -> None:
    none = Points(np.zeros(0), np.zeros(0), np.zeros(0))
    one = Points(np.array([100.0]), np.array([250.0]), np.array([0.1]))
    fits = fits_of([0.1] * 4, [False] * 4)
    for components, spectra in (
        (one, None),
        (none, ComponentSpectra(np.zeros(0), np.zeros(0), 0.02)),
        (one, ComponentSpectra(np.array([-0.7]), np.array([np.nan]), 0.02)),
    ):
        assert np.isnan(slopes(fits, components, spectra).value).all()


def test_a_mean_index_is_that_of_the_bright_epochs_and_its_error_holds() -> None:
    rng = np.random.default_rng(3)
    flux = rng.uniform(0.01, 0.1, (2000, 40))
    error = np.full((2000, 40), 0.006)
    slope = -0.8 * flux + error * rng.standard_normal(flux.shape)
    slope[:, ::10] = np.nan
    found = [spectral_index(*rows) for rows in zip(flux, slope, error, strict=True)]
    pulls = [(one.value + 0.8) / one.error for one in found]
    assert np.mean(pulls) == pytest.approx(0, abs=0.1)
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    nothing = spectral_index(np.array([0.1]), np.array([np.nan]), np.array([np.nan]))
    assert np.isnan(nothing.value)


def test_an_event_has_the_colour_that_it_has_and_none_without() -> None:
    """A dip of 30 % at the middle of the band that is as (ν/ν0)^2 deep: dS/dlnν = S α + 0.6 S0."""
    rng = np.random.default_rng(4)
    mjd = np.arange(400.0)
    inside = (mjd >= 100) & (mjd < 140)
    flux = np.where(inside, 0.07, 0.1)
    error = np.full(400, 0.006)
    slope = np.where(inside, -0.7 * 0.07 + 0.06, -0.07) + error * rng.standard_normal(400)
    found = colour_of(mjd, flux, slope, error, 100.0, 40.0)
    assert found.outside.value == pytest.approx(-0.7, abs=4 * found.outside.error)
    assert found.change.value == pytest.approx(0.06 / 0.07, abs=4 * found.change.error)
    assert found.change.error < 0.02
    grey = colour_of(mjd, flux, -0.7 * flux + error * rng.standard_normal(400), error, 100.0, 40.0)
    assert grey.change.value == pytest.approx(0, abs=4 * grey.change.error)
