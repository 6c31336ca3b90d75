"""Every preset makes data, the same from the same seed, and its options survive the truth file."""

import json
from pathlib import Path

import numpy as np
import pytest

from contimg_assets.simulation.independent import group, instrument, night
from contimg_assets.simulation.independent.options import Options
from contimg_assets.simulation.independent.presets import PRESETS
from contimg_assets.simulation.independent.scene import Observation, prepare
from contimg_assets.simulation.independent.truth import write_truth
from contimg_assets_tests.simulation.skies import DECLINATION_RAD, START

SIZE = instrument.SIZES["tiny"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_the_same_data_twice(name: str, tmp_path: Path) -> None:
    """One subband, twice from the truth's own options and seed; NaN only where the preset says so."""
    made = []
    options = PRESETS[name]
    for _ in range(2):
        sources = night.field(SIZE, START, DECLINATION_RAD, options, 11, 1)
        scene = prepare(Observation(SIZE, START, DECLINATION_RAD, sources, options, 2, 1))
        made.append(group.simulate_subband(scene, 5)[0])
        truth = json.loads(write_truth(scene, {}, tmp_path).read_text())
        options = Options.model_validate(truth["options"])
    assert options == PRESETS[name]
    assert np.array_equal(made[0], made[1], equal_nan=True)
    bad = np.isnan(made[0]).any(axis=(1, 2, 3))
    assert bad.tolist() == [False] * 4 + [name == "nan_end"] * 2
