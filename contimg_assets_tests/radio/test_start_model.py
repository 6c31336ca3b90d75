"""The known sky as CLEAN's start: through the drifting beam, in the right place, in every engine."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio import beam, phasing
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import install
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.images.components import components, points_image
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.start_model import (
    apparent_sources,
    known_sky,
    outlier_sources,
    start_model,
)
from contimg_assets.radio.imaging.visibilities import unflagged
from contimg_assets.radio.imaging.weights import Weights, imaging_weights
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 54.57
#: East, north (deg), Jy, spectral index: the last but one outside of a field of 2°, the last behind us.
OFFSETS = [(0.0, 0.1, 2.0, -0.7), (0.41, -0.33, 1.0, 0.3), (-0.57, 0.45, 0.8, -1.2), (1.3, 0.2, 3.0, -0.7)]
CHOICES = ImagingOptions(field_deg=2.0, seed_sigma=20.0)
GRID = ImageGrid(240, 30.0)


Observed = tuple[Path, list[Source], list[float]]


def _observe(folder: Path, offsets: list[tuple[float, ...]]) -> Observed:
    """Measurement Set, its sources, and what the simulator says of their mean apparent flux densities."""
    sources = around(START, DEC_DEG, offsets)
    simulate(observe(sources, DEC_DEG, UNCORRUPTED), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "group.ms")
    (truth,) = folder.glob("*.truth.json")
    apparent = [s["mean_apparent_jy"] for s in json.loads(truth.read_text())["sources"]]
    return folder / "group.ms", sources, apparent


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """All sources."""
    return _observe(tmp_path_factory.mktemp("seed"), OFFSETS)


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Without the one outside, whose sidelobes would be cleaned."""
    return _observe(tmp_path_factory.mktemp("contained"), OFFSETS[:3])


def _weighted(ms: Path) -> tuple[GroupShape, Weights]:
    shape = read_shape(ms)
    data = unflagged(shape, np.ones(int(shape.cross.sum()), np.int64))
    return shape, imaging_weights(shape, data, "natural", 0.0, np.deg2rad(2.0), (0.0, np.inf))


def test_apparent_flux_densities_are_those_of_brute_force(
    observed: Observed,
) -> None:
    """Each integration and frequency for itself, angles from astropy's directions, no vectors shared: 1e-5.

    The simulator's own means, of its channels with equal weights, agree to 0.3 %.
    """
    ms, sources, truth = observed
    shape, weights = _weighted(ms)
    seen = apparent_sources(shape, weights, sources)
    pointing = phasing.pointing_vector(shape.declination_rad)
    for s, source in enumerate(sources):
        total = 0.0
        for t, time in enumerate(shape.times_jd):
            place = phasing.apparent_vectors(
                [time], [np.deg2rad(source.ra_deg)], [np.deg2rad(source.dec_deg)]
            )[0, 0]
            angle = np.arctan2(np.linalg.norm(np.cross(place, pointing)), place @ pointing)
            for f, frequency in enumerate(weights.bin_frequencies_hz):
                response = float(beam.airy_power(np.sin(angle), frequency))
                total += weights.by_time_frequency[t, f] * response * float(source.flux(frequency))
        total /= weights.by_time_frequency.sum()
        assert seen.flux[s] == pytest.approx(total, rel=1e-5)
        assert seen.flux[s] == pytest.approx(truth[s], rel=3e-3)
        assert seen.power[s] < 1


def test_the_model_image_has_the_visibilities_of_its_sources(
    observed: Observed,
) -> None:
    """Sources between pixels, predicted from the image and summed one by one, as far as pixels tell.

    With 6 pixels for the shortest wavelength of the image, cubic interpolation errs by 3/128 (2π/6)⁴ = 2.8 %
    of a source half-way between them on the longest baselines, and much less on the others.
    """
    ms, sources, _ = observed
    shape, weights = _weighted(ms)
    seen = start_model(apparent_sources(shape, weights, sources), GRID, 0.0)
    assert len(seen) == 3
    data = unflagged(shape, np.ones(int(shape.cross.sum()), np.int64))
    keep = np.linalg.norm(data.uvw[:, :2], axis=1) < 1 / (6 * GRID.cell_rad)
    assert keep.mean() > 0.3
    image = points_image(seen.points, GRID)

    def visibilities(l: NDArray[np.float64], m: NDArray[np.float64], flux: NDArray[np.float32]) -> np.ndarray:
        directions = np.stack([l, m, np.sqrt(1 - l**2 - m**2) - 1])
        return np.exp(2j * np.pi * (data.uvw[keep][::50] @ directions)) @ flux

    found = visibilities(*components(image, GRID))
    expected = visibilities(seen.l, seen.m, seen.flux)
    error = np.abs(found - expected)
    assert error.max() < 0.028 * seen.flux.sum()
    assert np.sqrt(np.mean(error**2)) < 0.005 * seen.flux.sum()


def test_what_lies_outside_of_the_image_is_named(observed: Observed) -> None:
    """By name, apparent flux density and distance; what is too faint is not."""
    ms, sources, truth = observed
    shape, weights = _weighted(ms)
    (one,) = outlier_sources(apparent_sources(shape, weights, sources), GRID, 0.05).as_list()
    assert one["name"] == sources[3].name
    assert one["apparent_jy"] == pytest.approx(truth[3], rel=3e-3)
    assert one["distance_deg"] == pytest.approx(np.hypot(1.3, 0.2), abs=0.01)
    assert not len(outlier_sources(apparent_sources(shape, weights, sources), GRID, truth[3] * 1.1))
    assert not len(apparent_sources(shape, weights, []))


@pytest.mark.parametrize("engine", ["wgridder", "wsclean", "tclean"])
def test_every_engine_starts_from_the_known_sky(contained: Observed, tmp_path: Path, engine: str) -> None:
    """Fewer major cycles or half the components, and the same image, from a catalogue in a published format.

    (WSClean takes as many components as it may.)  Images agree to 2 % of the brightest source: two ways to
    put a source on pixels.
    """
    ms, sources, _ = contained
    catalogue = tmp_path / "nvss.dat"
    catalogue.write_text("".join(f"{nvss_line(s)}\n" for s in sources))
    install(tmp_path / "catalogues", catalogue, "nvss")
    sky = known_sky(tmp_path / "catalogues", CatalogueOptions(), read_shape(ms), CHOICES.field_deg)
    assert len(sky) == len(sources)
    images, summaries = [], []
    for seed in (CHOICES.seed_sigma, np.inf):
        folder = tmp_path / f"{seed}"
        (folder / "work").mkdir(parents=True)
        choices = CHOICES.model_copy(update={"engine": engine, "seed_sigma": seed})
        made = make_image(ms, folder, folder / "work", choices, name="x", provenance=None, threads=2, sky=sky)
        summaries.append(made.numbers)
        images.append(fits.getdata(folder / "x.image.fits")[0, 0])
    assert [s["n_seeds"] for s in summaries] == [3, 0]
    assert not summaries[0]["outside_sources"]
    cycles, components = ([s[f"n_{kind}"] for s in summaries] for kind in ("major_cycles", "iterations"))
    assert cycles[0] < cycles[1] or components[0] < 0.5 * components[1]
    assert np.abs(images[0] - images[1]).max() < 0.02 * images[1].max()


@pytest.mark.parametrize(("engine", "sigma"), [("wgridder", 20.0), ("tclean", np.inf), ("wsclean", np.inf)])
def test_only_our_engine_starts_from_a_catalogue_unasked(engine: str, sigma: float) -> None:
    """It measures what it starts from; the others would keep the catalogue's errors."""
    options = ImagingOptions.model_validate({"engine": engine})
    assert options.start_sigma == sigma
    assert options.replaced({"seed_sigma": 50.0}).start_sigma == 50.0
    assert options.replaced({"seed_sigma": np.inf}).start_sigma == np.inf


def test_without_a_catalogue_nothing_is_known(observed: Observed, tmp_path: Path) -> None:
    """No catalogue is no error: images start from nothing."""
    assert known_sky(tmp_path, CatalogueOptions(), read_shape(observed[0]), 2.0) == []
