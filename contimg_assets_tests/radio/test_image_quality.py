"""What quality says of images whose faults are known, and of such as hold nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import Catalogue, cone, install
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.crossmatch import compare_with_survey
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.source_finding import find_sources, read_plane
from contimg_assets.radio.limits import judge, load_limits
from contimg_assets.radio.quality.artefacts import short_spacing_excess, stripe_fraction, white_cells
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.comparison import Match, summary
from contimg_assets_tests.radio.image_folder import (
    BEAM_PIXELS,
    CELL_ARCSEC,
    CENTRE,
    N,
    beam_shape,
    spread_sources,
    write_image_folder,
)


def _numbers(folder: Path, **choices: Any) -> dict[str, Any]:
    complete_products(folder, "g", ArchiveOptions())
    out = folder.parent / "qa"
    out.mkdir()
    return image_numbers(folder, out, folder.parent / "catalogues", CatalogueOptions(**choices))


def _judged(numbers: dict[str, Any]) -> dict[str, str]:
    return {found.metric: found.status for found in judge("image_qa", numbers) if found.measured}


def _install_survey(folder: Path, east_arcsec: float = 0.0, factor: float = 1.0) -> None:
    """The folder's true sources as NVSS would have them, moved and scaled."""
    plane = read_plane(folder / "g.image.fits")
    lines = []
    for x, y, flux in spread_sources():
        ra, dec = plane.sky(x, y)
        lines.append(
            nvss_line(Source("", ra + east_arcsec / 3600 / np.cos(np.deg2rad(dec)), dec, flux * factor, -0.7))
        )
    path = folder.parent / "nvss.dat"
    path.write_text("\n".join(lines) + "\n")
    install(folder.parent / "catalogues", path, "nvss")


def test_a_clean_image_is_good_in_every_number(tmp_path: Path) -> None:
    """Sources in noise with the beam's shape: all numbers within their limits, none missing."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    _install_survey(folder)
    numbers = _numbers(folder)
    assert {name for name, status in _judged(numbers).items() if status != "PASS"} == set()
    # The folder's image has no calibration whose levels are known.
    assert set(load_limits().limits["image_qa"]) - set(numbers) == {"gain_common_change"}
    # 40 sources of 13 to 100σ: all found, none invented; medians of some 25 to a few hundredths.
    assert numbers["n_sources"] == pytest.approx(40, abs=2)
    assert numbers["flux_ratio"] == pytest.approx(1.0, abs=0.02)
    assert numbers["completeness_7sigma"] == 1.0
    assert numbers["injected_completeness_10sigma"] > 0.95
    assert numbers["injected_flux_ratio"] == pytest.approx(1.0, abs=0.05)
    report = (tmp_path / "qa" / "report.html").read_text()
    assert "✓ good" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_wrong_scale_and_place_are_measured_and_corrected_only_on_request(tmp_path: Path) -> None:
    """A survey 25 % brighter and 6″ east shows as ratio 0.8 and offset −6″; the list follows if asked."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    _install_survey(folder, east_arcsec=6.0, factor=1.25)
    numbers = _numbers(folder)
    assert numbers["flux_ratio"] == pytest.approx(0.8, abs=0.02)
    assert numbers["offset_east_arcsec"] == pytest.approx(-6.0, abs=0.5)
    statuses = _judged(numbers)
    assert statuses["flux_ratio_deviation"] == "WARN"
    assert statuses["astrometric_offset_arcsec"] == "WARN"
    raw = Table.read(tmp_path / "qa" / "sources.fits")
    (tmp_path / "qa").rename(tmp_path / "first")
    for stale in ("g.noise.fits", "g.sources.fits"):
        (folder / stale).unlink()
    _numbers(folder, apply_corrections=True)
    corrected = Table.read(tmp_path / "qa" / "sources.fits")
    assert (raw.meta["CORRECTD"], corrected.meta["CORRECTD"]) == (False, True)
    assert float(np.median(corrected["flux_jy"] / raw["flux_jy"])) == pytest.approx(1.25, abs=0.03)
    moved = (corrected["ra_deg"] - raw["ra_deg"]) * np.cos(np.deg2rad(raw["dec_deg"])) * 3600
    assert float(np.median(moved)) == pytest.approx(6.0, abs=0.5)


def test_noise_of_few_antennas_has_no_stripes() -> None:
    """Cells with few data have more noise for their weight with Briggs weighting; a bad baseline is seen."""
    rng = np.random.default_rng(2)
    n = 512
    u = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :])
    # Data in each cell, from a core to few; weights of robust 0, and their noise.
    data = np.where(u < 0.2, 200 * np.exp(-((u / 0.05) ** 2)) + 0.5, 0.0)
    weight = data / (1.0 + 0.5 * data)
    amplitude = np.sqrt(weight / (1.0 + 0.5 * data)) * rng.normal(size=(2, *data.shape))
    noise = np.fft.irfft2(amplitude[0] + 1j * amplitude[1], s=(n, n)).astype(np.float32)
    psf = np.fft.fftshift(np.fft.irfft2(weight, s=(n, n))).astype(np.float32)
    assert stripe_fraction(white_cells(noise, psf)) < 0.005
    x = np.arange(n)
    striped = noise + noise.std() * np.cos(2 * np.pi * 0.11 * (x[:, None] + x[None, :]))
    assert stripe_fraction(white_cells(striped.astype(np.float32), psf)) > 0.2
    # Half a degree and more across: what the shortest spacings see of the Sun.
    cell = np.deg2rad(15 / 3600)
    few = np.fft.rfft2(rng.normal(size=(n, n))) * (u / cell < 100)
    wide = np.fft.irfft2(few, s=(n, n))
    both = noise + noise.std() * wide / wide.std()
    quiet, loud = (short_spacing_excess(white_cells(p.astype(np.float32), psf), cell) for p in (noise, both))
    assert quiet is not None
    assert loud is not None
    assert quiet < 1.0
    assert loud > 10


def test_sources_near_the_beams_edge_are_held_against_the_survey_too(tmp_path: Path) -> None:
    """Completeness and scale stop at a level of the beam; what is found beyond it is no artefact."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    _install_survey(folder)
    plane, power = (read_plane(folder / f"g.{kind}.fits") for kind in ("image", "pb"))
    noise = np.full_like(plane.pixels, 1e-3)
    found = find_sources(plane, power.pixels, noise, 5.0, least_power=0.1)
    assert min(source.power for source in found) < 0.5
    comparison = compare_with_survey(
        found,
        plane,
        power.pixels,
        noise,
        cone(tmp_path / "catalogues", *CENTRE, 3.0, survey="nvss"),
        Catalogue(tmp_path / "catalogues", "nvss").survey,
        frequency_hz=1.405e9,
        typical_index=-0.7,
        least_power=0.7,
        half_power_deg=1.0,
    )
    assert comparison.numbers["n_expected_7sigma"] < len(found)
    assert comparison.numbers["reliability_7sigma"] == 1.0
    # Sources that are counted in both are the same ones: those beyond are not held against none.
    assert comparison.numbers["count_chi2"] < 0.5


def _stripes() -> np.ndarray:
    yy, xx = np.mgrid[:N, :N]
    return 2e-3 * np.cos(2 * np.pi * (xx + 2 * yy) / 40)


def _bowls() -> np.ndarray:
    bowls = [beam_shape(x, y) ** 0.05 - beam_shape(x, y) ** 0.5 for x, y, _ in spread_sources()]
    return -5e-3 * np.sum(bowls, axis=0)


@pytest.mark.parametrize(
    ("artefact", "told_by"), [(_stripes, ("stripe_fraction", "rms_ratio")), (_bowls, ("bowl_sigma",))]
)
def test_artefacts_are_told_by_their_numbers(
    artefact: Callable[[], np.ndarray], told_by: tuple[str, ...], tmp_path: Path
) -> None:
    """Stripes of 2σ, and negative bowls of 5σ around the sources, are past their soft limits at least."""
    statuses = _judged(_numbers(write_image_folder(tmp_path / "image", spread_sources(jy=0.3), artefact())))
    assert "PASS" not in {statuses[name] for name in told_by}


@pytest.mark.parametrize("artefact", [float("nan"), "constant"])
def test_an_image_that_holds_nothing_is_never_good(artefact: Any, tmp_path: Path) -> None:
    """Blank or constant: numbers, a report that says bad, and a verdict of ERROR."""
    folder = write_image_folder(tmp_path / "image", [], 0.0 if isinstance(artefact, str) else artefact)
    if isinstance(artefact, str):
        for kind in ("image", "residual", "pbcor"):
            with fits.open(folder / f"g.{kind}.fits", mode="update") as hdus:
                hdus[0].data[:] = 0.3
                hdus[0].add_checksum()
    numbers = _numbers(folder)
    assert "ERROR" in _judged(numbers).values()
    assert "✕ bad" in (tmp_path / "qa" / "report.html").read_text()
    json.dumps(numbers, allow_nan=False)


def test_noise_alone_is_judged_without_sources(tmp_path: Path) -> None:
    """An empty sky: right noise, no sources, and a dynamic range that says so."""
    numbers = _numbers(write_image_folder(tmp_path / "image", []))
    assert numbers["rms_ratio"] == pytest.approx(1.0, abs=0.05)
    assert numbers["n_sources"] <= 2
    assert _judged(numbers)["dynamic_range"] != "PASS"


def test_a_source_outside_of_the_image_is_warned_of(tmp_path: Path) -> None:
    """One that appears with 300σ beyond the image is a warning, with its number."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    summary = json.loads((folder / "summary.json").read_text())
    summary["outside_sources"] = [{"name": "A", "apparent_jy": 0.3, "distance_deg": 4.0}]
    (folder / "summary.json").write_text(json.dumps(summary))
    numbers = _numbers(folder)
    assert numbers["outside_source_sigma"] == pytest.approx(300.0)
    assert _judged(numbers)["outside_source_sigma"] == "WARN"


def test_products_are_complete_and_vouched_for(tmp_path: Path) -> None:
    """Noise map, list, ObsCore, checksums that fit, FITS checksums in every HDU, and no verdict yet."""
    folder = write_image_folder(tmp_path / "image", spread_sources())
    assert set(complete_products(folder, "g", ArchiveOptions())) == {"n_sources"}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert file_sha256(folder / name) == digest
    for path in folder.glob("*.fits"):
        with fits.open(path, checksum=True) as hdus:
            assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
            # Nobody has judged the image when it is published.
            assert not [name for hdu in hdus for name in hdu.header if name.startswith("QA")]
    assert np.median(fits.getdata(folder / "g.noise.fits")) == pytest.approx(1e-3, rel=0.1)
    listed = Table.read(folder / "g.sources.fits")
    assert str(listed["flux_jy"].unit) == "Jy"
    assert (np.abs(listed["major_arcsec"][:5] - BEAM_PIXELS[0] * CELL_ARCSEC) < 10).all()
    known = json.loads((folder / "obscore.json").read_text())
    assert known["s_fov"] == pytest.approx(N * CELL_ARCSEC / 3600)
    assert known["em_min"] == pytest.approx(0.2, abs=0.01)
    assert known["s_region"].startswith("POLYGON ICRS 35")
    assert len(known["s_region"].split()) == 10


def test_a_flux_scale_that_changes_with_radius_is_told() -> None:
    """4 % lost at half power, among sources of 1 % scatter and one that is wrong altogether."""
    rng = np.random.default_rng(0)
    radius = np.linspace(0.0, 1.6, 60)
    ratio = 1.0 - 0.04 * radius + rng.normal(0, 0.01, 60)
    ratio[7] = 3.0
    matches = [
        Match(str(n), 1.0, float(q), 0.1, 50.0, float(r), 0.1, 0.0)
        for n, (r, q) in enumerate(zip(radius, ratio, strict=True))
    ]
    assert summary(matches)["flux_ratio_slope"] == pytest.approx(-0.04, abs=0.02)
    assert "flux_ratio_slope" not in summary(matches[:9])
