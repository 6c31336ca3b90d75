"""Our own engine (``wgridder``) against sums written out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.images.components import Points, join, points_image
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.restore import fit_beam, restore
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.predict import Predictor
from contimg_assets.radio.imaging.wgridder import run_wgridder
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, drifting_points, observe, unflagged_drift

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

ARCSEC = np.pi / 180 / 3600
OPTIONS = ImagingOptions(iterations=20_000, threshold_sigma=2.0, major_cycles=10, spectra_sigma=None)


def _uvw(rng: np.random.Generator, n: int = 1200) -> NDArray[np.float64]:
    """Baselines of up to 1.5 km, in wavelengths, with w as large as for a field 20° off the zenith."""
    return rng.normal(0.0, [500.0, 500.0, 200.0], (n, 3)) / 0.2


def _near_a_plane(rng: np.random.Generator) -> NDArray[np.float64]:
    """The same, but for twice what the baselines of a group leave of the plane in which they nearly lie."""
    uvw = _uvw(rng)
    uvw[:, 2] = 0.1 * uvw[:, 0] + 0.4 * uvw[:, 1] + rng.normal(0, 30.0, len(uvw))
    return uvw


def _noise(rng: np.random.Generator, n: int) -> NDArray[np.complex64]:
    return (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)


def _direction(grid: ImageGrid, y: float, x: float) -> NDArray[np.float64]:
    """l, m and n − 1 of a pixel: l runs against the columns, m with the rows."""
    cell = grid.cell_arcsec * ARCSEC
    l, m = -(x - grid.n_pixels // 2) * cell, (y - grid.n_pixels // 2) * cell
    return np.array([l, m, np.sqrt(1 - l * l - m * m) - 1])


def test_dirty_image_equals_the_sum_written_out_over_four_degrees() -> None:
    """Every tried pixel of a 4° field is Σ w Re(V exp(−iφ)) / Σ w to 1e-4 of the peak.

    Corners are among the pixels, where the w term is largest.
    """
    rng = np.random.default_rng(1)
    uvw = _near_a_plane(rng)
    weights, values = rng.random(len(uvw)).astype(np.float32), _noise(rng, len(uvw))
    grid, n = ImageGrid(480, 30.0), 480
    image = Gridder(uvw, weights, grid, 2).dirty(values, 1e-5)
    pixels = [(0, 0), (0, n - 1), (n - 1, 0), (n - 1, n - 1), (n // 2, n // 2)]
    pixels += [tuple(rng.integers(0, n, 2)) for _ in range(40)]
    for y, x in pixels:
        phase = 2 * np.pi * uvw @ _direction(grid, int(y), int(x))
        expected = np.sum(weights * np.real(values * np.exp(-1j * phase))) / weights.sum()
        assert image[y, x] == pytest.approx(expected, abs=1e-4 * float(np.abs(image).max()))


def _points(rng: np.random.Generator, grid: ImageGrid) -> tuple[NDArray, NDArray, NDArray]:
    """l, m of every pixel of an image and random flux densities there, as one list."""
    l, m = np.meshgrid(*grid.axes())
    return l.reshape(-1), m.reshape(-1), rng.normal(size=l.size).astype(np.float32)


def test_prediction_is_the_adjoint_of_the_dirty_image() -> None:
    """⟨A x, y⟩ = ⟨x, Aᴴ y⟩ to 1e-5 for random x and y: the two directions fit together."""
    rng = np.random.default_rng(2)
    uvw = _near_a_plane(rng)
    values = _noise(rng, len(uvw))
    grid = ImageGrid(320, 40.0)
    gridder = Gridder(uvw, np.ones(len(uvw), np.float32), grid, 2)
    l, m, model = _points(rng, grid)
    predictor = Predictor.of(uvw, Plane.fit(uvw, gridder.weights), 2)
    seen = predictor(l, m, model, 1e-7).astype(complex)
    forward = np.sum(np.real(seen * np.conj(values)))
    back = np.sum(gridder.dirty(values, 1e-5).astype(float).reshape(-1) * model) * gridder.total
    assert abs(forward - back) < 1e-5 * np.linalg.norm(seen) * np.linalg.norm(values)


@pytest.mark.parametrize("scatter", [0.0, 15.0, 1000.0], ids=["plane", "rough plane", "no plane"])
def test_predicted_visibilities_equal_the_sum_written_out(scatter: float) -> None:
    """Σ f exp(2πi (ul + vm + w(n−1))) of points up to 3° off, to ten times the accuracy asked for.

    ``scatter`` is how far the baselines are from one plane, wavelengths: ours 80 at
    the ends of a group.  Modes add their factors.
    """
    rng = np.random.default_rng(7)
    uvw = _uvw(rng)
    uvw[:, 2] = 0.1 * uvw[:, 0] + 0.4 * uvw[:, 1] + rng.normal(0, scatter, len(uvw))
    l, m = rng.uniform(-0.05, 0.05, (2, 30))
    flux = rng.exponential(size=30).astype(np.float32)
    phases = 2 * np.pi * uvw @ np.stack([l, m, np.sqrt(1 - l * l - m * m) - 1])
    predictor = Predictor.of(uvw, Plane.fit(uvw, np.ones(len(uvw), np.float32)), 2)
    expected = np.exp(1j * phases) @ flux
    assert np.abs(predictor(l, m, flux, 1e-5) - expected).max() < 1e-4 * np.linalg.norm(flux)
    assert not predictor(l[:0], m[:0], flux[:0], 1e-5).any()
    if scatter == 0.0:
        share, factor = rng.random(30).astype(np.float32), rng.random(len(uvw)).astype(np.float32)
        with_mode = predictor(l, m, flux, 1e-5, [(flux * share, factor)])
        changed = expected + factor * (np.exp(1j * phases) @ (flux * share))
        assert np.abs(with_mode - changed).max() < 2e-4 * np.linalg.norm(flux)


def test_half_the_dirty_beam_equals_the_sum_written_out() -> None:
    """Σ w cos(2π(ul + vm)) / Σ w without w, at the corners of the half and elsewhere, to 4e-5.

    That is what resampling from coarse pixels leaves, as in dirty images.
    """
    rng = np.random.default_rng(4)
    uvw = _uvw(rng)
    weights = rng.random(len(uvw)).astype(np.float32)
    cell = 5 * ARCSEC
    half = Gridder(uvw, weights, ImageGrid(200, 5.0), 2).psf_half(100, 120)
    assert half.shape == (200, 120)
    for y, x in [(100, 0), (0, 0), (0, 119), (199, 119), (50, 30), (150, 30)]:
        phase = 2 * np.pi * uvw[:, :2] @ np.array([-x * cell, (y - 100) * cell])
        assert half[y, x] == pytest.approx(np.sum(weights * np.cos(phase)) / weights.sum(), abs=4e-5)


def test_sheared_coordinates_take_the_w_term_of_a_plane_away() -> None:
    """For w = a·u + b·v exactly, a source's dirty image is the dirty beam of the sheared distance.

    A source 1.5° off the centre, looked at up to 4° from itself: without the shear
    the two are a beam and more apart.
    """
    rng = np.random.default_rng(5)
    uvw = _uvw(rng)
    uvw[:, 2] = 0.1 * uvw[:, 0] + 0.4 * uvw[:, 1]
    weights = np.ones(len(uvw), np.float32)
    plane = Plane.fit(uvw, weights)
    assert (plane.a, plane.b) == pytest.approx((0.1, 0.4))
    grid = ImageGrid(480, 30.0)
    source = (420, 130)
    values = np.exp(2j * np.pi * uvw @ _direction(grid, *source)).astype(np.complex64)
    image = Gridder(uvw, weights, grid, 2).dirty(values, 1e-5)
    ys, xs = np.array([source[0], 20, 240, 421]), np.array([source[1], 450, 300, 128])
    rows, columns = plane.shear(ys, xs, grid)
    for y, x, row, column in zip(ys, xs, rows, columns, strict=True):
        l, m = -(column - columns[0]) * 30 * ARCSEC, (row - rows[0]) * 30 * ARCSEC
        expected = np.mean(np.cos(2 * np.pi * (uvw[:, 0] * l + uvw[:, 1] * m)))
        # float32 pixels of 1e-4 in coordinates of hundreds.
        assert image[y, x] == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def drift(tmp_path_factory: pytest.TempPathFactory) -> Drift:
    """Geometry, beam and weights of a tiny group."""
    sources = around(START, 54.57, [(0.0, 0.0, 1.0)])
    folder = tmp_path_factory.mktemp("wgridder")
    return unflagged_drift(observe(sources, 54.57, UNCORRUPTED), folder, "natural", 1.3)


def _points_at(grid: ImageGrid, places: dict[tuple[int, int], float]) -> Points:
    """Points on pixels (row, column), with their flux densities."""
    directions = np.array([_direction(grid, y, x) for y, x in places])
    return directions[:, 0], directions[:, 1], np.array(list(places.values()), np.float32)


def test_a_source_keeps_its_place_and_flux_through_clean(drift: Drift) -> None:
    """Two sources half a degree apart come back at their pixels, to 1 % of their flux densities.

    No noise is put in, so what is left is the depth of CLEAN.
    """
    grid, n = ImageGrid(400, 12.0), 400
    places = {(200, 120): 1.0, (330, 250): 0.4}
    visibilities = drifting_points(drift, _points_at(grid, places))
    images = run_wgridder(drift, visibilities, grid, OPTIONS, threads=2)
    for (y, x), flux in places.items():
        cut = images.image[y - 3 : y + 4, x - 3 : x + 4]
        assert np.unravel_index(np.argmax(cut), cut.shape) == (3, 3)
        assert images.image[y, x] == pytest.approx(flux, rel=0.01)
    # The half that is computed and the half that mirrors it, to the accuracy of the beam.
    assert images.psf[n // 2, n // 2] == pytest.approx(1.0, abs=1e-3)
    assert np.allclose(images.psf[1:, 1:], images.psf[1:, 1:][::-1, ::-1], atol=1e-3)


def test_restoring_beam_is_fitted_and_drawn_with_the_same_angle() -> None:
    """A Gaussian drawn by ``restore`` is found again by ``fit_beam``, turned as it was."""
    beam, grid = RestoringBeam(60.0, 30.0, 40.0), ImageGrid(256, 5.0)
    model = np.zeros((256, 256), np.float32)
    model[128, 128] = 1.0
    drawn = restore(model, join(), np.zeros_like(model), beam, grid)
    assert drawn[128, 128] == pytest.approx(1.0, rel=1e-3)
    found = fit_beam(drawn, 5.0)
    # A Gaussian is fitted exactly; what is left is float32.
    assert found.major_arcsec == pytest.approx(60.0, rel=1e-3)
    assert found.minor_arcsec == pytest.approx(30.0, rel=1e-3)
    assert found.position_angle_deg == pytest.approx(40.0, abs=0.1)
    # A point between pixels is drawn as one on a pixel is, there.
    cell = 5 * ARCSEC
    between: Points = np.array([2.3 * cell]), np.array([-1.6 * cell]), np.ones(1, np.float32)
    alone = restore(np.zeros_like(model), between, np.zeros_like(model), beam, grid)
    spread = restore(points_image(between, grid), join(), np.zeros_like(model), beam, grid)
    assert np.abs(alone - spread).max() < 2e-3
    on = restore(
        np.zeros_like(model), (np.zeros(1), np.zeros(1), np.ones(1, np.float32)), 0 * model, beam, grid
    )
    assert np.abs(on - drawn).max() < 1e-5
    # East of north is towards falling columns.
    assert drawn[128 + 4, 128 - 4] > drawn[128 + 4, 128 + 4]


def test_scales_clean_what_is_resolved(drift: Drift) -> None:
    """A source some beams wide, with a point on it, in noise: its flux density is in the model to 4 %.

    What is missing is below 2 σ.  With scales the residual is about the noise where the source was, a place
    of some sixty beams; points alone come there too, since CLEAN goes on while the noise is over the expected
    one, and then miss less than a tenth of the flux density.
    """
    rng = np.random.default_rng(8)
    grid = ImageGrid(320, 14.0)
    extended, sigma = (180, 140), 90 * ARCSEC
    uvw, noise = drift.data.uvw, drift.weights.expected_noise_jy
    total = 1500 * noise
    falling = np.exp(-2 * np.pi**2 * sigma**2 * np.sum(uvw[:, :2] ** 2, axis=1))
    visibilities = falling * drifting_points(drift, _points_at(grid, {extended: total}))
    visibilities += drifting_points(drift, _points_at(grid, {(184, 146): total / 8}))
    # Natural weights: the noise of the image is that of a visibility over the root of their number.
    visibilities += noise * np.sqrt(len(uvw)) * _noise(rng, len(uvw))
    points, scaled = (
        run_wgridder(
            drift,
            visibilities.astype(np.complex64),
            grid,
            OPTIONS.model_copy(update={"scales_arcsec": scales}),
            threads=2,
        )
        for scales in ((0.0,), (0.0, 80.0, 210.0))
    )
    around_it = (slice(extended[0] - 20, extended[0] + 21), slice(extended[1] - 20, extended[1] + 21))
    assert scaled.model.sum() == pytest.approx(total * 9 / 8, rel=0.04)
    assert scaled.residual[around_it].std() < 1.5 * noise
    assert points.residual[around_it].std() < 1.5 * noise
    assert points.model.sum() == pytest.approx(total * 9 / 8, rel=0.1)
