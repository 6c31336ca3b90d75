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
from contimg_assets.radio.flagging import medians, windows
from contimg_assets.radio.flagging.baselines import chance_thresholds, flag_baselines, longest_window
from contimg_assets.radio.flagging.common import common_interference
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags, write_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.robust import MAD_TO_SIGMA
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
        result = flag(tmp_path / "group.ms", tmp_path / "flags", FlaggingOptions())
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


def test_an_antenna_that_a_person_marked_is_flagged_whole_and_the_others_as_before(
    flagged: Flagger, tmp_path: Path
) -> None:
    """Of a clean group: what is flagged of the others does not change by a thousandth."""
    before = flagged(UNCORRUPTED)
    ms, name = tmp_path / "group.ms", before.shape.antenna_names[before.shape.antennas[3]]
    result = flag(ms, tmp_path / "marked", FlaggingOptions(), [name, "not there"])
    flags = read_flags(tmp_path / "marked", before.shape.data_shape)
    ends = (before.shape.antenna_1, before.shape.antenna_2)
    of_it = np.any([np.array(before.shape.antenna_names)[end] == name for end in ends], axis=0)
    assert flags[:, of_it].all()
    assert result["marked_antennas"] == [name]
    assert abs(flags[:, ~of_it].mean() - before.flags[:, ~of_it].mean()) < 1e-3


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


def test_missing_subbands_stay_flagged(flagged: Flagger) -> None:
    """What conversion flagged is kept and counted as known."""
    found = flagged(Corruption(rfi=False, missing_subbands=(0, 7)))
    assert found.result["known_bad_fraction"] == pytest.approx(2 / 16)
    assert found.summary["by_subband"][0] == 1.0
    assert found.summary["by_subband"][7] == 1.0
    assert found.summary["by_subband"][1] < 0.02
    # Autocorrelations are searched like the rest: what images leaves them out, not the flags.
    assert found.flags[:, ~found.shape.cross].mean() == pytest.approx(2 / 16, abs=0.02)


def test_flags_come_back_bit_for_bit_and_only_for_their_own_set(tmp_path: Path) -> None:
    """Packed bits unpack to what was written, for sizes that fill no byte; another shape is refused."""
    flags = np.random.default_rng(1).random((3, 7, 5, 2)) < 0.3
    write_flags(tmp_path, flags)
    assert np.array_equal(read_flags(tmp_path, (3, 7, 5, 2)), flags)
    with pytest.raises(FlaggingError, match="expected"):
        read_flags(tmp_path, (3, 7, 2, 5))
    with pytest.raises(MissingInputError, match="found no flags"):
        read_flags(tmp_path / "elsewhere", (3, 7, 5, 2))


def sums_over_the_array(
    medians: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What 4 560 baselines add up to whose mean amplitude is given, all below twice their level."""
    n = np.full(medians.shape, 4560.0)
    return medians * n, n.copy(), n


def test_common_interference_follows_the_bandpass_and_flags_what_stands_out() -> None:
    """Carriers (one at the subband's edge), a burst, a single cell; and nothing where nothing is.

    On a ripple of 3 % over 20 MHz, a sky that changes by 20 % in the drift, and scatter of 0.8 %,
    as 4 560 baselines leave.  A carrier of 4.5 % is below what one cell may show, and found as a line.
    """
    rng = np.random.default_rng(2)
    medians = np.repeat((1 + 0.03 * np.sin(2 * np.pi * np.arange(768) / 82))[None, :, None], 24, axis=0)
    medians = medians * (1 - 0.2 * np.linspace(-1, 1, 24) ** 2)[:, None, None]
    medians = np.repeat(medians, 2, axis=2) * (1 + 0.008 * rng.normal(size=(24, 768, 2)))
    assert not common_interference(*sums_over_the_array(medians), 7.0, 0.5).any()
    medians[:, 11, 0] *= 1.5
    medians[:, 767] *= 1.3
    medians[:, 300:303] *= 1.045
    medians[5, :400] *= 1.4
    medians[17, 30, 1] *= 1.3
    expected = np.zeros((24, 768), bool)
    expected[:, 11] = expected[:, 767] = expected[:, 300:303] = expected[5] = expected[17, 30] = True
    assert np.array_equal(common_interference(*sums_over_the_array(medians), 7.0, 0.5), expected)


def test_pulses_of_the_whole_array_are_found_though_they_come_again_and_again() -> None:
    """Every third integration is 10 % up over the whole band: the drift's fit is not led by them."""
    rng = np.random.default_rng(3)
    medians = 1 + 0.008 * rng.normal(size=(24, 768, 2))
    medians[::3] *= 1.10
    found = common_interference(*sums_over_the_array(medians), 7.0, 0.7)
    assert found[::3].all()
    assert not found[1::3].any()
    assert not found[2::3].any()


def test_what_a_tenth_of_the_array_hears_is_not_common() -> None:
    """Strong samples of 10 % of the baselines are set aside, not averaged: the others keep their data."""
    n = np.full((24, 768, 2), 4560.0)
    within = n.copy()
    within[:, 40:46] *= 0.9
    total = within * (1 + 0.008 * np.random.default_rng(4).normal(size=n.shape))
    assert not common_interference(total, within, n, 7.0, 0.7).any()
    within[:, 40:46] *= 0.5
    assert common_interference(within * 1.0, within, n, 7.0, 0.7)[:, 40:46].all()


#: A baseline's plane at full size, in units of the noise of a part.
N_TIMES, N_CHANNELS = 24, 768
THRESHOLDS = chance_thresholds(longest_window(N_TIMES, 2), 3e-4)


def plane(sky: float, n_baselines: int, seed: int, turn: float = 0.02) -> NDArray[np.complex64]:
    """Noise, and a source that fringes: ``turn`` turns a channel and a tenth an integration."""
    rng = np.random.default_rng(seed)
    size = (N_TIMES, n_baselines, N_CHANNELS, 2)
    phase = turn * np.arange(N_CHANNELS)[None, None, :, None] + 0.1 * np.arange(N_TIMES)[:, None, None, None]
    noise = rng.normal(size=size) + 1j * rng.normal(size=size)
    return (noise + sky * np.exp(2j * np.pi * phase)).astype(np.complex64)


def found_in(data: NDArray[np.complex64], half: int = 4) -> NDArray[np.bool_]:
    """Flags that each baseline's own plane gives, shape (time, baseline, channel)."""
    flags = np.zeros(data.shape, bool)
    flag_baselines(data, flags, np.ones(data.shape[1], bool), half, 8, 6.0, THRESHOLDS, 0.7)
    return np.asarray(flags.any(axis=-1))


def drifting_carrier(t: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Two channels wide, ten channels further each integration."""
    return np.abs(c - 200 - 10 * t) < 1


def periodic_pulses(t: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A third of the band in every fourth integration."""
    return (t % 4 == 1) & (c > 300) & (c < 560)


def weak_and_extended(t: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Sixty channels over ten integrations."""
    return (t > 8) & (t < 19) & (c > 500) & (c < 560)


def single_samples(t: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.bool_]:
    """One in two hundred."""
    return (t * 769 + c * 31) % 197 == 0


@pytest.mark.parametrize(
    ("shape", "strength", "sky", "least"),
    [
        (drifting_carrier, 6.0, 0.3, 0.97),
        (drifting_carrier, 6.0, 5.0, 0.97),
        (single_samples, 6.0, 0.3, 0.97),
        (single_samples, 6.0, 5.0, 0.97),
        (periodic_pulses, 6.0, 0.3, 0.97),
        (weak_and_extended, 2.5, 0.3, 0.95),
        (periodic_pulses, 6.0, 5.0, 0.97),
        # As smooth as the calibrator itself, and some phases leave its amplitude as it was.
        (weak_and_extended, 2.5, 5.0, 0.8),
    ],
)
def test_interference_of_other_shapes_is_found_on_single_baselines(
    shape: Callable[..., NDArray[np.bool_]], strength: float, sky: float, least: float
) -> None:
    """Shapes that the simulator does not make, on one baseline, on noise and on a bright calibrator.

    ``sky`` and ``strength`` are in units of the noise of a part: 5 is 13 Jy.  Of 32 baselines each
    hears the interference with a phase of its own, alike in both polarisations.  Without
    interference at most one sample in a thousand is flagged (three in ten thousand are asked for).
    """
    data = plane(sky, 32, seed=7)
    assert found_in(data).mean() < 1e-3
    where = shape(np.arange(N_TIMES)[:, None], np.arange(N_CHANNELS)[None])
    phase = np.exp(2j * np.pi * np.random.default_rng(8).random(32))
    data += (strength * where[:, None, :, None] * phase[None, :, None, None]).astype(np.complex64)
    found = np.moveaxis(found_in(data), 1, 0)
    recall, false = found[:, where].mean(), found[:, ~where].mean()
    print(f"\n{shape.__name__} sky {sky}: recall {recall:.4f}, false {false:.5f}")
    assert recall > least
    assert false < 0.01


def test_fringes_of_a_far_bright_source_are_not_interference() -> None:
    """12.5 Jy that turns 20° a channel (1.5° off, on 2.6 km), and two sources that beat."""
    assert found_in(plane(5.0, 32, seed=9, turn=0.055)).mean() < 2e-3
    beating = plane(5.0, 32, seed=10, turn=0.01) + plane(2.0, 32, seed=11, turn=-0.03)
    assert found_in(beating).mean() < 2e-3
    # And a field that drifts in: its fringes grow while the calibrator fades.
    fading = (1 - 0.3 * np.linspace(0, 1, N_TIMES) ** 2)[:, None, None, None].astype(np.float32)
    drifting = plane(0.0, 32, seed=12) + fading * (plane(5.0, 32, seed=13) - plane(0.0, 32, seed=13))
    drifting += (1.4 - fading) * (plane(1.0, 32, seed=14, turn=-0.03) - plane(0.0, 32, seed=14))
    assert found_in(drifting.astype(np.complex64)).mean() < 2e-3


def test_autocorrelations_are_searched_after_their_bandpass() -> None:
    """A signal a thousand times the noise, with 6 % ripple: its own noise is what counts."""
    rng = np.random.default_rng(12)
    ripple = 1 + 0.06 * np.sin(2 * np.pi * np.arange(N_CHANNELS) / 90)
    data = (1800 + rng.normal(size=(N_TIMES, 8, N_CHANNELS, 2))) * ripple[None, None, :, None]
    flags = np.zeros(data.shape, bool)
    auto = np.zeros(8, bool)
    flag_baselines(data.astype(np.complex64), flags, auto, 4, 8, 6.0, THRESHOLDS, 0.7)
    assert flags.mean() < 0.01
    data[5, :, 100:120] += 20
    flag_baselines(data.astype(np.complex64), flags, auto, 4, 8, 6.0, THRESHOLDS, 0.7)
    assert flags[5, :, 100:120].mean() > 0.97


def test_a_set_that_is_flagged_whole_is_refused(tmp_path: Path) -> None:
    """If nothing is left there are no flags to go on with."""
    preset = replace(TINY, stations=TINY.stations[:4], n_integrations=2)
    everyone = tuple(str(s) for s in preset.stations)
    corruption = Corruption(rfi=False, zero_antennas=everyone)
    simulate(observe(around(START, DEC_DEG, BRIGHT, preset), DEC_DEG, corruption, START, preset), tmp_path)
    convert(sorted(tmp_path.glob("*.hdf5")), tmp_path / "group.ms")
    with pytest.raises(FlaggingError, match="every visibility is flagged"):
        flag(tmp_path / "group.ms", tmp_path / "flags", FlaggingOptions())


@pytest.mark.parametrize("n", [1, 2, 7, 24, 1000, 9000])
@pytest.mark.parametrize("kind", ["noise", "wide", "steps", "amplitudes"])
def test_medians_are_exact(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(0.0, 1.0, (3, n)).astype(np.float32)
    if kind == "wide":
        values *= np.float32(10) ** rng.integers(-30, 30, values.shape).astype(np.float32)
    elif kind == "steps":
        values = values.round(1)
    elif kind == "amplitudes":
        values = np.abs(values)
    flags = rng.random(values.shape) < 0.3
    flags[0, 0] = False
    step = max(1, values.size // medians.ENOUGH_SAMPLES)
    used = values[~flags][::step]
    middle = float(np.median(used))
    spread = float(np.median(np.abs(used.astype(np.float64) - middle)))
    level, found = medians.level_and_spread(values, flags)
    assert level == middle
    assert float(found) == pytest.approx(MAD_TO_SIGMA * spread, rel=1e-6)


def test_sums_over_windows_find_what_sums_from_scratch_find() -> None:
    rng = np.random.default_rng(5)
    n_times, n_channels = 13, 70
    power = rng.exponential(2.0, (n_times, n_channels)).astype(np.float32)
    power[3, 20:29] += 8
    power[4:, 50] += 8
    count = np.full(power.shape, 2, np.int32)
    bad = rng.random(power.shape) < 0.05
    thresholds = chance_thresholds(longest_window(n_times, 2), 3e-4)
    expected = bad | (power > thresholds[0][count])
    for turned in (False, True):
        lengths = [2, 4, 8, n_times] if turned else [2, 4, 8, 16]
        for window in lengths:
            lines, sums = (expected.T, power.T) if turned else (expected, power)
            step, found = max(1, window // 2), []
            for i, k in np.ndindex(len(lines), (lines.shape[1] - window) // step + 1):
                inside = slice(k * step, k * step + window)
                good = ~lines[i, inside]
                found.append((i, inside, sums[i, inside][good].sum(), 2 * np.count_nonzero(good)))
            means = np.array([total / max(n, 1) for *_, total, n in found], np.float32)
            level, spread = medians.level_and_spread(means[None], np.array([[n == 0 for *_, n in found]]))
            for (i, inside, total, n), mean in zip(found, means, strict=True):
                if total > thresholds[1][n] and mean > level + 8 * spread:
                    lines[i, inside] = True
    windows.flag_sums(power, count, bad, *thresholds)
    assert expected[3, 20:29].sum() > 4
    assert expected[4:, 50].sum() > 4
    np.testing.assert_array_equal(bad, expected)
