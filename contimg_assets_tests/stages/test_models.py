"""Inputs, options and results of stages, without running one: that is what the chain's tests do."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import contimg_assets.stages
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.stages.image import ImageInputs, ImageOptions
from contimg_assets.stages.predict import PredictResult

PATHS: dict[str, Any] = {"ms": Path("a.ms"), "out": Path("out")}
MODULES = sorted(path.stem for path in Path(contimg_assets.stages.__path__[0]).glob("[a-z]*.py"))
PROGRAM = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(f"contimg_assets.stages.{name}")
print(sorted({"numpy", "astropy", "casacore", "casatasks", "h5py", "matplotlib"} & set(sys.modules)))
"""


def test_inputs_and_options_are_there_without_what_the_science_needs() -> None:
    """Whoever hands work out, and the command line, imports the modules of all stages."""
    command = [sys.executable, "-c", PROGRAM, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_result_is_told_as_it_was_reported() -> None:
    """Names and values; what a stage does not promise goes along."""
    told = {
        "n_components": 2,
        "model_flux_jy": 1.5,
        "more": [1, None],
        "model_rms_jy": 0.1,
        "wall_seconds": 3.0,
    }
    result = PredictResult.model_validate(told)
    assert result.as_json() == told
    assert (result.n_components, result.model_flux_jy) == (2, 1.5)
    with pytest.raises(ValidationError, match="model_rms_jy"):
        PredictResult.model_validate({name: told[name] for name in told if name != "model_rms_jy"})


def test_inputs_do_not_change_and_have_no_other_names() -> None:
    inputs = ImageInputs(**PATHS)
    with pytest.raises(ValidationError, match="frozen"):
        inputs.name = "another"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="nmae"):
        ImageInputs.model_validate({**PATHS, "nmae": "x"})
    with pytest.raises(ValidationError, match="less than or equal to"):
        Calibration(flags=Path("f"), tables=Path("t"), weight=0.7)


def test_inputs_and_options_go_to_another_machine_and_back() -> None:
    calibration = Calibration(flags=Path("f"), tables=Path("t"), other=Path("o"), weight=0.25)
    inputs = ImageInputs(**PATHS, calibration=calibration, provenance=Path("p.json"))
    assert ImageInputs.model_validate_json(inputs.model_dump_json()) == inputs
    options = ImageOptions(imaging=ImagingOptions(robust=1.0, outside_sigma=None))
    assert ImageOptions.model_validate_json(options.model_dump_json()) == options


def test_a_quick_look_is_one_however_it_is_asked_for() -> None:
    """By the mode that every image has, or for one image."""
    by_mode = ImageOptions(imaging=ImagingOptions(mode="quick"))
    for_one = ImageOptions(imaging=ImagingOptions().quick())
    assert by_mode.chosen == for_one.chosen == ImagingOptions().quick()
    assert ImageOptions().chosen == ImagingOptions()
