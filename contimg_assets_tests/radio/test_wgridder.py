"""The w-gridder engine against sums written out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.imaging.fits import RestoringBeam
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.restore import fit_beam, restore
from contimg_assets.radio.imaging.visibilities import StokesI
from contimg_assets.radio.imaging.wgridder import run_wgridder

ARCSEC = np.pi / 180 / 3600


def _data(rng: np.random.Generator, n_rows: int = 400, n_channels: int = 3) -> StokesI:
    """Baselines of up to 1.5 km with w as large as for a field 20° off the zenith."""
    uvw = rng.normal(0.0, [500.0, 500.0, 200.0], (n_rows, 3))
    frequencies = np.linspace(1.31e9, 1.50e9, n_channels)
    values = (rng.normal(size=(n_rows, n_channels)) + 1j * rng.normal(size=(n_rows, n_channels))).astype(
        np.complex64
    )
    return StokesI(uvw, frequencies, values, np.full(values.shape, 2.0, np.float32), 1)


def _direction(n: int, cell: float, y: int, x: int) -> tuple[float, float, float]:
    """l, m and n − 1 of a pixel: l runs against the columns, m with the rows."""
    l, m = -(x - n // 2) * cell, (y - n // 2) * cell
    return l, m, np.sqrt(1 - l * l - m * m) - 1


def _phase(data: StokesI, l: float, m: float, n1: float) -> NDArray[np.float64]:
    path = data.uvw_m @ np.array([l, m, n1])
    return 2 * np.pi * path[:, None] * data.frequencies_hz / SPEED_OF_LIGHT


def test_dirty_image_equals_the_sum_written_out_over_four_degrees() -> None:
    """Every tried pixel of a 4° field is Σ w Re(V exp(−iφ)) / Σ w to 1e-5 of the peak.

    1e-5 is the accuracy asked of the gridder; corners are among the pixels,
    where the w term is largest.
    """
    rng = np.random.default_rng(1)
    data = _data(rng)
    weights = rng.random(data.values.shape).astype(np.float32)
    n, cell = 480, 30 * ARCSEC
    image = Gridder(data, weights, n, cell, 2).dirty(data.values)
    pixels = [(0, 0), (0, n - 1), (n - 1, 0), (n - 1, n - 1), (n // 2, n // 2)]
    pixels += [tuple(rng.integers(0, n, 2)) for _ in range(40)]
    for y, x in pixels:
        phase = _phase(data, *_direction(n, cell, int(y), int(x)))
        expected = np.sum(weights * np.real(data.values * np.exp(-1j * phase))) / weights.sum()
        assert image[y, x] == pytest.approx(expected, abs=1e-5 * float(np.abs(image).max()))


def test_prediction_is_the_adjoint_of_the_dirty_image() -> None:
    """⟨A x, y⟩ = ⟨x, Aᴴ y⟩ to 1e-5 for random x and y: the two directions fit together.

    float32 images of 1e5 pixels leave a rounding error of that order.
    """
    rng = np.random.default_rng(2)
    data = _data(rng)
    weights = np.ones(data.values.shape, np.float32)
    gridder = Gridder(data, weights, 320, 40 * ARCSEC, 2)
    model = rng.normal(size=(320, 320)).astype(np.float32)
    forward = np.sum(np.real(gridder.predict(model).astype(complex) * np.conj(data.values)))
    back = np.sum(gridder.dirty(data.values).astype(float) * model) * gridder.total
    scale = np.linalg.norm(gridder.predict(model)) * np.linalg.norm(data.values)
    assert abs(forward - back) < 1e-5 * scale


def test_a_source_keeps_its_place_and_flux_through_clean() -> None:
    """Two sources half a degree apart come back at their pixels, to 1 % of their flux densities.

    No noise is put in, so what is left is the depth of CLEAN.
    """
    rng = np.random.default_rng(3)
    data = _data(rng, 3000)
    n, cell = 400, 12 * ARCSEC
    places = {(200, 120): 1.0, (330, 250): 0.4}
    values = np.zeros(data.values.shape, complex)
    for (y, x), flux in places.items():
        values += flux * np.exp(1j * _phase(data, *_direction(n, cell, y, x)))
    data = StokesI(data.uvw_m, data.frequencies_hz, values.astype(np.complex64), data.counts, 1)
    gridder = Gridder(data, data.counts, n, cell, 2)
    images = run_wgridder(gridder, iterations=5000, gain=0.1, threshold_sigma=2.0, expected_noise_jy=1e-3)
    for (y, x), flux in places.items():
        cut = images.image[y - 3 : y + 4, x - 3 : x + 4]
        assert np.unravel_index(np.argmax(cut), cut.shape) == (3, 3)
        assert images.image[y, x] == pytest.approx(flux, rel=0.01)


def test_restoring_beam_is_fitted_and_drawn_with_the_same_angle() -> None:
    """A Gaussian drawn by ``restore`` is found again by ``fit_beam``, turned as it was."""
    beam = RestoringBeam(60.0, 30.0, 40.0)
    model = np.zeros((256, 256), np.float32)
    model[128, 128] = 1.0
    drawn = restore(model, np.zeros_like(model), beam, 5.0)
    assert drawn[128, 128] == pytest.approx(1.0, rel=1e-3)
    found = fit_beam(drawn, 5.0)
    # A Gaussian is fitted exactly; what is left is float32.
    assert found.major_arcsec == pytest.approx(60.0, rel=1e-3)
    assert found.minor_arcsec == pytest.approx(30.0, rel=1e-3)
    assert found.position_angle_deg == pytest.approx(40.0, abs=0.1)
    # East of north is towards falling columns.
    assert drawn[128 + 4, 128 - 4] > drawn[128 + 4, 128 + 4]
