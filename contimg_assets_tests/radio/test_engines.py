"""The three imaging engines on the same data, and what they leave to be said before and after."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.io import fits
from astropy.time import Time

from contimg_assets.radio import telescope
from contimg_assets.radio.caltables.jones import Jones
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.corrections.corrections import Corrections
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.source_finding import fit_point, read_plane
from contimg_assets.radio.imaging import wsclean
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.plan import plan
from contimg_assets.radio.imaging.tclean import lsrk_factor
from contimg_assets.radio.imaging.visibilities import channels_to_average, read_stokes_i
from contimg_assets.radio.imaging.weights import imaging_weights
from contimg_assets.radio.measurement_set import read_column, read_shape
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
#: East, north (deg) and Jy; the noise of a tiny group's image is some 3 mJy.
SOURCES = [(0.0, 0.1, 2.0), (0.4, -0.3, 1.0), (-0.5, 0.45, 0.8)]
CHOICES = ImagingOptions(field_deg=2.0)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """Measurement Set and the true sources."""
    folder = tmp_path_factory.mktemp("engines")
    simulate(observe(around(START, DEC_DEG, SOURCES), DEC_DEG, UNCORRUPTED), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    (truth,) = folder.glob("*.truth.json")
    return folder / "group.ms", json.loads(truth.read_text())["sources"]


def products(ms: Path, folder: Path, choices: ImagingOptions) -> Path:
    (folder / "work").mkdir(parents=True)
    make_image(ms, folder / "out", folder / "work", choices, name="field", provenance=None, threads=2)
    return folder / "out"


@pytest.mark.parametrize("scales", [(0.0,), (0.0, 400.0)], ids=["points", "scales"])
@pytest.mark.parametrize("engine", ["wgridder", "wsclean", "tclean"])
def test_every_engine_finds_the_true_places_and_flux_densities(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path, engine: str, scales: tuple[float, ...]
) -> None:
    """Positions to 3″ and apparent flux densities to 3 %, with the same products and header.

    A tiny group's beam is some 200″ wide: 3″ is 1.5 % of it, and 3 % of 0.8 Jy eight times the noise.
    """
    ms, truth = observed
    out = products(ms, tmp_path, CHOICES.model_copy(update={"engine": engine, "scales_arcsec": scales}))
    header = fits.getheader(out / "field.image.fits")
    assert header["BUNIT"] == "Jy/beam"
    kinds = {path.name.split(".")[1] for path in out.glob("field.*.fits")}
    assert {"image", "pbcor", "pb", "residual", "model", "psf", "mask"} <= kinds
    assert fits.getheader(out / "field.mask.fits")["BITPIX"] == 8
    # What is wide reaches out of the mask, where its middle is.
    if len(scales) == 1:
        assert not np.any(fits.getdata(out / "field.model.fits")[fits.getdata(out / "field.mask.fits") == 0])
    plane = read_plane(out / "field.image.fits")
    for source in truth:
        found = fit_point(plane, *plane.pixel(source["ra_deg"], source["dec_deg"]))
        assert found is not None
        east = (found.ra_deg - source["ra_deg"]) * np.cos(np.deg2rad(source["dec_deg"]))
        assert 3600 * np.hypot(east, found.dec_deg - source["dec_deg"]) < 3.0
        assert found.flux_jy == pytest.approx(source["mean_apparent_jy"], rel=0.03)


def test_a_plan_says_what_the_image_will_be(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """Pixels and cell, told before a visibility is read, are those of the image."""
    planned = plan(read_shape(observed[0]), CHOICES)
    header = fits.getheader(products(observed[0], tmp_path, CHOICES) / "field.image.fits")
    assert header["NAXIS1"] == planned.grid.n_pixels
    # Pixels are scaled by aberration, 1e-4.
    assert 3600 * header["CDELT2"] == pytest.approx(planned.grid.cell_arcsec, rel=2e-4)


def test_a_quick_look_is_coarser(observed: tuple[Path, list[dict[str, float]]]) -> None:
    """Long baselines left out make larger cells, and so fewer pixels and less memory."""
    shape = read_shape(observed[0])
    choices = CHOICES.model_copy(update={"longest_wavelengths": 1500.0})
    full, quick = plan(shape, CHOICES), plan(shape, choices.quick())
    assert quick.grid.cell_arcsec > full.grid.cell_arcsec
    assert quick.memory_bytes < full.memory_bytes


def test_baselines_outside_the_uv_range_are_not_read(
    observed: tuple[Path, list[dict[str, float]]],
) -> None:
    """What is left has the same values, weights and noise as when the others are read and weigh nothing."""
    shape = read_shape(observed[0])
    limits = (150.0, 900.0)
    factors = channels_to_average(shape, 0.02)
    some = channels_to_average(shape, 0.02, uv_range=limits)
    dropped = some == 0
    assert 0.2 < dropped.mean() < 0.8
    assert np.array_equal(some[~dropped], factors[~dropped])
    every, fewer = (read_stokes_i(shape, "DATA", which) for which in (factors, some))
    kept = np.tile(np.repeat(~dropped, shape.n_channels // factors), shape.n_times)
    assert np.array_equal(every.values[kept], fewer.values)
    assert np.array_equal(every.uvw[kept], fewer.uvw)
    whole, part = (imaging_weights(shape, d, "briggs", 0.0, 0.03, limits) for d in (every, fewer))
    assert not whole.values[~kept].any()
    # float32 weights from cells that are summed in another order.
    assert np.allclose(whole.values[kept], part.values, rtol=1e-6)
    assert whole.n_visibilities == part.n_visibilities
    assert part.expected_noise_jy == pytest.approx(whole.expected_noise_jy, rel=1e-6)
    with pytest.raises(ImagingError, match="no baseline"):
        plan(shape, CHOICES.model_copy(update={"shortest_wavelengths": 1e6}))


@pytest.mark.long
@pytest.mark.parametrize("mode", [[], ["--quick"]])
def test_a_dry_run_tells_the_memory(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path, mode: list[str]
) -> None:
    """Within 20 % of the peak of the process that makes the image."""
    said = []
    for what in (["--dry-run"], []):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "contimg_assets.cli", "image"),
                *(str(observed[0]), str(tmp_path / "out"), "--json", *mode, *what),
            ],
            env={**os.environ, "CONTIMG_HOME": str(tmp_path / "home")},
            check=True,
            capture_output=True,
            text=True,
        )
        said.append(json.loads(done.stdout))
    assert said[0]["memory_mib"] == pytest.approx(said[1]["peak_memory_mib"], rel=0.2)


def test_calibration_on_the_way_equals_calibration_beforehand(
    observed: tuple[Path, list[dict[str, float]]],
) -> None:
    """DATA calibrated while it is read is DATA calibrated first, averaged after, to float32's rounding."""
    shape = read_shape(observed[0])
    rng = np.random.default_rng(1)
    gains = rng.normal(size=(1, len(shape.antenna_names), shape.n_channels, 2, 2))
    inverse = np.asarray(gains[..., 0] + 1j * gains[..., 1], np.complex64)
    inverse[0, shape.antennas[3]] = 0
    jones = Jones(
        inverse,
        np.zeros(shape.n_times, np.int64),
        shape.antenna_1,
        shape.antenna_2,
        np.array([[0, 0], [1, 1]]),
    )
    ones = np.ones(int(shape.cross.sum()), np.int64)
    factors = channels_to_average(shape, 0.02)
    flags = read_column(shape, "FLAG").astype(bool)
    plain = read_stokes_i(shape, "DATA", ones)
    found = read_stokes_i(shape, "DATA", factors, Corrections(lambda t: flags[t], jones, {}))
    without = (shape.antenna_1 == shape.antennas[3]) | (shape.antenna_2 == shape.antennas[3])
    counts = found.counts.reshape(shape.n_times, -1)
    of_slot = np.repeat(np.arange(len(factors)), shape.n_channels // factors)
    assert np.all((counts == 0) == without[shape.cross][of_slot])
    # One polarisation's gain times the other's does not commute with their mean: XX alone.
    both = jones.inverse.copy()
    both[..., 1] = both[..., 0]
    same = Jones(both, jones.solution, jones.antenna_1, jones.antenna_2, jones.hands)
    corrected = read_stokes_i(shape, "DATA", ones, Corrections(lambda t: flags[t], same, {}))
    calibrated = corrected.values.reshape(shape.n_times, -1, shape.n_channels)
    one, two = both[0, shape.antenna_1[shape.cross]], both[0, shape.antenna_2[shape.cross]]
    expected = plain.values.reshape(calibrated.shape) * one[..., 0] * np.conj(two[..., 0])
    assert np.allclose(calibrated, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()))


def test_without_wsclean_the_message_says_so(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing and where it comes from."""
    monkeypatch.setattr(wsclean.shutil, "which", lambda _: None)
    with pytest.raises(ImagingError, match="Debian package wsclean"):
        products(observed[0], tmp_path, CHOICES.model_copy(update={"engine": "wsclean"}))


def test_one_thread_gives_the_same_image_every_time(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """Bit for bit.  (With more threads the gridder adds in no fixed order: 1e-6 of the peak.)"""
    images = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folder = tmp_path / name / "out"
        make_image(observed[0], folder, tmp_path / name, CHOICES, name="field", provenance=None, threads=1)
        images.append(fits.getdata(folder / "field.image.fits"))
    assert np.array_equal(*images)


def test_sources_put_into_the_visibilities_come_back_through_clean(
    observed: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """Nearly all of 7σ and more, with their flux densities to 5 %; the image itself has none of them.

    The median of 40 has an error of 2 %.  Of 80 places at 7σ, other random ones in the same image gave back
    0.75 to 0.91.
    """
    choices = CHOICES.model_copy(update={"field_deg": 4.0, "inject": True})
    with_them = products(observed[0], tmp_path / "with", choices)
    told = json.loads((with_them / "summary.json").read_text())
    assert told["cleaned_completeness_10sigma"] > 0.9
    assert told["cleaned_completeness_7sigma"] > 0.7
    assert told["cleaned_flux_ratio"] == pytest.approx(1.0, abs=0.05)
    # Of the 480 that there would be room for: no more than leave the field what it was.
    assert 6 <= told["cleaned_n_injected"] < 200
    without = products(observed[0], tmp_path / "without", choices.model_copy(update={"inject": False}))
    images = [fits.getdata(folder / "field.image.fits") for folder in (with_them, without)]
    assert np.allclose(*images, atol=1e-4 * float(images[0].max()))
    assert "cleaned_flux_ratio" not in json.loads((without / "summary.json").read_text())
    with pytest.raises(ImagingError, match="cannot inject"):
        products(observed[0], tmp_path / "other", choices.model_copy(update={"engine": "wsclean"}))


def test_the_frequency_scale_of_tclean_is_the_telescopes_motion(
    observed: tuple[Path, list[dict[str, float]]],
) -> None:
    """It equals 1 − v/c for astropy's barycentric velocity and the Sun's 20 km/s towards 18h, +30° (B1900).

    To 1e-6, 0.3 km/s: CASA takes the same solar motion.
    """
    shape = read_shape(observed[0])
    when = Time(shape.times_jd[[0, -1]].mean(), format="jd", scale="utc")
    centre = SkyCoord(*shape.centre, unit="rad")
    motion = centre.radial_velocity_correction("barycentric", obstime=when, location=telescope.site())
    apex = SkyCoord(270, 30, unit="deg", frame=FK4(equinox="B1900")).icrs
    velocity = motion.to_value("km/s") + 20 * np.cos(apex.separation(centre).rad)
    assert lsrk_factor(observed[0]) == pytest.approx(1 - velocity / 299792.458, abs=1e-6)
