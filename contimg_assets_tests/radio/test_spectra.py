"""Spectral indices of bright sources: measured rightly, and taken out of the image."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.imaging import major_cycle
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.spectra import Spectra, SpectraModel
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
#: East, north (deg), Jy, spectral index.
SOURCES = [(0.0, 0.1, 40.0, 0.5), (0.6, -0.4, 15.0, -1.6), (-0.5, 0.45, 5.0, -0.7), (0.3, 0.7, 0.1, 0.0)]


@pytest.fixture(scope="module")
def ms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny group; the noise of its image is some 3 mJy."""
    folder = tmp_path_factory.mktemp("spectra")
    simulate(observe(around(START, DEC_DEG, SOURCES), DEC_DEG, UNCORRUPTED), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    return folder / "group.ms"


def _image(ms: Path, folder: Path, sigma: float | None) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Summary and residual."""
    (folder / "work").mkdir(parents=True)
    choices = ImagingOptions(field_deg=2.4, spectra_sigma=sigma)
    make_image(ms, folder, folder / "work", choices, name="x", provenance=None, threads=1)
    complete_products(folder, "x", ArchiveOptions())
    residual = fits.getdata(folder / "x.residual.fits")[0, 0]
    return json.loads((folder / "summary.json").read_text()), residual


@pytest.fixture(scope="module")
def images(
    ms: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, dict[str, Any], NDArray[np.float32]]]:
    """With spectra measured, and with all of them taken to be typical."""
    folder = tmp_path_factory.mktemp("images")
    return {
        name: (folder / name, *_image(ms, folder / name, sigma))
        for name, sigma in (("measured", 300.0), ("typical", None))
    }


def test_indices_are_those_of_the_sky(
    images: dict[str, tuple[Path, dict[str, Any], NDArray[np.float32]]],
) -> None:
    """Of the three bright sources, to five standard errors and 0.005; the faint one has none.

    Besides noise there is what others leave in a spectrum.
    """
    folder, summary, _ = images["measured"]
    table = Table.read(folder / "x.sources.fits")
    measured = table[np.isfinite(table["spectral_index"])]
    measured.sort("flux_jy", reverse=True)
    assert len(measured) == len(summary["spectra"]) == 3
    for row, (_, _, _, index) in zip(measured, SOURCES[:3], strict=True):
        assert row["spectral_index"] == pytest.approx(index, abs=0.005 + 5 * row["spectral_index_error"])
    assert not np.isfinite(table["spectral_index"][table["flux_jy"] < 1.0]).any()


def test_sidelobes_of_the_difference_are_gone(
    images: dict[str, tuple[Path, dict[str, Any], NDArray[np.float32]]],
) -> None:
    """Noise of 1.05 times the expected; a sky of typical indices leaves 1.02, and this one 7.5 without them.

    Thermal noise alone has 1.02 over this field.  (While CLEAN had all sources as components on pixels, it
    was 1.33: what pixels err of 40 Jy was left, a third of the noise.  Fitted in the visibilities, bright
    points leave none of it.)
    """
    noise = {name: robust_rms(residual) for name, (_, _, residual) in images.items()}
    expected = images["measured"][1]["expected_rms_mjy_beam"] / 1e3
    assert noise["measured"] < 1.1 * expected
    assert noise["typical"] > 5 * expected


def test_components_say_with_which_index_they_were_subtracted(
    images: dict[str, tuple[Path, dict[str, Any], NDArray[np.float32]]],
) -> None:
    """Those of the brightest source with its own, those of the faint one with the typical index."""
    table = Table.read(images["measured"][0] / "x.components.fits")
    brightest = table[np.argmax(table["flux_jy"])]
    assert brightest["spectral_index"] == pytest.approx(0.5, abs=0.01)
    assert np.any(table["spectral_index"] == TYPICAL_SPECTRAL_INDEX)


def test_components_and_what_they_leave_are_the_spectra_of_the_sky(
    images: dict[str, tuple[Path, dict[str, Any], NDArray[np.float32]]],
) -> None:
    """Of bright ones and of the faint one, to five standard errors and 0.005."""
    folder, summary, _ = images["measured"]
    table = Table.read(folder / "x.components.fits")
    noise = float(table.meta["SLOPENOI"])
    # The band is as wide as that.
    assert noise == pytest.approx(25.6e-3 * summary["expected_rms_mjy_beam"], rel=0.1)
    centre = around(START, DEC_DEG, [(0.0, 0.0, 1.0, 0.0)])[0]
    for source in around(START, DEC_DEG, SOURCES):
        l = np.deg2rad((source.ra_deg - centre.ra_deg) * np.cos(np.deg2rad(source.dec_deg)))
        own = table[
            np.hypot(table["l"] - l, table["m"] - np.deg2rad(source.dec_deg - centre.dec_deg)) < 3.5e-4
        ]
        flux = np.asarray(own["flux_jy"], float)
        slope = (flux * own["spectral_index"]).sum() + np.average(own["slope_left_jy"], weights=flux)
        assert slope / flux.sum() == pytest.approx(source.spectral_index, abs=0.005 + 5 * noise / flux.sum())


def test_what_components_leave_is_found_where_they_are() -> None:
    """Two points whose spectra are not the typical one, in visibilities from which they were taken."""
    rng = np.random.default_rng(2)
    n_baselines, n_channels, n_times = 300, 24, 2
    metres = np.concatenate([rng.normal(0, 250, (n_baselines, 2)), np.zeros((n_baselines, 1))], axis=1)
    frequencies = np.tile(np.linspace(1.31e9, 1.498e9, n_channels), n_baselines)
    uvw = np.tile(np.repeat(metres, n_channels, axis=0) * (frequencies / 3e8)[:, None], (n_times, 1))
    grid = ImageGrid(256, 20.0)
    x, y = np.array([100.3, 180.0]), np.array([90.7, 128.0])
    l, m = grid.directions(x, y)
    values = np.zeros(len(uvw), np.complex64)
    for flux, index, a, b in zip((1.0, 0.5), (0.4, -0.7), l, m, strict=True):
        ratio = np.tile(frequencies / 1.4e9, n_times)
        left = flux * (ratio**index - ratio**TYPICAL_SPECTRAL_INDEX)
        values += (left * np.exp(2j * np.pi * (uvw[:, 0] * a + uvw[:, 1] * b))).astype(np.complex64)
    weights = np.ones(len(uvw), np.float32)
    data = StokesI(uvw, frequencies, values, np.ones(len(uvw), np.float32), n_times)
    found = Spectra(data, weights, 1e-3, 0.3).left(values, Gridder(uvw, weights, grid, 1), l, m)
    assert found is not None
    assert found.left_jy == pytest.approx([1.1, 0.0], abs=0.05)


def test_one_frequency_tells_no_index() -> None:
    """Nothing is measured, nothing is taken, and components keep the typical index."""
    frequencies = np.array([1.3e9, 1.4e9, 1.5e9])
    uvw = np.ones((3, 3))
    data = StokesI(uvw, frequencies, np.ones(3, np.complex64), np.ones(3, np.float32), 1)
    spectra = Spectra(data, np.array([0, 1, 0], np.float32), 1e-3, 0.3)
    point = (np.zeros(1), np.zeros(1), np.full(1, 5.0, np.float32))
    residuals = data.values.copy()
    model = spectra.subtract(residuals, SpectraModel(), point, 1e-4, 0.0)
    np.testing.assert_array_equal(residuals, data.values)
    assert spectra.measured(model) == ()
    np.testing.assert_array_equal(spectra.indices(model, *point[:2], 1e-4), TYPICAL_SPECTRAL_INDEX)


def test_a_cycle_taken_back_leaves_no_spectra(
    ms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a major cycle measured goes with it: if the first is taken back, the image has no model."""
    monkeypatch.setattr(major_cycle, "_WORSE", 0.0)
    summary, _ = _image(ms, tmp_path / "back", 300.0)
    assert summary["spectra"] == []
    assert len(Table.read(tmp_path / "back" / "x.components.fits")) == 0
