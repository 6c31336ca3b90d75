"""Flags against what the simulator did: interference, dead antennas, zeros, and clean data."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import FlaggingError, MissingInputError
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags, write_flags
from contimg_assets.radio.flagging.rfi import common_interference
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.settings import FlaggingSettings
from contimg_assets.simulation.corruption import Interference, random_interference
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import PRESETS, UNCORRUPTED, Corruption, Preset
from contimg_assets_tests.radio.skies import START, TINY, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 16.27
#: A calibrator and a few others, as a calibrator scan has them.
BRIGHT = [(0.0, 0.1, 12.5), (0.8, 0.6, 1.5, -0.8), (-0.9, 0.2, 1.0, -0.7), (0.2, -1.0, 0.8, -0.9)]


@dataclass(frozen=True)
class Flagged:
    """A flagged group."""

    result: dict[str, Any]
    summary: dict[str, Any]
    flags: NDArray[np.bool_]
    shape: GroupShape

    @property
    def cross(self) -> NDArray[np.bool_]:
        """Flags of cross-correlations."""
        return self.flags[:, self.shape.cross]


Flagger = Callable[..., Flagged]


@pytest.fixture
def flagged(tmp_path: Path) -> Flagger:
    """Simulate, convert and flag with the default settings."""

    def run(
        corruption: Corruption,
        offsets: list[tuple[float, ...]] = BRIGHT,
        preset: Preset = TINY,
        seed: int = 1,
    ) -> Flagged:
        sources = around(START, DEC_DEG, offsets, preset)
        simulate(observe(sources, DEC_DEG, corruption, START, preset, seed=seed), tmp_path / "in")
        convert(sorted((tmp_path / "in").glob("*.hdf5")), tmp_path / "group.ms")
        result = flag(tmp_path / "group.ms", tmp_path / "flags", **FlaggingSettings().model_dump())
        shape = read_shape(tmp_path / "group.ms")
        return Flagged(
            result,
            json.loads((tmp_path / "flags" / "summary.json").read_text()),
            read_flags(tmp_path / "flags", shape.data_shape),
            shape,
        )

    return run


def hit(shape: GroupShape, interference: Interference, strongest_jy: float) -> NDArray[np.bool_]:
    """Cross-correlations (time, baseline, channel) with interference above a flux density."""
    one, two = (np.searchsorted(shape.antennas, a[shape.cross]) for a in (shape.antenna_1, shape.antenna_2))
    seen = np.zeros((shape.n_times, len(one), shape.n_channels))
    for cells, strength, response in zip(
        interference.cells, interference.strength_jy, interference.response, strict=True
    ):
        seen += np.abs(response[one] * response[two])[None, :, None] * strength * cells[:, None]
    return np.asarray(seen > strongest_jy)


@pytest.mark.parametrize(("name", "seed"), [("tiny", 5), ("demo", 6)])
def test_interference_is_found_and_little_else(flagged: Flagger, name: str, seed: int) -> None:
    """Recall and false flags over time, baseline and channel, gains and 12.5 Jy in the beam.

    Carriers, a broad-band burst, short bursts and an emitter that a sixth of the antennas hear,
    20 to 300 Jy each, on 4 to 8 % of the data.  A carrier in the edge channel of a subband is
    among them, and one beside the local emitter.  Measured over six seeds of either size: recall
    1.000 of what is above 5σ of a sample, at most 0.3 % false (cells beside a burst, mostly).
    """
    preset = PRESETS[name]
    found = flagged(Corruption(), preset=preset, seed=seed)
    shape = found.shape
    truth = random_interference(shape.n_times, shape.n_channels, len(shape.antennas), seed + 1)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    dirty = hit(shape, truth, 5 * sigma)
    flags = np.asarray(found.cross.any(axis=-1))
    recall = flags[dirty].mean()
    clean = ~hit(shape, truth, 0.0)
    false = flags[clean].mean()
    print(
        f"\n{name} {seed}: {dirty.mean():.4f} of the data hit, recall {recall:.4f}, false {false:.4f}",
        found.result,
    )
    assert recall > 0.95
    assert false < 0.05
    assert found.result["dead_antennas"] == []


def test_the_flags_of_noise_alone_are_less_than_a_thousandth(flagged: Flagger) -> None:
    """No signal, no interference: hardly anything is flagged (2e-5), and no antenna is called dead.

    Of Rayleigh amplitudes 2e-5 lie beyond 6 robust deviations.
    """
    found = flagged(UNCORRUPTED, [(0.0, 0.0, 1e-6)], PRESETS["demo"])
    assert found.cross.mean() < 1e-3
    assert found.result["dead_antennas"] == []
    assert found.result["coherence_measurable"] is False


def test_the_flags_of_a_clean_calibrator_scan_are_few(flagged: Flagger) -> None:
    """12.5 Jy and its neighbours fringe, on raw gains; the flagger must not take that for interference."""
    found = flagged(Corruption(rfi=False))
    assert found.cross.mean() < 1e-3
    assert found.result["dead_antennas"] == []


def test_dead_antennas_are_found_from_the_data_alone(flagged: Flagger) -> None:
    """Two antennas with noise and no signal, in the middle of interference: named and flagged whole."""
    dead = (str(TINY.stations[5]), str(TINY.stations[-6]))
    found = flagged(Corruption(dead_antennas=dead))
    assert sorted(found.result["dead_antennas"]) == sorted(dead)
    ids = [found.shape.antenna_names.index(name) for name in dead]
    theirs = np.isin(found.shape.antenna_1, ids) | np.isin(found.shape.antenna_2, ids)
    assert found.flags[:, theirs].all()
    assert not found.flags[:, ~theirs & found.shape.cross].all()
    coherence = found.summary["coherence_by_antenna"]
    assert max(coherence[name] for name in dead) < 0.2 < min(v for k, v in coherence.items() if k not in dead)


def test_antennas_of_zeros_are_flagged_and_counted_as_dead(flagged: Flagger) -> None:
    """Exact zeros are no data: two antennas go, and the zero fraction is theirs."""
    silent = (str(TINY.stations[0]), str(TINY.stations[-1]))
    found = flagged(Corruption(rfi=False, zero_antennas=silent))
    assert sorted(found.result["dead_antennas"]) == sorted(silent)
    n = len(TINY.stations)
    expected = 1 - (n - 2) * (n - 3) / (n * (n - 1))
    assert found.result["zero_fraction"] == pytest.approx(expected, abs=1e-6)
    # Beyond the zeros, as few as in any clean scan.
    assert found.result["flag_fraction"] == pytest.approx(expected, abs=1e-3)


def test_missing_subbands_stay_flagged_and_autocorrelations_are(flagged: Flagger) -> None:
    """What conversion flagged is kept and counted as known; autocorrelations are never imaged."""
    found = flagged(Corruption(rfi=False, missing_subbands=(0, 7)))
    assert found.result["known_bad_fraction"] == pytest.approx(2 / 16)
    assert found.summary["by_subband"][0] == 1.0
    assert found.summary["by_subband"][7] == 1.0
    assert found.summary["by_subband"][1] < 0.02
    assert found.flags[:, ~found.shape.cross].all()


def test_flags_come_back_bit_for_bit_and_only_for_their_own_set(tmp_path: Path) -> None:
    """Packed bits unpack to what was written, for sizes that fill no byte; another shape is refused."""
    flags = np.random.default_rng(1).random((3, 7, 5, 2)) < 0.3
    write_flags(tmp_path, flags)
    assert np.array_equal(read_flags(tmp_path, (3, 7, 5, 2)), flags)
    with pytest.raises(FlaggingError, match="expected"):
        read_flags(tmp_path, (3, 7, 2, 5))
    with pytest.raises(MissingInputError, match="found no flags"):
        read_flags(tmp_path / "elsewhere", (3, 7, 5, 2))


def test_common_interference_follows_the_bandpass_and_flags_what_stands_out() -> None:
    """Carriers (one at the subband's edge), a burst, a single cell; and nothing where nothing is.

    On a ripple of 3 % over 20 MHz and scatter of 0.5 %, as 4 560 baselines leave.
    """
    rng = np.random.default_rng(2)
    medians = np.repeat((1 + 0.03 * np.sin(2 * np.pi * np.arange(48) / 82))[None, :, None], 24, axis=0)
    medians = np.repeat(medians, 2, axis=2) * (1 + 0.005 * rng.normal(size=(24, 48, 2)))
    assert not common_interference(medians, 7.0, 0.5).any()
    medians[:, 11, 0] *= 1.5
    medians[:, 47] *= 1.3
    medians[5, :40] *= 1.4
    medians[17, 30, 1] *= 1.3
    expected = np.zeros((24, 48), bool)
    expected[:, 11] = expected[:, 47] = expected[5] = expected[17, 30] = True
    assert np.array_equal(common_interference(medians, 7.0, 0.5), expected)


def test_a_set_that_is_flagged_whole_is_refused(tmp_path: Path) -> None:
    """If nothing is left there are no flags to go on with."""
    preset = replace(TINY, stations=TINY.stations[:4], n_integrations=2)
    everyone = tuple(str(s) for s in preset.stations)
    corruption = Corruption(rfi=False, zero_antennas=everyone)
    simulate(observe(around(START, DEC_DEG, BRIGHT, preset), DEC_DEG, corruption, START, preset), tmp_path)
    convert(sorted(tmp_path.glob("*.hdf5")), tmp_path / "group.ms")
    with pytest.raises(FlaggingError, match="every visibility is flagged"):
        flag(tmp_path / "group.ms", tmp_path / "flags", **FlaggingSettings().model_dump())
