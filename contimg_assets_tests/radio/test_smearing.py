"""What averaging takes from sources: the mean over an image's visibilities."""

from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio.images.components import offsets_from_centre
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.smearing import slot_widths_hz
from contimg_assets.simulation.presets import PRESETS, UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, kept_in_time, observe, unflagged_drift

DEMO = PRESETS["demo"]


def test_the_mean_loss_is_that_of_the_visibilities(tmp_path: Path) -> None:
    """At the beam's half-power radius, east, north and between: to 3 % of the loss, which is some 1e-3.

    w (n − 1) and the fourth power of the turns are left out, of either 1 %.
    """
    sources = around(START, 16.27, [(0.0, 0.0, 1.0)], DEMO)
    drift = unflagged_drift(observe(sources, 16.27, UNCORRUPTED, preset=DEMO), tmp_path, "briggs", 3.0)
    data = drift.data
    widths = np.tile(slot_widths_hz(data.frequencies_hz) / data.frequencies_hz, data.n_times)
    for l, m in np.deg2rad([[0.0, 0.0], [1.3, 0.0], [0.0, 1.3], [-0.9, 0.9], [0.9, 0.9]]):
        (direction,) = offsets_from_centre(np.array([l]), np.array([m]))
        kept = kept_in_time(drift, direction) * np.sinc(data.uvw @ direction * widths)
        lost = 1 - np.average(kept, weights=drift.weights.values)
        assert 1 - float(drift.smearing(np.array(l), np.array(m))) == pytest.approx(lost, rel=0.03, abs=1e-6)
        assert lost < 0.01
    assert lost > 5e-4
    over = drift.smearing.over(ImageGrid(100, 60.0))
    assert over[50, 50] == pytest.approx(float(drift.smearing(np.array(0.0), np.array(0.0))), abs=1e-6)
    assert over[50, 0] < over[50, 25] < over[50, 50]
