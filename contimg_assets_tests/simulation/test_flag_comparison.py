"""Flags held against the truth: what is bad and found, and what is good and flagged."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.errors import FlaggingError
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.simulation.flag_comparison import FlagComparison, counted

_N_TIMES, _N_CHANNELS = 4, 32
_ONE, _TWO = (np.array(a, np.int32) for a in np.triu_indices(4))
_DELAYS = np.zeros((4, 2)).tolist()
_NOTHING = {"missing_subbands": [], "glitches": [], "interference": [], "bad_spans": []} | {
    "gains": {"delay_change_ns": _DELAYS, "delays_changed": True}
}


def _shape() -> GroupShape:
    return GroupShape(
        path=Path("group.ms"),
        times_jd=2460000.5 + np.arange(_N_TIMES) / 6000,
        integration_s=12.9,
        antenna_1=_ONE,
        antenna_2=_TWO,
        antenna_names=("7", "9", "12", "30"),
        antenna_positions=np.zeros((4, 3)),
        frequencies_hz=np.linspace(1.4e9, 1.431e9, _N_CHANNELS),
        channel_width_hz=1e6,
        n_polarisations=2,
        centre=(0.0, 0.5),
        declination_rad=0.5,
    )


def _compared(folder: Path, flags: NDArray[np.bool_], **wrong: object) -> FlagComparison:
    # The correlator's order is not the set's.
    told = {"simulator": "independent", "antennas": ["30", "7", "12", "9"], "times_jd": [0.0] * _N_TIMES}
    path = folder / "truth.json"
    path.write_text(json.dumps(told | _NOTHING | wrong))
    return counted(path, _shape(), lambda t: flags[t])


def _flags() -> NDArray[np.bool_]:
    return np.zeros((_N_TIMES, len(_ONE), _N_CHANNELS, 2), bool)


def _span(**fields: object) -> dict[str, object]:
    return {"antenna": "9", "feed": "Y", "kind": "dead", "first": 1, "last": 2, "subbands": None} | fields


def test_a_span_that_is_flagged_is_found_and_nothing_else_is_flagged(tmp_path: Path) -> None:
    """One feed of one antenna for two integrations, half of which is flagged, then all."""
    flags = _flags()
    rows = np.flatnonzero((_ONE != _TWO) & ((_ONE == 1) | (_TWO == 1)))
    flags[1, rows, :, 1] = True
    half = _compared(tmp_path, flags, bad_spans=[_span()])
    assert (half.spans[0].flagged, half.n_found, half.bad_flagged, half.good_flagged) == (0.5, 0, 0.5, 0.0)
    flags[2, rows, :, 1] = True
    whole = _compared(tmp_path, flags, bad_spans=[_span()])
    assert (whole.n_found, whole.bad_flagged, whole.good_flagged) == (1, 1.0, 0.0)
    assert whole.good_flagged_by_antenna == 0.0


def test_flags_of_a_good_antenna_are_good_data_lost(tmp_path: Path) -> None:
    """The antenna's own share of the samples, and it is told that it was a whole antenna."""
    flags = _flags()
    flags[0, (_ONE == 1) | (_TWO == 1)] = True
    found = _compared(tmp_path, flags)
    assert found.good_flagged == found.good_flagged_by_antenna == pytest.approx(0.5 / _N_TIMES)
    assert np.isnan(found.bad_flagged)
    assert np.isnan(found.interference_flagged)


def test_subbands_count_from_the_highest_and_what_is_missing_counts_nowhere(tmp_path: Path) -> None:
    """Subband 15 is the lowest; one is missing and flagged, and another stuck."""
    flags = _flags()
    flags[:, :, :2] = True
    flags[:, :, 30:] = True
    flags[2, :, 4:6] = True
    told = {"missing_subbands": [15], "glitches": [{"kind": "stuck", "subband": 13, "first": 2, "last": 2}]}
    found = _compared(tmp_path, flags, **told, bad_spans=[_span(subbands=[0], first=0, last=3)])
    assert found.bad_flagged == 1.0
    n_lost = 2 * _N_TIMES * 2 * 6
    n_bad, n_stuck = 2 * _N_TIMES * 3, 2 * 2 * 6
    n_good = _N_TIMES * 6 * _N_CHANNELS * 2 - n_lost - n_stuck - n_bad
    assert found.good_flagged == pytest.approx((n_lost - n_bad) / n_good)


def test_interference_is_where_both_antennas_hear_it(tmp_path: Path) -> None:
    """Of a local emitter the pair's samples, in its boxes, in channels upwards in frequency."""
    flags = _flags()
    pair = (_ONE == 0) & (_TWO == 3)
    flags[1:3, pair, 5:9] = True
    # Antennas 30 and 7 by the truth's order.
    emitter = {"antenna_indices": [0, 1], "boxes": [[0, 3, 5, 8]]}
    found = _compared(tmp_path, flags, interference=[emitter])
    assert (found.interference_flagged, found.good_flagged) == (0.5, 0.0)


def test_antennas_of_another_delay_are_bad_in_the_target(tmp_path: Path) -> None:
    """Antenna 12, the third of the truth: flagged whole, and not so in the calibrator's scan."""
    flags = _flags()
    flags[:, (_ONE == 2) | (_TWO == 2)] = True
    changes = np.zeros((4, 2))
    changes[2] = 5.0
    gains = {"delay_change_ns": changes.tolist(), "delays_changed": True}
    found = _compared(tmp_path, flags, gains=gains)
    assert [(s.antenna, s.kind, s.flagged) for s in found.spans] == [("12", "delay changed", 1.0)]
    assert found.good_flagged == 0.0
    scan = _compared(tmp_path, flags, gains=gains | {"delays_changed": False})
    assert (scan.spans, scan.good_flagged) == ((), 0.5)


def test_truths_of_others_are_refused(tmp_path: Path) -> None:
    for wrong in ({"simulator": None}, {"antennas": ["1"]}, {"times_jd": [0.0]}):
        with pytest.raises(FlaggingError, match=r"truth\.json"):
            _compared(tmp_path, _flags(), **wrong)
