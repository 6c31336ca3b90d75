"""Gains that walked since the calibrator are told by autocorrelations; what is not of the gains is left."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contimg_assets.radio.corrections.levels import LEVELS, walk_since

NAMES = [str(k + 1) for k in range(60)]
SHAPE: Any = SimpleNamespace(antenna_names=NAMES)
POWER = np.random.default_rng(1).uniform(3.0, 9.0, (60, 2, 1)) * np.ones(16)


def _levels(power: np.ndarray) -> dict:
    return {name: power[k].tolist() for k, name in enumerate(NAMES)}


def _set(folder: Path, power: np.ndarray, apparent_jy: float = 0.0) -> Path:
    folder.mkdir()
    sidecar = {LEVELS: _levels(power), "calibrator_apparent_jy": apparent_jy}
    (folder / "solutions.json").write_text(json.dumps(sidecar))
    return folder


def test_walks_of_antennas_come_back_and_with_them_what_they_leave_in_the_mean(tmp_path: Path) -> None:
    """3 % each, of 120 feeds: factors to 1e-3, though the calibrator of 13 Jy is in its own levels."""
    walk = 0.03 * np.random.default_rng(2).standard_normal((60, 2))
    solved = _set(tmp_path / "a", POWER * (1 + 13 / 6500), 13.0)
    found = walk_since(SHAPE, {LEVELS: _levels(POWER * np.exp(2 * walk)[..., None])}, [solved], 0.0)
    assert np.allclose(np.log(found.factor), walk, atol=1e-6)
    assert found.numbers["n_gains_walked"] == 120
    assert found.numbers["gain_walk_scatter"] == pytest.approx(0.03, rel=0.25)
    assert found.numbers["gain_common_change"] == 0.0


def test_a_change_of_all_antennas_alike_is_nobodys_and_told(tmp_path: Path) -> None:
    """The Sun rises: 8 % more power everywhere, which walks of 2 % do not leave in the mean."""
    walk = 0.02 * np.random.default_rng(3).standard_normal((60, 2))
    now = POWER * (1.08 * np.exp(2 * walk))[..., None]
    found = walk_since(SHAPE, {LEVELS: _levels(now)}, [_set(tmp_path / "a", POWER)], 0.0)
    assert np.log(found.factor).mean() == pytest.approx(0.0, abs=1e-6)
    assert found.numbers["gain_common_change"] == pytest.approx(np.sqrt(1.08) - 1, abs=4e-3)
    assert np.allclose(np.log(found.factor) - walk, -walk.mean(), atol=1e-6)


def test_what_is_not_known_or_too_large_is_left(tmp_path: Path) -> None:
    """An antenna without levels, one twice as loud, a subband that is missing: the others are told."""
    now = POWER * 1.02
    now[5] *= 2.0
    levels: dict = _levels(now)
    levels[NAMES[7]] = [[None] * 16] * 2
    del levels[NAMES[8]]
    levels[NAMES[9]][0][3] = None
    found = walk_since(SHAPE, {LEVELS: levels}, [_set(tmp_path / "a", POWER)], 0.0)
    assert (found.factor[[5, 7, 8]] == 1).all()
    # Not a walk of single ones: no scatter at all.
    assert found.numbers["n_gains_walked"] == 0
    assert np.allclose(found.factor, 1.0)
    assert found.numbers["gain_common_change"] == pytest.approx(np.sqrt(1.02) - 1, rel=1e-3)


def test_what_a_systems_noise_may_be_is_left(tmp_path: Path) -> None:
    """Walks of 0.5 % rms: they are told, and nothing is corrected."""
    walk = 0.005 * np.random.default_rng(4).standard_normal((60, 2))
    now = POWER * np.exp(2 * walk)[..., None]
    found = walk_since(SHAPE, {LEVELS: _levels(now)}, [_set(tmp_path / "a", POWER)], 0.0)
    assert (found.factor == 1).all()
    assert found.numbers["gain_walk_scatter"] == pytest.approx(0.005, rel=0.25)
    assert found.numbers["n_gains_walked"] == 0


def test_between_two_sets_levels_are_between(tmp_path: Path) -> None:
    """A quarter of the way to a set that is 8 % louder in one feed of each antenna, nothing has changed."""
    later = POWER * np.exp(0.08 * np.array([1.0, -1.0]))[None, :, None]
    now = POWER * np.exp(0.02 * np.array([1.0, -1.0]))[None, :, None]
    sets = [_set(tmp_path / "a", POWER), _set(tmp_path / "b", later)]
    assert np.allclose(walk_since(SHAPE, {LEVELS: _levels(now)}, sets, 0.25).factor, 1.0)
    assert walk_since(SHAPE, {LEVELS: _levels(now)}, sets, 0.0).factor[0, 0] == pytest.approx(np.exp(0.01))


def test_sets_and_flags_without_levels_change_nothing(tmp_path: Path) -> None:
    """Made elsewhere, or before levels were kept."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for summary, folder in (({}, _set(tmp_path / "a", POWER)), ({LEVELS: _levels(POWER)}, bare)):
        found = walk_since(SHAPE, summary, [folder], 0.0)
        assert (found.factor == 1).all()
        assert found.numbers == {}
