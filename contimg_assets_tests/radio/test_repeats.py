"""A subband that repeats an integration is flagged while it does, and nothing else is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_assets.radio import telescope
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.flagging.repeats import Repeats
from contimg_assets.radio.measurement_set import read_shape
from contimg_assets.simulation.independent import group, instrument
from contimg_assets.simulation.independent.options import Glitch, GlitchOptions, Options
from contimg_assets.simulation.independent.scene import Observation
from contimg_assets_tests.simulation.skies import DECLINATION_RAD, START, source_at

SIZE = instrument.Size((1, 2, 8, 24, 51, 69, 81, 102, 103), 6, 2)


@pytest.mark.usefixtures("casa_data")
def test_integrations_that_repeat_another_are_flagged(tmp_path: Path) -> None:
    """Files in which subband 6 repeats integration 2 in 3 and 4: these two of it go, and it is told."""
    stuck = GlitchOptions(explicit=(Glitch(kind="stuck", subband=6, first=2, last=4),))
    options = Options(glitches=stuck)
    sky = [source_at(0.3, 0.2, 5.0)]
    group.simulate(Observation(SIZE, START, DECLINATION_RAD, sky, options), tmp_path / "in")
    convert(sorted((tmp_path / "in").glob("*.hdf5")), tmp_path / "group.ms")
    result = flag(tmp_path / "group.ms", tmp_path / "flags", FlaggingOptions())
    shape = read_shape(tmp_path / "group.ms")
    flags = read_flags(tmp_path / "flags", shape.data_shape)
    assert result["repeated_fraction"] == pytest.approx(2 / (6 * 16))
    assert "subbands that repeat an integration: sb06 (3, 4)" in result["alarms"]
    channels = slice(2 * (15 - 6), 2 * (16 - 6))
    assert flags[3:5, :, channels].all()
    flags[3:5, :, channels] = False
    assert flags[:, shape.cross].mean() < 0.02


class _Shape:
    """Three antennas."""

    cross = np.array([False, True, True, False, True, False])
    n_times, n_channels = 4, 32


def _repeats(data: np.ndarray, flags: np.ndarray) -> Repeats:
    shape: Any = _Shape()
    found = Repeats.of(shape)
    # By slabs, one of them without any.
    for part in (slice(0, 1), slice(1, 3), slice(3, 6)):
        found.add(part, data[:, part], flags[:, part])
    return found


def test_one_antenna_that_differs_tells_that_nothing_hangs() -> None:
    """Nor is a subband without noise, or one that is flagged, a repeated one."""
    rng = np.random.default_rng(1)
    data = (rng.standard_normal((4, 6, 32, 2)) + 9).astype(np.complex64)
    flags = np.zeros(data.shape, bool)
    data[2, :, :2] = data[1, :, :2]
    data[2, :, 2:4] = data[1, :, 2:4]
    data[2, 5, 3, 1] += 1
    data[:, :, 4:6] = 7
    data[2, :, 6:8] = data[1, :, 6:8]
    flags[2, :, 6:8] = True
    expected = np.zeros((4, telescope.N_SUBBANDS), bool)
    expected[2, 0] = True
    assert np.array_equal(_repeats(data, flags).found(), expected)
    assert _repeats(data, flags).alarms() == ["subbands that repeat an integration: sb15 (2)"]
