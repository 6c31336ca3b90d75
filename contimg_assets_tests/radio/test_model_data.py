"""MODEL_DATA of an image's model: the sum written out, and nothing but noise left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import beam, phasing
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import ImagingError, MissingInputError
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.model_data import Components, predict_integration, write_model_data
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.visibilities import baselines_m
from contimg_assets.radio.measurement_set import read_column, read_shape
from contimg_assets.radio.prediction import point_source_visibilities
from contimg_assets.radio.sky import REFERENCE_HZ, Source
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, observe, over_thermal

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
#: East, north (deg), Jy, spectral index; the first has a known place and is a seed.
SOURCES = [(0.0, 0.1, 20.0, -0.7), (0.9, -0.3, 15.0, 0.3), (-0.5, 0.45, 10.0, -1.5)]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Measurement Set, its image, the clone with the model."""
    folder = tmp_path_factory.mktemp("model")
    sources = around(START, DEC_DEG, SOURCES)
    simulate(observe(sources, DEC_DEG, UNCORRUPTED), folder)
    ms, image, clone = folder / "group.ms", folder / "image", folder / "model.ms"
    convert(sorted(folder.glob("*.hdf5")), ms)
    (folder / "work").mkdir()
    choices = ImagingOptions(field_deg=2.4, seed_sigma=1000.0)
    seed = [sources[0]]
    make_image(ms, image, folder / "work", choices, name="x", provenance=None, threads=2, sky=seed)
    subprocess.run(
        [sys.executable, "-m", "contimg_assets.cli", "predict", str(ms), str(image), str(clone)],
        env={**os.environ, "CONTIMG_HOME": str(folder / "home")},
        check=True,
        capture_output=True,
    )
    return ms, image, clone


def _written_out(ms: Path, image: Path, rows: NDArray[np.int64], t: int) -> NDArray[np.complex128]:
    """Σ S(t, ν) exp(2πi (ul + vm + w(n−1))) of some baselines, one component and channel after another."""
    shape = read_shape(ms)
    table = Table.read(image / "x.components.fits")
    axes, pointing = shape.axes()[t], phasing.pointing_vector(shape.declination_rad)
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    uvw = (positions[shape.antenna_2[rows]] - positions[shape.antenna_1[rows]]) @ axes.T
    total = np.zeros((len(rows), shape.n_channels), complex)
    for l, m, flux, index, mean in table.iterrows("l", "m", "flux_jy", "spectral_index", "mean_response"):
        place = np.array([l, m, np.sqrt(1 - l**2 - m**2)])
        sine = np.linalg.norm(np.cross(axes.T @ place, pointing))
        for f, frequency in enumerate(shape.frequencies_hz):
            spectrum = (frequency / table.meta["REFFREQ"]) ** index
            seen = flux * float(beam.airy_power(sine, frequency)) * spectrum / mean
            total[:, f] += seen * np.exp(
                2j * np.pi * frequency / SPEED_OF_LIGHT * (uvw @ (place - [0, 0, 1]))
            )
    return total


def test_the_model_is_the_sum_written_out(predicted: tuple[Path, Path, Path]) -> None:
    """Both hands, every 40th baseline, first and last integration, every channel: 1e-4 of the brightest.

    Ten times the accuracy asked of the transform.  Autocorrelations get nothing.
    """
    ms, image, clone = predicted
    shape, model = read_shape(ms), read_column(read_shape(clone), "MODEL_DATA")
    rows = np.flatnonzero(shape.cross)[::40]
    for t in (0, shape.n_times - 1):
        expected = _written_out(ms, image, rows, t)
        for hand in range(2):
            assert np.abs(model[t, rows, :, hand] - expected).max() < 1e-4 * SOURCES[0][2]
    assert not model[:, ~shape.cross].any()


def test_data_less_model_is_noise(predicted: tuple[Path, Path, Path]) -> None:
    """The variance of what is left is the thermal one to 1 %, where the sources made it many times that.

    Six standard errors of the variance are 1 %.  CLEAN's model is a mean over noise of some 3 mJy.
    """
    ms, _, clone = predicted
    shape = read_shape(clone)
    data, model = read_column(shape, "DATA"), read_column(shape, "MODEL_DATA")
    assert over_thermal(shape, data) > 2.0
    assert over_thermal(shape, data - model) == pytest.approx(1.0, abs=0.01)
    assert np.array_equal(data, read_column(read_shape(ms), "DATA"))


def test_the_components_are_those_of_the_model_image(predicted: tuple[Path, Path, Path]) -> None:
    """Same sum; the seed stands at its place, not on a pixel, to 1″, a beam being 100 times that."""
    table = Table.read(predicted[1] / "x.components.fits")
    model = fits.getdata(predicted[1] / "x.model.fits")
    assert float(table["flux_jy"].sum()) == pytest.approx(float(model.sum()), rel=1e-4)
    seed = table[int(np.argmax(table["flux_jy"]))]
    assert np.degrees(np.hypot(seed["l"], seed["m"])) == pytest.approx(0.1, abs=1 / 3600)
    assert float(seed["flux_jy"]) > 15


def test_a_model_of_another_group_is_refused(predicted: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """By time and centre, before anything is written; and so is a folder that has none."""
    ms, image, _ = predicted
    table = Table.read(image / "x.components.fits")
    table.meta["FIRSTJD"] += 0.1
    table.write(tmp_path / "x.components.fits")
    with pytest.raises(ImagingError, match="components of a group"):
        write_model_data(ms, tmp_path, tmp_path / "out.ms", 1)
    with pytest.raises(MissingInputError, match="components"):
        write_model_data(ms, tmp_path / "empty", tmp_path / "out.ms", 1)
    assert not (tmp_path / "out.ms").exists()


def test_components_show_what_their_sources_do_through_the_drifting_beam(
    predicted: tuple[Path, Path, Path],
) -> None:
    """Against the sum of point sources, in position, sign, drift and spectrum: 1 % of the flux density.

    The sources lie on pixels, one 1.3° off where the beam's drift matters most.
    """
    shape = read_shape(predicted[0])
    cell, half, index = 2e-4, 150, -1.1
    pixels = {(180, 110): 1.5, (150, 150): 1.0, (60, 260): 2.0}
    middle = np.array([shape.frequencies_hz.mean()])
    sources, means = [], []
    scale = phasing.aberration_scale(float(shape.times_jd.mean()), *shape.centre)
    for (y, x), jy in pixels.items():
        # An orthographic projection about the centre, of the field as aberration shows it.
        l, m = -(x - half) * cell / scale, (y - half) * cell / scale
        ra0, dec0 = shape.centre
        root = np.sqrt(1 - l**2 - m**2)
        dec = np.arcsin(m * np.cos(dec0) + root * np.sin(dec0))
        ra = ra0 + np.arctan2(l, root * np.cos(dec0) - m * np.sin(dec0))
        sources.append(Source(f"{y}", float(np.rad2deg(ra)), float(np.rad2deg(dec)), jy, index))
        direction = phasing.apparent_vectors(shape.times_jd, ra, dec)[:, 0]
        means.append(beam.drifting_power(direction, shape.declination_rad, middle).mean())
    ys, xs = np.array(list(pixels), float).T
    mean = np.array(means)
    components = Components(
        -(xs - half) * cell,
        (ys - half) * cell,
        (np.array(list(pixels.values())) * mean).astype(np.float32),
        np.full(len(mean), index),
        mean,
        REFERENCE_HZ,
    )
    # A component's flux density lacks what averaging takes in the mean; here it has all of it.
    directions = phasing.apparent_vectors(
        shape.times_jd, *np.deg2rad([[s.ra_deg, s.dec_deg] for s in sources]).T
    )
    power = beam.drifting_power(directions, shape.declination_rad, shape.frequencies_hz)
    expected = point_source_visibilities(
        baselines_m(shape),
        directions - shape.axes()[:, None, 2],
        shape.frequencies_hz,
        power * np.array([s.flux(shape.frequencies_hz) for s in sources]),
    ).reshape(shape.n_times, -1, shape.n_channels)
    for t, axes in enumerate(shape.axes()):
        found = predict_integration(shape, t, axes, components, 2)
        assert np.abs(found - expected[t]).max() < 0.01 * sum(pixels.values())
