"""What errors of calibration leave around bright sources must not become sources."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.sidelobes import add_sidelobes, negative_peaks
from contimg_assets.radio.images.source_finding import ImagePlane, find_sources, fit_point
from contimg_assets_tests.radio.image_folder import BEAM_PIXELS, NOISE_JY, N, beam_shape, header

ONE = np.ones((N, N), np.float32)
LEVEL = np.full((N, N), NOISE_JY, np.float32)
BRIGHT = (150.0, 260.0, 2.0)
FAINT = [(300.0, 100.0, 0.009), (80.0, 90.0, 0.02), (310.0, 320.0, 0.05)]


def _noise() -> NDArray[np.float64]:
    white = np.fft.rfft2(np.random.default_rng(3).normal(size=(N, N)))
    noise = np.fft.irfft2(white * np.abs(np.fft.rfft2(beam_shape(N // 2, N // 2))) ** 0.5, s=(N, N))
    return NOISE_JY * noise / noise.std()


def _cross(x: float, y: float, sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sidelobes of two arms, 0.1 of the peak, in pieces of a beam's width; ``sign`` gives each its own."""
    yy, xx = np.mgrid[:N, :N] - np.array([y, x]).reshape(2, 1, 1)
    arms = 0.1 * (np.exp(-((yy / 3) ** 2)) + np.exp(-((xx / 3) ** 2)))
    pieces = sign[(np.abs(xx) + np.abs(yy)).astype(int) // 10] * np.cos(np.pi * (xx + yy) / 10) ** 2
    return arms * pieces * (np.hypot(xx, yy) > 12)


def _plane(pixels: NDArray[np.float64]) -> ImagePlane:
    return ImagePlane(pixels, celestial_wcs(header()), *BEAM_PIXELS, 0.0, 1.4e9)


def _psf() -> NDArray[np.float32]:
    return (beam_shape(N // 2, N // 2) + _cross(N // 2, N // 2, np.ones(200))).astype(np.float32)


def test_remains_of_sidelobes_are_no_sources_and_sources_stay() -> None:
    """A tenth of the sidelobes with random signs is 20σ along the arms: many false sources, then hardly one.

    The three true sources, away from the arms, keep their place and their noise.
    """
    signs = np.random.default_rng(1).choice([-1.0, 1.0], 200)
    sky = sum(flux * beam_shape(x, y) for x, y, flux in [BRIGHT, *FAINT])
    plane = _plane(_noise() + sky + 0.1 * BRIGHT[2] * _cross(*BRIGHT[:2], signs))
    plain = find_sources(plane, ONE, LEVEL, 5.0, least_power=0.1)
    assert len(plain) > 20
    noise = add_sidelobes(plane, LEVEL, _psf(), ONE, 5.0, 0.1)
    found = find_sources(plane, ONE, noise, 5.0, least_power=0.1)
    for x, y, _ in [BRIGHT, *FAINT]:
        assert min(np.hypot(s.point.x - x, s.point.y - y) for s in found) < 2
        assert noise[round(y), round(x)] < 1.05 * NOISE_JY
    # One in twenty of the negative peaks is not accounted for, so of the positive ones about as many.
    assert len(found) <= 1 + len(FAINT) + 2
    assert len(negative_peaks(plane, noise, ONE, 5.0, 0.1)) <= 0.1 * len(
        negative_peaks(plane, LEVEL, ONE, 5.0, 0.1)
    )


def test_the_edge_of_a_bright_sources_beam_has_the_noise_of_what_lies_beyond() -> None:
    """Where remains are 20σ, the noise 7 pixels off (the beam has 5) is several times the level.

    The source itself keeps its noise.
    """
    signs = np.random.default_rng(1).choice([-1.0, 1.0], 200)
    remains = 0.1 * BRIGHT[2] * _cross(*BRIGHT[:2], signs)
    noise = add_sidelobes(
        _plane(_noise() + BRIGHT[2] * beam_shape(*BRIGHT[:2]) + remains), LEVEL, _psf(), ONE, 5.0, 0.1
    )
    x, y = (round(v) for v in BRIGHT[:2])
    assert noise[y, x] < 1.05 * NOISE_JY
    assert noise[y + 7, x] > 3 * NOISE_JY


def test_noise_alone_and_a_bright_source_without_remains_are_left_as_they_are() -> None:
    """No negative peak tells of anything, so nothing is added."""
    sky = sum(flux * beam_shape(x, y) for x, y, flux in [BRIGHT, *FAINT])
    assert np.array_equal(add_sidelobes(_plane(_noise() + sky), LEVEL, _psf(), ONE, 5.0, 0.1), LEVEL)
    assert np.array_equal(add_sidelobes(_plane(_noise()), LEVEL, _psf(), ONE, 5.0, 0.1), LEVEL)


def test_the_ring_that_clean_leaves_around_a_bright_source_counts_as_nothing() -> None:
    """A negative ring within a beam of it says nothing of false sources: none could be found there."""
    x, y, flux = BRIGHT
    ring = -0.02 * flux * (beam_shape(x, y) ** 0.5 - beam_shape(x, y)) * (beam_shape(x, y) > 0.06)
    plane = _plane(_noise() + flux * beam_shape(x, y) + ring)
    assert len(negative_peaks(plane, LEVEL, ONE, 5.0, 0.1)) == 0


@pytest.mark.long
def test_a_fit_that_runs_up_a_slope_is_not_a_source() -> None:
    """One high pixel on a steep wing: the beam fitted there lies beyond the pixels it was fitted to."""
    xx = np.mgrid[:N, :N][1].astype(float)
    pixels = 0.02 * np.exp(-(xx - 150)) * (xx > 140)
    pixels[200, 150] = 1.01 * pixels[200, 149]
    plane = _plane(pixels)
    fitted = fit_point(plane, 150.0, 200.0)
    assert fitted is not None
    assert fitted.x < 148
    assert fitted.flux_jy > 5 * NOISE_JY
    found = find_sources(plane, ONE, LEVEL, 5.0, least_power=0.1)
    assert not [s for s in found if abs(s.point.y - 200) < 3 and 145 < s.point.x < 155]
