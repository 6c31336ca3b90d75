"""Application of flags and calibration tables to a copy of a Measurement Set."""

from pathlib import Path
from typing import Any

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.stages.base import Inputs, Result, StageContext


class ApplyInputs(Inputs):
    """A Measurement Set, its flags, and one set of tables or two to interpolate between."""

    ms: Path
    calibration: Calibration
    out: Path | None = None
    """The copy; None: it is only said what would be applied."""


class ApplyResult(Result):
    """What is applied; with two sets also how far they are apart."""

    flag_fraction: float | None = None
    """Of a copy's cross-correlations."""
    corrected_median_amplitude_jy: float | None = None
    """Of a copy."""
    n_antennas_without_solutions: int
    antennas_without_solutions: list[str]
    antennas_jumped: list[str]
    """Flagged from a jump of their gain on, or up to it: on the far side from the calibration."""
    antennas_with_other_delays: list[str]
    """Flagged: the correlator takes out another delay than it did for the calibrator."""
    wrong_subbands: list[dict[str, Any]]
    """Flagged: subbands that see another sky than those beside them, each with its ``reason``."""
    bad_antenna_fraction: float
    """Of the antennas' time, feeds and subbands, what is bad: no signal, noisy, jumped, of other delays."""
    wall_seconds: float


def run(inputs: ApplyInputs, options: CalibrationOptions, context: StageContext) -> ApplyResult:  # noqa: ARG001 (all stages take one)
    """Apply; see :func:`contimg_assets.radio.calibration.apply.apply`.

    Raises
    ------
    CalibrationError
        If a table does not fit the Measurement Set, or the result is no use.
    """
    from contimg_assets.radio.calibration.apply import apply, look
    from contimg_assets.radio.calibration.compatibility import refuse_misfits, shape_coverage
    from contimg_assets.radio.caltables.set_files import TABLES
    from contimg_assets.radio.measurement_set import read_shape

    files = [name for _, _, name in TABLES]
    needed = shape_coverage(read_shape(inputs.ms))
    for folder in inputs.calibration.sets:
        refuse_misfits(folder, files, needed, options)
    if inputs.out is None:
        return ApplyResult.model_validate(look(inputs.ms, inputs.calibration))
    return ApplyResult.model_validate(apply(inputs.ms, inputs.calibration, inputs.out))
