"""Components that drift through the beam of a rotating array, against the sum written out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio import telescope
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.drift import response
from contimg_assets.radio.imaging.drift_prediction import DriftPredictor
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.simulation.presets import UNCORRUPTED
from contimg_assets_tests.radio.skies import START, TINY, around, observe, unflagged_drift

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

ARCSEC = np.pi / 180 / 3600


@pytest.mark.parametrize(("east_deg", "north_deg"), [(0.0, 0.0), (-1.4, 1.0), (0.9, -1.2)])
def test_a_drifting_source_is_predicted_at_its_place(
    tmp_path: Path, east_deg: float, north_deg: float
) -> None:
    """A source on the slope of the beam, integration by integration and channel by channel.

    Its place, as the phases of the prediction tell it, to 0.02″, and its flux density to 4e-4, two
    errors of a source of 5000 σ. (With one span for the whole group the place was 0.15″ off.)
    Single visibilities to 1 %: the modes' w and what the least modes would add are left out.
    """
    dec_deg = 54.57
    preset = replace(TINY, n_integrations=telescope.N_INTEGRATIONS)
    sources = around(START, dec_deg, [(0.0, 0.0, 1.0, -0.7)], preset)
    drift = unflagged_drift(observe(sources, dec_deg, UNCORRUPTED, preset=preset), tmp_path, "natural", 2.0)
    shape, data, weights = drift.shape, drift.data, drift.weights
    gridder = Gridder(data.uvw, weights.values, ImageGrid(200, 30.0), 2)
    l, m = np.sin(np.deg2rad([[east_deg], [north_deg]]))
    flux = np.full(1, 5000 * weights.expected_noise_jy, np.float32)
    seen = DriftPredictor.of(gridder, drift).subtract(
        np.zeros(len(data.uvw), np.complex64), l, m, -flux, weights.expected_noise_jy
    )

    shares = response(shape, l, m, data.frequencies_hz, drift.reference_hz, np.array([-0.7]))[0]
    shares /= drift.mean_response(l, m, np.array([-0.7]))[0]
    direction = np.array([l[0], m[0], np.sqrt(1 - l[0] ** 2 - m[0] ** 2) - 1])
    expected = flux[0] * shares.reshape(-1) * np.exp(2j * np.pi * (data.uvw @ direction))
    assert np.ptp(shares) > 0.05
    assert np.abs(seen - expected).max() < 0.01 * np.abs(expected).max()
    turned = seen * np.conj(expected) * weights.values
    assert turned.real.sum() == pytest.approx(np.sum(np.abs(expected) ** 2 * weights.values), rel=4e-4)
    slopes = 2 * np.pi * data.uvw[:, :2]
    normal = (slopes * np.abs(turned)[:, None]).T @ slopes
    shift = np.linalg.solve(normal, slopes.T @ turned.imag)
    assert np.abs(shift).max() < 0.02 * ARCSEC
