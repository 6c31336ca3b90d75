"""Bad spans of antennas, from sums as the flagger makes them, with noise of known size."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.flagging.antenna_spans import Jump, Span, changes, spans_without_signal
from contimg_assets.radio.flagging.bad_antennas import beyond_jumps, flag_span, products_of
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.phasing import JD_OF_MJD_0

N_SUBBANDS, N_TIMES, N_ANTENNAS = 16, 24, 20
#: Noise of one antenna's coherence in one integration and subband, over the coherence: a seventh of the
#: 1 Jy² of sky that a full array sees at 5σ a subband.
FAINT, BRIGHT = 0.6, 0.1


@dataclass
class Sums:
    """A group's sums; faults are put in by changing them."""

    noise: float
    seed: int = 1
    signal: NDArray[np.float64] = field(init=False)
    autos: NDArray[np.float64] = field(init=False)
    turns: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        size = (N_SUBBANDS, N_TIMES, N_ANTENNAS, 2)
        # The sky drifts through the beam, systems differ, gains walk by a per cent.
        drift = 1 + 0.3 * np.sin(np.linspace(0, 2, N_TIMES))[:, None, None]
        self.signal = np.ones(size) * drift * rng.uniform(0.7, 1.4, (N_ANTENNAS, 2))
        walk = np.exp(0.002 * rng.normal(size=(N_TIMES, N_ANTENNAS, 2)).cumsum(axis=0))
        self.autos = walk * np.exp(1e-3 * rng.normal(size=walk.shape))
        self.turns = np.zeros((N_TIMES, N_ANTENNAS, 2))

    def found(self) -> tuple[list[Span], list[tuple[int, int, int, float, float]]]:
        """Spans, and jumps as (antenna, feed, integration, amplitude, phase in degrees)."""
        rng = np.random.default_rng(self.seed + 100)
        count = np.full(self.signal.shape, 900.0)
        total = count * (self.signal + self.noise * rng.normal(size=self.signal.shape))
        silent = spans_without_signal(total, count, 0.2)
        whole = total.sum(axis=0) / count.sum(axis=0)
        error = self.noise / 4
        turned = whole * np.exp(1j * (self.turns + 0.1)) + error * (
            rng.normal(size=whole.shape) + 1j * rng.normal(size=whole.shape)
        )
        spans, jumps = changes(self.autos, whole, turned, silent)
        return [*silent, *spans], [
            (j.antenna, j.feed, j.integration, j.amplitude, j.phase_deg) for j in jumps
        ]


@pytest.mark.parametrize("noise", [FAINT, BRIGHT])
def test_good_antennas_are_left_alone(noise: float) -> None:
    """Five groups of 40 feeds, with drift, walks and systems that differ: no span, no jump."""
    for seed in range(5):
        assert Sums(noise, seed).found() == ([], [])


@pytest.mark.parametrize("noise", [FAINT, BRIGHT])
def test_spans_without_signal_are_found_where_they_are(noise: float) -> None:
    """Died, revived, dead, a dead feed, gone for a while, and two subbands: each in its own place."""
    sums = Sums(noise)
    sums.signal[:, 13:, 2] = 0
    sums.signal[:, :9, 4] = 0
    sums.signal[:, :, 6] = 0
    sums.signal[:, :, 8, 1] = 0
    sums.signal[:, 7:15, 10] *= 0.04
    sums.signal[3:5, :, 12, 0] = 0
    spans, jumps = sums.found()
    kept = {(s.antenna, s.feed, s.subbands): (s.first, s.last) for s in spans}
    slack = 1 if noise == FAINT else 0
    wanted = {
        (2, None, None): (13, 23),
        (4, None, None): (0, 8),
        (6, None, None): (0, 23),
        (8, 1, None): (0, 23),
        (10, None, None): (7, 14),
        (12, 0, (3, 4)): (0, 23),
    }
    by_antenna: dict[int, set[int]] = {}
    for s in spans:
        by_antenna.setdefault(s.antenna, set()).update(range(s.first, s.last + 1))
    assert set(by_antenna) == {2, 4, 6, 8, 10, 12}
    for antenna, _, _ in wanted:
        first, last = next(v for k, v in wanted.items() if k[0] == antenna)
        assert min(by_antenna[antenna]) == pytest.approx(first, abs=slack)
        assert max(by_antenna[antenna]) == pytest.approx(last, abs=slack)
    assert all(s.kind == "no signal" for s in spans)
    if noise == BRIGHT:
        assert kept == wanted
    assert jumps == []


def test_noise_and_gain_are_told_apart() -> None:
    """Noise up for a third of the time is a span; a gain that stays another is a jump, else a span.

    Power of both rises; coherence, which is not normalised by it, only with the gain.
    """
    sums = Sums(BRIGHT)
    sums.autos[8:16, 3] *= 9.0
    sums.autos[16:, 5] *= 2.0
    sums.autos[14:, 7] *= 1.44
    sums.signal[:, 14:, 7] *= 1.44
    sums.turns[14, 7] = np.deg2rad(40)
    sums.autos[10:12, 9, 0] /= 1.5
    sums.signal[:, 10:12, 9, 0] /= 1.5
    spans, jumps = sums.found()
    assert sorted(spans, key=lambda s: s.antenna) == [
        Span(3, None, 8, 15, "noisy"),
        Span(5, None, 16, 23, "noisy"),
        Span(9, 0, 10, 11, "jumped"),
    ]
    assert [(a, f, t) for a, f, t, _, _ in jumps] == [(7, 0, 14), (7, 1, 14)]
    for _, _, _, amplitude, phase in jumps:
        assert amplitude == pytest.approx(1.2, abs=0.02)
        assert phase == pytest.approx(40, abs=5)


def test_a_phase_that_jumps_is_found_without_its_amplitude() -> None:
    """40° and nothing else; where it turns back, the span between."""
    sums = Sums(BRIGHT)
    sums.turns[9, 4, 0] = np.deg2rad(-40)
    sums.turns[5, 11, 1], sums.turns[15, 11, 1] = np.deg2rad(60), np.deg2rad(-60)
    spans, jumps = sums.found()
    assert spans == [Span(11, 1, 5, 14, "jumped")]
    ((antenna, feed, integration, amplitude, phase),) = jumps
    assert (antenna, feed, integration) == (4, 0, 9)
    assert amplitude == pytest.approx(1.0, abs=0.02)
    assert phase == pytest.approx(-40, abs=5)


def test_a_sky_too_faint_tells_nothing_and_noise_all_the_same() -> None:
    """Nobody is called dead; an autocorrelation that goes up ninefold is."""
    sums = Sums(1000.0)
    sums.signal[:, :, 6] = 0
    sums.autos[8:16, 3] *= 9.0
    spans, jumps = sums.found()
    assert spans == [Span(3, None, 8, 15, "noisy")]
    assert jumps == []


def _shape(n_polarisations: int = 2) -> GroupShape:
    """Three antennas of four stations, 24 integrations about MJD 60000, two channels a subband."""
    one, two = np.tril_indices(3)[::-1]
    return cast(
        GroupShape,
        SimpleNamespace(
            antenna_names=("3", "7", "9", "12"),
            antennas=np.array([0, 2, 3]),
            antenna_1=np.array([0, 2, 3])[one],
            antenna_2=np.array([0, 2, 3])[two],
            n_times=N_TIMES,
            n_channels=32,
            n_polarisations=n_polarisations,
            times_jd=JD_OF_MJD_0 + 60000.0 + (np.arange(N_TIMES) - 11.5) * 1.5e-4,
        ),
    )


def test_the_calibration_s_side_of_a_jump_is_kept() -> None:
    """Solved before the group, all from the first jump on is flagged; solved after it, all up to the last."""
    jumps = [Jump(1, 0, 14, 1.2, 40.0), Jump(1, 0, 18, 1.1, float("nan")), Jump(2, 1, 5, 1.0, -30.0)]
    told = [jump.told(["3", "9", "12"]) for jump in jumps]
    assert beyond_jumps(told, _shape(), 59999.9) == [
        Span(1, 0, 14, 23, "jumped"),
        Span(2, 1, 5, 23, "jumped"),
    ]
    assert beyond_jumps(told, _shape(), 60000.1) == [Span(1, 0, 0, 17, "jumped"), Span(2, 1, 0, 4, "jumped")]
    assert beyond_jumps([], _shape(), 60000.1) == []


def test_a_span_is_flagged_there_and_nowhere_else() -> None:
    """One feed of one antenna, in two subbands and three integrations: its baselines, and its products."""
    shape = _shape()
    flags = np.zeros((N_TIMES, 6, 32, 2), bool)
    flag_span(shape, flags, Span(1, 1, 4, 6, "no signal", (0, 15)))
    wanted = np.zeros_like(flags)
    rows = np.flatnonzero((shape.antenna_1 == 2) | (shape.antenna_2 == 2))
    for t in (4, 5, 6):
        for channel in (0, 1, 30, 31):
            wanted[t, rows, channel, 1] = True
    assert np.array_equal(flags, wanted)
    assert products_of(0, 4) == [0, 1, 2]
    assert products_of(None, 4) == [0, 1, 2, 3]
    assert products_of(1, 1) == [0]
