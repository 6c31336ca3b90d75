"""Groups at the edge of what can be imaged: a valid product that is judged rightly, or a plain refusal."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from contimg_assets.radio import beam, telescope
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.source_finding import fit_point, read_plane
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.limits import judge, worst
from contimg_assets.radio.measurement_set import read_shape
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
HALF_POWER_DEG = float(np.rad2deg(beam.half_power_radius(1.405e9)))
FIELD_DEG = 4.0


def _observed(folder: Path, offsets: list[tuple[float, float, float]]) -> Path:
    simulate(observe(around(START, DEC_DEG, offsets), DEC_DEG, UNCORRUPTED), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    return folder / "group.ms"


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources in the beam; the noise of a tiny group's image is some 3 mJy."""
    return _observed(tmp_path_factory.mktemp("usual"), [(0.0, 0.1, 2.0), (0.4, -0.3, 1.0), (-0.5, 0.45, 0.8)])


def _image(ms: Path, folder: Path) -> tuple[Path, dict[str, Any], str]:
    """Products, numbers and the verdict over all of them."""
    (folder / "work").mkdir(parents=True)
    make_image(
        ms,
        folder / "out",
        folder / "work",
        ImagingOptions(field_deg=FIELD_DEG),
        name="x",
        provenance=None,
        threads=1,
    )
    complete_products(folder / "out", "x", ArchiveOptions())
    (folder / "qa").mkdir()
    numbers = image_numbers(folder / "out", folder / "qa", folder / "catalogues", CatalogueOptions())
    judged = worst(found.status for found in judge("image_qa", numbers))
    # The corrected image ends where the beam does; sources and components are tables.
    for path in (folder / "out").glob("x.*.fits"):
        if path.name not in ("x.sources.fits", "x.components.fits", "x.pbcor.fits"):
            assert np.isfinite(fits.getdata(path)).all(), path
    return folder / "out", numbers, judged


def _flagged(ms: Path, folder: Path, chosen: Callable[[tuple[int, ...]], np.ndarray]) -> Path:
    """A clone with more flags: ``chosen`` takes the shape (rows, channels, polarisations)."""
    from casacore.tables import table

    shutil.copytree(ms, folder / "flagged.ms")
    with table(str(folder / "flagged.ms"), readonly=False, ack=False) as main:
        flags = main.getcol("FLAG")
        main.putcol("FLAG", flags | chosen(flags.shape))
    return folder / "flagged.ms"


def test_an_empty_sky_has_its_noise_and_no_sources(tmp_path: Path) -> None:
    """One source of 1 µJy: the expected noise to 4 %, two chance detections at most, and not called good."""
    _, numbers, judged = _image(_observed(tmp_path, [(0.0, 0.0, 1e-6)]), tmp_path / "image")
    assert numbers["rms_ratio"] == pytest.approx(1.0, abs=0.04)
    assert numbers["n_sources"] <= 2
    # Nothing in it is over 20σ, as something should be.
    assert judged != "PASS"


def test_fifty_jansky_at_half_power_are_measured(tmp_path: Path) -> None:
    """8 000 times the noise, where the beam changes by a tenth through the group: 1 %, and in its place.

    The noise may rise to twice the expected: 1e-4 of the source's sidelobes.
    """
    ms = _observed(tmp_path, [(HALF_POWER_DEG, 0.0, 50.0)])
    out, numbers, judged = _image(ms, tmp_path / "image")
    plane, power = read_plane(out / "x.image.fits"), read_plane(out / "x.pb.fits").pixels
    y, x = np.unravel_index(int(plane.pixels.argmax()), plane.pixels.shape)
    found = fit_point(plane, float(x), float(y))
    assert found is not None
    assert found.flux_jy / power[y, x] == pytest.approx(50.0, rel=0.01)
    assert numbers["rms_ratio"] < 2.0
    assert numbers["false_fraction"] < 0.2 if "false_fraction" in numbers else numbers["n_sources"] < 10
    assert judged != "ERROR"


def test_a_source_on_the_edge_is_no_ghost_on_the_other(tmp_path: Path) -> None:
    """20 Jy within the rim (the width is rounded up to a good transform): the opposite rim holds noise."""
    half = FIELD_DEG / 2
    out, numbers, judged = _image(_observed(tmp_path, [(half - 0.005, 0.0, 20.0)]), tmp_path / "image")
    pixels = read_plane(out / "x.image.fits").pixels
    n = len(pixels)
    rows = slice(n // 2 - 5, n // 2 + 6)
    assert pixels[rows, :30].max() > 100 * numbers["rms_mjy_beam"] / 1e3
    assert np.abs(pixels[rows, -6:]).max() < 6 * numbers["rms_mjy_beam"] / 1e3
    assert judged != "ERROR"


def test_sixty_per_cent_of_flags_cost_noise_and_nothing_else(usual: Path, tmp_path: Path) -> None:
    """Flags at random: the expected noise grows by 1/√0.4 and is met to 10 %, the sources stay."""
    rng = np.random.default_rng(2)
    _, before, _ = _image(usual, tmp_path / "before")
    ms = _flagged(usual, tmp_path, lambda shape: rng.random(shape) < 0.6)
    _, numbers, judged = _image(ms, tmp_path / "after")
    assert numbers["flag_fraction"] == pytest.approx(0.6, abs=0.01)
    ratio = numbers["expected_rms_mjy_beam"] / before["expected_rms_mjy_beam"]
    assert ratio == pytest.approx(0.4**-0.5, rel=0.05)
    assert numbers["rms_ratio"] == pytest.approx(before["rms_ratio"], rel=0.1)
    assert numbers["brightest_source_jy"] == pytest.approx(before["brightest_source_jy"], rel=0.03)
    # More than 0.35 flagged is a warning.
    assert judged == "WARN"


def test_one_subband_makes_an_image_that_is_not_good(usual: Path, tmp_path: Path) -> None:
    """A sixteenth of the band: four times the noise, its own frequency, and a verdict of bad."""

    def others(shape: tuple[int, ...]) -> np.ndarray:
        flags = np.ones(shape, bool)
        flags[:, : shape[1] // 16] = False
        return flags

    out, numbers, judged = _image(_flagged(usual, tmp_path, others), tmp_path / "image")
    header = fits.getheader(out / "x.image.fits")
    frequencies = read_shape(usual).frequencies_hz
    assert header["CRVAL3"] == pytest.approx(frequencies[: len(frequencies) // 16].mean(), rel=1e-3)
    assert header["CDELT3"] == pytest.approx(telescope.SUBBAND_BANDWIDTH_HZ, rel=0.01)
    assert numbers["rms_ratio"] == pytest.approx(1.0, abs=0.3)
    assert judged == "ERROR"


def test_a_fully_flagged_group_is_refused(usual: Path, tmp_path: Path) -> None:
    """By name, before anything is written."""
    ms = _flagged(usual, tmp_path, lambda shape: np.ones(shape, bool))
    with pytest.raises(ImagingError, match="every visibility is flagged"):
        _image(ms, tmp_path / "image")
    assert not list((tmp_path / "image").rglob("*.fits"))
