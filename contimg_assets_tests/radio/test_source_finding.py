"""Measuring points: synthetic Gaussians of known place and height."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.optimize import least_squares

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.noise import noise_map, robust_rms
from contimg_assets.radio.images.peaks import find_peaks
from contimg_assets.radio.images.source_finding import (
    ImagePlane,
    condon_errors,
    find_sources,
    fit_point,
    read_plane,
)
from contimg_assets.radio.images.source_table import (
    SOURCES,
    listed_sources,
    read_source_table,
    source_table,
)

N = 200
CELL_DEG = 4.0 / 3600
#: Full widths at half maximum in pixels, position angle in degrees: elongated and turned, as ours are.
MAJOR, MINOR, ANGLE = 12.0, 4.0, 35.0


def wcs_of(n: int) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    # At 0h: positions on either side of it.
    wcs.wcs.crval = [0.0, 54.5]
    wcs.wcs.crpix = [n // 2 + 1] * 2
    wcs.wcs.cdelt = [-CELL_DEG, CELL_DEG]
    return wcs


def gaussian(x: float, y: float, peak: float) -> NDArray[np.float64]:
    """A point seen through the restoring beam, written out from the definition of position angle."""
    yy, xx = np.mgrid[:N, :N].astype(float)
    east, north = -(xx - x), yy - y
    angle = np.deg2rad(ANGLE)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = east * np.cos(angle) - north * np.sin(angle)
    return peak * 0.5 ** ((2 * along / MAJOR) ** 2 + (2 * across / MINOR) ** 2)


def plane_of(pixels: NDArray[np.float64]) -> ImagePlane:
    return ImagePlane(pixels, wcs_of(N), MAJOR, MINOR, float(np.deg2rad(ANGLE)), 1.4e9)


@pytest.mark.parametrize(("x", "y"), [(100.0, 100.0), (60.37, 140.81), (150.5, 30.5), (20.9, 99.2)])
def test_a_point_is_recovered_exactly_without_noise(x: float, y: float) -> None:
    """Any sub-pixel place: flux density to 1e-4, place to 1e-3 pixels, where the least-squares fit stops."""
    plane = plane_of(gaussian(x, y, 0.73))
    found = fit_point(plane, x + 0.8, y - 0.7)
    assert found is not None
    assert found.flux_jy == pytest.approx(0.73, rel=1e-4)
    assert (found.x, found.y) == pytest.approx((x, y), abs=1e-3)
    ra, dec = wcs_of(N).all_pix2world(x, y, 0)
    difference = (found.ra_deg - ra + 180) % 360 - 180
    assert difference * np.cos(np.deg2rad(dec)) == pytest.approx(0, abs=2e-3 * CELL_DEG)
    assert found.dec_deg == pytest.approx(float(dec), abs=2e-3 * CELL_DEG)


def test_errors_in_noise_are_those_of_the_signal_to_noise_ratio() -> None:
    """Of 60 points of 30σ: flux densities unbiased, scatter in flux density and place as theory has it.

    Noise whose autocorrelation is the beam, as in an image, for which Condon (1997) gives σ_S/S = 1/snr
    and FWHM/2.35/snr for the place on either axis.  A scatter of 60 is known to 9 %, so ± 30 % are 3σ;
    a mean of 60 is known to 13 % of the scatter.
    """
    rng = np.random.default_rng(5)
    beam = np.fft.rfft2(np.fft.ifftshift(gaussian(N // 2, N // 2, 1.0)))
    flux, along, across = [], [], []
    angle = np.deg2rad(ANGLE)
    for _ in range(60):
        white = np.fft.rfft2(rng.normal(size=(N, N)))
        noise = np.fft.irfft2(white * np.sqrt(np.abs(beam)), s=(N, N))
        x, y = rng.uniform(40, N - 40, 2)
        found = fit_point(plane_of(gaussian(x, y, 30.0) + noise / noise.std()), x, y)
        assert found is not None
        flux.append(found.flux_jy)
        east, north = -(found.x - x), found.y - y
        along.append(east * np.sin(angle) + north * np.cos(angle))
        across.append(east * np.cos(angle) - north * np.sin(angle))
    errors = condon_errors(30.0, MAJOR, MINOR, MAJOR, MINOR)
    assert errors.peak == pytest.approx(1 / 30)
    assert np.std(flux) / 30 == pytest.approx(errors.peak, rel=0.3)
    assert np.std(along) == pytest.approx(errors.along, rel=0.3)
    assert np.std(across) == pytest.approx(errors.across, rel=0.3)
    assert np.mean(flux) == pytest.approx(30.0, abs=4 / np.sqrt(60))


def test_what_cannot_be_fitted_gives_nothing() -> None:
    """The rim, blank pixels and a place without a source have no measurement, rather than a wrong one."""
    pixels = gaussian(100.0, 100.0, 1.0)
    assert fit_point(plane_of(pixels), 3.0, 100.0) is None
    assert fit_point(plane_of(pixels), 100.0, N - 2.0) is None
    blank = pixels.copy()
    blank[104, 101] = np.nan
    assert fit_point(plane_of(blank), 100.0, 100.0) is None


def test_sources_are_found_above_the_local_noise_brightest_first() -> None:
    """Three of four exceed 6σ; the beam is divided out, and where it is too low nothing is listed."""
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 0.01, (N, N))
    true = [(50.2, 60.7, 0.5), (140.4, 150.1, 1.0), (150.3, 50.6, 0.2), (60.0, 150.0, 0.03)]
    flat = plane_of(noise + sum(gaussian(*source) for source in true))
    power = np.full((N, N), 0.5, np.float32)
    level = np.full((N, N), 0.01, np.float32)
    found = find_sources(flat, power, level, 6.0, least_power=0.1)
    assert [round(s.flux_jy, 1) for s in found] == [2.0, 1.0, 0.4]
    assert not any(s.resolved for s in found)
    for source, (x, y, flux) in zip(found, sorted(true, key=lambda s: -s[2]), strict=False):
        # Uncorrelated noise: a tenth of a pixel and 3 % are several standard errors.
        assert (source.point.x, source.point.y) == pytest.approx((x, y), abs=0.25)
        assert source.flux_jy == pytest.approx(2 * flux, rel=0.05)
    power[:, 100:] = 0.05
    assert [round(s.flux_jy, 1) for s in find_sources(flat, power, level, 6.0, least_power=0.1)] == [1.0]
    level[:100] = 0.2
    assert len(find_sources(flat, np.ones((N, N), np.float32), level, 6.0, least_power=0.1)) == 1


def test_a_fit_ends_where_another_solver_does() -> None:
    """Points of 5 to 100σ, from the wrong pixel: a thousandth of the noise to MINPACK's solution."""
    rng = np.random.default_rng(5)
    for peak in np.geomspace(0.05, 1.0, 40):
        x, y = rng.uniform(95, 105, 2)
        pixels = gaussian(x, y, peak) + rng.normal(0, 0.01, (N, N))
        at = round(x + rng.uniform(-1, 1)), round(y + rng.uniform(-1, 1))
        core = gaussian(*at, 1.0) > 0.5

        def left(p: NDArray[np.float64], core: NDArray, pixels: NDArray) -> NDArray[np.float64]:
            return (gaussian(p[1], p[2], p[0]) - pixels)[core]

        start = [pixels[core].max(), *at]
        other = least_squares(left, start, args=(core, pixels), xtol=1e-12, ftol=1e-12, method="lm")
        found = fit_point(plane_of(pixels), *at)
        assert found is not None
        assert found.flux_jy == pytest.approx(other.x[0], abs=1e-5)
        assert (found.x, found.y) == pytest.approx(tuple(other.x[1:]), abs=1e-3)


def test_peaks_of_the_negative_are_those_of_the_image_turned_over() -> None:
    """Highest first; none at a rim, beside a blank pixel, or where there is no noise."""
    pixels = np.random.default_rng(3).normal(0, 0.01, (N, N))
    pixels[100, 100] = np.nan
    level = np.full((N, N), 0.01, np.float32)
    level[:, 150:] = 0.0
    turned = find_peaks(plane_of(-pixels), level, 2.5)
    assert np.array_equal(find_peaks(plane_of(pixels), level, 2.5, negative=True), turned)
    heights = -pixels[turned[:, 1], turned[:, 0]]
    assert len(turned) > 100
    assert (np.diff(heights) <= 0).all()
    assert (heights > 0.025).all()
    assert ((turned > 0) & (turned < (150, N - 1))).all()
    assert not (np.abs(turned - 100).max(axis=1) <= 1).any()


def test_a_list_that_is_read_again_is_the_list(tmp_path: Path) -> None:
    """Places, flux densities, errors, sizes: to rounding; a folder without one says what to do."""
    noise = np.random.default_rng(8).normal(0, 0.01, (N, N))
    wide = gaussian(60, 150, 1.0) + gaussian(62, 153, 1.0)
    plane = plane_of(noise + gaussian(50.2, 60.7, 0.5) + gaussian(150.3, 50.6, 0.1) + wide)
    level = np.full((N, N), 0.01, np.float32)
    made = find_sources(plane, np.full((N, N), 0.5, np.float32), level, 6.0, least_power=0.1)
    assert {source.resolved for source in made} == {True, False}
    cell = 3600 * CELL_DEG
    table = source_table(made, cell, {"beam_major_arcsec": 40.0}, {})
    table.write(tmp_path / f"g.{SOURCES}")
    read = listed_sources(read_source_table(tmp_path, "g"), cell)
    assert len(read) == len(made)
    for before, after in zip(made, read, strict=True):
        for name in ("flux_jy", "flux_error_jy", "signal_to_noise", "power", "ra_error_arcsec"):
            assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-12), name
        assert vars(after.point) == pytest.approx(vars(before.point), rel=1e-12)
        assert after.resolved == before.resolved
        shapes = [(s.major_pixels, s.minor_pixels, np.sin(2 * s.angle_rad)) for s in (before, after)]
        assert shapes[1] == pytest.approx(shapes[0], rel=1e-9, nan_ok=True)
    with pytest.raises(MissingInputError, match="image the group again"):
        read_source_table(tmp_path, "h")


def test_neighbours_beyond_a_beam_stay_two_and_shoulders_do_not_count() -> None:
    """Two points 1.5 beams apart across the minor axis are two; one point in noise is one."""
    step = 1.5 * MINOR
    angle = np.deg2rad(ANGLE)
    x, y = 100 - step * np.cos(angle), 100 - step * np.sin(angle)
    pixels = gaussian(100, 100, 1.0) + gaussian(x, y, 0.7)
    one, level = np.ones((N, N), np.float32), np.full((N, N), 0.01, np.float32)
    assert len(find_sources(plane_of(pixels), one, level, 6.0, least_power=0.1)) == 2
    assert len(find_sources(plane_of(gaussian(100, 100, 1.0)), one, level, 6.0, least_power=0.1)) == 1


def test_extended_source_is_resolved_and_keeps_its_flux_density() -> None:
    """A Gaussian √2 times the beam on both axes has twice its peak's flux density; 2 % at 100σ."""
    yy, xx = np.mgrid[:N, :N].astype(float)
    angle = np.deg2rad(ANGLE)
    along = -(xx - 100) * np.sin(angle) + (yy - 100) * np.cos(angle)
    across = (xx - 100) * np.cos(angle) + (yy - 100) * np.sin(angle)
    pixels = 0.5 ** ((2 * along / MAJOR) ** 2 / 2 + (2 * across / MINOR) ** 2 / 2)
    one, level = np.ones((N, N), np.float32), np.full((N, N), 0.01, np.float32)
    (found,) = find_sources(plane_of(pixels), one, level, 6.0, least_power=0.1)
    assert found.resolved
    assert found.flux_jy == pytest.approx(2.0, rel=0.02)
    assert found.major_pixels == pytest.approx(np.sqrt(2) * MAJOR, rel=0.01)


def test_a_plane_is_read_with_its_coordinates_and_beam(tmp_path: Path) -> None:
    """Beam in pixels, position angle, and pixel ↔ sky both ways, from a four-axis file."""
    header = wcs_of(N).to_header()
    header["BMAJ"], header["BMIN"], header["BPA"] = MAJOR * CELL_DEG, MINOR * CELL_DEG, ANGLE
    header["CTYPE3"], header["CRVAL3"], header["CRPIX3"], header["CDELT3"] = "FREQ", 1.4e9, 1.0, 1.9e8
    header["CTYPE4"], header["CRVAL4"], header["CRPIX4"], header["CDELT4"] = "STOKES", 1.0, 1.0, 1.0
    fits.PrimaryHDU(gaussian(100, 100, 1.0)[None, None].astype(np.float32), header).writeto(
        tmp_path / "a.fits"
    )
    plane = read_plane(tmp_path / "a.fits")
    assert (plane.major_pixels, plane.minor_pixels) == pytest.approx((MAJOR, MINOR))
    assert plane.position_angle_rad == pytest.approx(np.deg2rad(ANGLE))
    assert plane.sky(100, 100) == pytest.approx((0.0, 54.5), abs=1e-9)
    for x, y in ((12.3, 170.9), (180.0, 5.0)):
        assert plane.pixel(*plane.sky(x, y)) == pytest.approx((x, y), abs=1e-6)


def test_noise_is_measured_without_the_sources() -> None:
    """Bright sources on a twentieth of the pixels move the robust rms by less than 8 %; blanks by nothing."""
    rng = np.random.default_rng(9)
    pixels = rng.normal(0, 2.0, (500, 500)).astype(np.float32)
    assert robust_rms(pixels) == pytest.approx(2.0, rel=0.01)
    pixels[rng.random((500, 500)) < 0.05] += 500.0
    pixels[:20] = np.nan
    assert robust_rms(pixels) == pytest.approx(2.0, rel=0.08)


def test_noise_map_follows_the_noise() -> None:
    """Noise that doubles across the image is followed to 15 % away from the step, sources or none."""
    rng = np.random.default_rng(10)
    level = np.where(np.arange(600) < 300, 1.0, 2.0)[None, :]
    pixels = (rng.normal(size=(600, 600)) * level).astype(np.float32)
    pixels[100:110, 100:110] = 300
    found = noise_map(pixels, 5.0)
    assert found.shape == pixels.shape
    assert found[:, :180] == pytest.approx(1.0, abs=0.15)
    assert found[:, 420:] == pytest.approx(2.0, abs=0.3)


def test_noise_of_a_blank_image_is_not_a_number() -> None:
    """NaN, neither zero nor an error."""
    blank = np.full((300, 300), np.nan, np.float32)
    assert np.isnan(robust_rms(blank))
    assert np.isnan(noise_map(blank, 5.0)).all()
