"""Offsets of dishes from the bright points of an image, against dishes that the test points itself."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.beam import Beam
from contimg_assets.radio.images.components import Points
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.bright_points import fit_points
from contimg_assets.radio.imaging.dish_offsets import DishOffsets, OffsetModel
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.visibilities import unflagged
from contimg_assets.radio.imaging.weights import imaging_weights
from contimg_assets_tests.radio.skies import drifting_points
from contimg_assets_tests.radio.transit_scans import scan_shape

N = 30
#: l and m, deg, and signal-to-noise ratio.
SKY = np.array(
    [[0.9, 0.5, 1500.0], [-0.8, 0.6, 1200.0], [0.5, -1.0, 900.0], [-0.6, -0.8, 700.0], [0.0, 0.1, 2000.0]]
)
BEAM = RestoringBeam(90.0, 50.0, -75.0)
GRID = ImageGrid(1086, 10.0)


@pytest.fixture(scope="module")
def drift() -> Drift:
    """A group of 30 antennas, one channel a subband, nothing flagged."""
    shape = scan_shape(N, 6)
    centre = phasing.meridian_centre(float(shape.times_jd.mean()), shape.declination_rad)
    shape = replace(shape, centre=centre)
    data = unflagged(shape, np.ones(int(shape.cross.sum()), np.int64))
    return Drift(shape, data, imaging_weights(shape, data, "briggs", 0.0, np.deg2rad(3.0), (0.0, np.inf)))


def points_of(drift: Drift) -> Points:
    """The sky."""
    l, m = np.sin(np.deg2rad(SKY[:, :2].T))
    return l, m, (SKY[:, 2] * drift.weights.expected_noise_jy).astype(np.float32)


def seen_by(
    drift: Drift, east_deg: NDArray[np.float64], north_deg: NDArray[np.float64], seed: int
) -> NDArray[np.complex64]:
    """Visibilities of the sky, with noise, each baseline through its own two beams."""
    shape, points = drift.shape, points_of(drift)
    axes, frequencies = shape.axes(), shape.frequencies_hz
    one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
    total = np.zeros(len(drift.data.uvw), np.complex64)
    for k in range(len(SKY)):
        l, m = points[0][k], points[1][k]
        where = np.array([l, m, np.sqrt(1 - l * l - m * m)]) @ axes
        power = np.stack(
            [
                Beam(east_deg=e, north_deg=n).drifting_power(where, shape.declination_rad, frequencies)
                for e, n in zip(east_deg, north_deg, strict=True)
            ]
        )
        ratio = np.sqrt(power / shape.beam.drifting_power(where, shape.declination_rad, frequencies))
        one_point = (points[0][k : k + 1], points[1][k : k + 1], points[2][k : k + 1])
        alone = drifting_points(drift, one_point)
        total += (
            alone.reshape(shape.n_times, len(one), -1) * (ratio[one] * ratio[two]).swapaxes(0, 1)
        ).reshape(-1)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s) / np.sqrt(2)
    parts = sigma * np.random.default_rng(seed).standard_normal((2, len(total)))
    return total + (parts[0] + 1j * parts[1]).astype(np.complex64)


def left_of(drift: Drift, visibilities: NDArray[np.complex64]) -> tuple[NDArray[np.complex64], Points]:
    """Visibilities less the points, as the imaging loop has them."""
    fitted = fit_points(visibilities, drift, points_of(drift), BEAM, GRID)
    assert fitted.is_point.all()
    return fitted.residuals, fitted.points


def test_offsets_on_both_axes_are_found_and_what_they_make_is_subtracted(drift: Drift) -> None:
    """Dishes 0.1° off: each to 0.02° from the array's mean, within the errors told; noise is left."""
    rng = np.random.default_rng(1)
    east, north = 0.1 * rng.standard_normal((2, N))
    east -= east.mean()
    north -= north.mean()
    residuals, points = left_of(drift, seen_by(drift, east, north, 2))
    before = residuals.copy()
    offsets = DishOffsets(drift, np.ones(int(drift.shape.cross.sum()), bool))
    model = offsets.subtract(residuals, OffsetModel(), points)
    for found, errors, true in zip(model.found.T[1:], model.errors.T[1:], (east, north), strict=True):
        assert np.std(found - true) < 0.02
        assert 0.6 < np.std((found - true) / errors) < 1.5
    noise = telescope.visibility_sigma_jy(drift.shape.channel_width_hz, drift.shape.integration_s)
    excess = [float(np.mean(np.abs(v) ** 2)) / noise**2 - 1 for v in (before, residuals)]
    assert excess[1] < 0.1 * excess[0]
    told = offsets.as_columns(model)
    assert told["antennas"] == list(drift.shape.antenna_names)
    assert np.std(np.array(told["north_deg"]) - north) < 0.02
    assert told["east_error_deg"] == pytest.approx(model.errors[:, 1], abs=1e-5)


def test_what_is_known_is_taken_back_before_it_is_measured_again(drift: Drift) -> None:
    """Twice is as once: nothing piles up from cycle to cycle."""
    rng = np.random.default_rng(3)
    east, north = 0.1 * rng.standard_normal((2, N))
    residuals, points = left_of(drift, seen_by(drift, east, north, 4))
    offsets = DishOffsets(drift, np.ones(int(drift.shape.cross.sum()), bool))
    first = offsets.subtract(residuals, OffsetModel(), points)
    once = residuals.copy()
    second = offsets.subtract(residuals, first, points)
    assert second.found == pytest.approx(first.found, abs=1e-4)
    assert np.abs(residuals - once).max() < 1e-3 * np.abs(once).max()


def test_dishes_that_point_alike_are_left_alone(drift: Drift) -> None:
    """Offsets are noise within their errors, and not a visibility changes."""
    residuals, points = left_of(drift, seen_by(drift, np.zeros(N), np.zeros(N), 5))
    before = residuals.copy()
    model = DishOffsets(drift, np.ones(int(drift.shape.cross.sum()), bool)).subtract(
        residuals, OffsetModel(), points
    )
    assert np.array_equal(residuals, before)
    assert not len(model.used)
    assert 0.6 < np.std(model.found[:, 1:] / model.errors[:, 1:]) < 1.4


def test_faint_sources_tell_nothing(drift: Drift) -> None:
    """No source over 100 σ: no fit, no number."""
    l, m, flux = points_of(drift)
    residuals = np.zeros(len(drift.data.uvw), np.complex64)
    faint = l, m, (flux / 50).astype(np.float32)
    offsets = DishOffsets(drift, np.ones(int(drift.shape.cross.sum()), bool))
    assert offsets.as_columns(offsets.subtract(residuals, OffsetModel(), faint)) == {}
