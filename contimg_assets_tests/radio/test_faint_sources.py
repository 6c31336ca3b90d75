"""Faint sources are not measured too faint, and a bias that bright ones do not show has a number."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.images.faint_sources import faint_numbers
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.restore import fit_beam
from contimg_assets.radio.images.source_finding import (
    ImagePlane,
    find_sources,
    fit_point,
    gaussian,
    read_plane,
)
from contimg_assets.radio.limits import judge
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.simulation.comparison import Match, by_signal_to_noise, detections
from contimg_assets_tests.radio.image_folder import (
    N,
    beam_shape,
    header,
    spread_sources,
    write_image_folder,
)

CELL_ARCSEC = 4.0


def _dirty_beam(n: int = 200) -> NDArray[np.float64]:
    """A core of 32″ × 16″ on a plateau, as an array with two dense arms has."""
    yy, xx = np.mgrid[:n, :n] - n // 2
    core = gaussian(xx.astype(float), yy.astype(float), 8.0, 4.0, np.pi / 2)
    return 0.7 * core + 0.3 * gaussian(xx.astype(float), yy.astype(float), 30.0, 12.0, np.pi / 2)


def _plane(pixels: NDArray[np.float64], beam: RestoringBeam) -> ImagePlane:
    n, wcs = len(pixels), WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---SIN", "DEC--SIN"], [350.0, 16.0], [n // 2 + 1] * 2
    wcs.wcs.cdelt = [-CELL_ARCSEC / 3600, CELL_ARCSEC / 3600]
    axes = beam.major_arcsec / CELL_ARCSEC, beam.minor_arcsec / CELL_ARCSEC
    return ImagePlane(pixels, wcs, *axes, float(np.deg2rad(beam.position_angle_deg)), 1.4e9)


def test_what_clean_leaves_is_measured_whole() -> None:
    """The source list's fit sees the dirty beam with its own height to 2 %, plateau or not.

    A beam that takes in the plateau, as one fitted above 0.35 does, sees a tenth less.
    """
    psf = _dirty_beam()
    beam = fit_beam(psf.astype(np.float32), CELL_ARCSEC)
    point = fit_point(_plane(psf, beam), 100, 100)
    assert point is not None
    assert point.flux_jy == pytest.approx(1.0, abs=0.02)
    wide = RestoringBeam(1.4 * beam.major_arcsec, 1.15 * beam.minor_arcsec, beam.position_angle_deg)
    lost = fit_point(_plane(psf, wide), 100, 100)
    assert lost is not None
    assert lost.flux_jy < 0.93


def test_a_restoring_beam_unlike_the_dirty_beam_is_told(tmp_path: Path) -> None:
    """The dirty beam is 0.7 times as wide: its numbers, and the flux densities of what is put in, warn."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    narrow = (beam_shape(N // 2, N // 2) ** 2).astype(np.float32)
    fits.PrimaryHDU(narrow[None, None], header()).writeto(
        folder / "g.psf.fits", overwrite=True, checksum=True
    )
    complete_products(folder, "g", ArchiveOptions())
    (tmp_path / "qa").mkdir()
    numbers = image_numbers(folder, tmp_path / "qa", tmp_path / "none", CatalogueOptions())
    statuses = {found.metric: found.status for found in judge("image_qa", numbers) if found.measured}
    assert statuses["beam_misfit"] != "PASS"
    assert statuses["beam_flux_error"] != "PASS"
    # 3σ of dirty beam are left of each.
    assert numbers["injected_flux_bias_sigma"] == pytest.approx(-3 * numbers["beam_flux_error"], abs=0.3)
    assert statuses["injected_flux_error_sigma"] != "PASS"


def _faint_field(lost_sigma: float) -> tuple[ImagePlane, NDArray[np.float64], NDArray[np.float64]]:
    """Sources of 7 to 200σ on a grid, each of them too faint by a part of the noise."""
    rng = np.random.default_rng(11)
    places = np.array([(x, y) for y in range(30, 1170, 40) for x in range(30, 1170, 40)], float)
    places += rng.uniform(-0.5, 0.5, places.shape)
    snr = np.exp(rng.uniform(np.log(7), np.log(200), len(places)))
    pixels = np.zeros((1200, 1200))
    yy, xx = np.mgrid[-15:16, -15:16].astype(float)
    for (x, y), height in zip(places, snr + rng.normal(size=len(places)) - lost_sigma, strict=True):
        at = (slice(round(y) - 15, round(y) + 16), slice(round(x) - 15, round(x) + 16))
        pixels[at] += height * gaussian(xx - (x - round(x)), yy - (y - round(y)), 8.0, 4.0, 0.3)
    beam = RestoringBeam(8.0 * CELL_ARCSEC, 4.0 * CELL_ARCSEC, float(np.rad2deg(0.3)))
    return _plane(pixels * 1e-3, beam), places, snr * 1e-3


def test_a_bias_of_faint_sources_has_a_number() -> None:
    """Half a σ from each, against a survey: found within its error; none is found where none is.

    Some 280 sources of 7 to 30σ with a scatter of 1σ: the median is known to 0.08σ.
    """
    for lost in (0.0, 0.5):
        plane, places, expected = _faint_field(lost)
        flat, noise = np.ones((1200, 1200), np.float32), np.full((1200, 1200), 1e-3, np.float32)
        numbers = faint_numbers(plane, flat, noise, places, expected)
        assert numbers["faint_flux_bias_sigma"] == pytest.approx(-lost, abs=0.25)
        assert numbers["faint_flux_bias_error_sigma"] == pytest.approx(0.1, abs=0.05)
        assert (numbers["faint_flux_excess_sigma"] > 0.1) == (lost > 0)
    assert numbers["flux_ratio_7_10sigma"] < 0.97
    assert numbers["flux_ratio_over_50sigma"] == pytest.approx(1.0, abs=0.01)
    assert faint_numbers(plane, flat, noise, places[:0], expected[:0]) == {}


def test_a_source_over_5_sigma_is_listed_wherever_its_peak_lies() -> None:
    """5.2σ between four pixels, of which none has 5σ: the fit decides."""
    yy, xx = np.mgrid[:100, :100].astype(float)
    beam = RestoringBeam(5.0 * CELL_ARCSEC, 4.0 * CELL_ARCSEC, 0.0)
    plane = _plane(5.2 * gaussian(xx - 50.5, yy - 50.5, 5.0, 4.0, 0.0), beam)
    assert plane.pixels.max() < 5.0
    ones = np.ones((100, 100), np.float32)
    (found,) = find_sources(plane, ones, ones, 5.0, least_power=0.1)
    assert found.signal_to_noise == pytest.approx(5.2, abs=0.01)


def test_the_truth_is_compared_by_signal_to_noise(tmp_path: Path) -> None:
    """Ratios by bins, with their errors; what is listed, and what of that is not true."""
    rng = np.random.default_rng(2)
    matches = [
        Match(str(k), 1.0, 0.95 + rng.normal(0, 0.1), 0.1, snr, 0.5, 0.1, 0.0)
        for k, snr in enumerate([8.0] * 100 + [20.0] * 100)
    ]
    low, high = by_signal_to_noise(matches)
    assert (low.low, low.high, high.low, high.high) == (7.0, 10.0, 10.0, 30.0)
    assert low.median == pytest.approx(0.95, abs=0.04)
    assert low.error == pytest.approx(0.0125, rel=0.3)
    sources = spread_sources()
    folder = write_image_folder(tmp_path / "image", sources)
    complete_products(folder, "g", ArchiveOptions())
    plane, power = read_plane(folder / "g.image.fits"), read_plane(folder / "g.pb.fits").pixels
    true = []
    for x, y, flux in sources[:-1]:
        ra, dec = plane.sky(x, y)
        true.append(
            {"ra_deg": ra, "dec_deg": dec, "mean_apparent_jy": float(flux * power[round(y), round(x)])}
        )
    (tmp_path / "truth.json").write_text(json.dumps({"sources": true}))
    listed = detections(tmp_path / "truth.json", folder)
    # The last of the sources is not in the truth; it appears with 10σ.
    assert listed.n_false == 1
    assert listed.n_listed == len(sources)
    assert {part for low, _, _, part in listed.completeness if low >= 10} == {1.0}
