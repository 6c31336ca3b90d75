"""Application of flags and calibration tables to a copy of a Measurement Set."""

from pathlib import Path

from pydantic import Field

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.stages.base import Inputs, Result, StageContext


class ApplyInputs(Inputs):
    """A Measurement Set, its flags, and one set of tables or two to interpolate between."""

    ms: Path
    flags: Path
    tables: Path
    """Folder of the calibration set."""
    out: Path
    """The copy."""
    other: Path | None = None
    """Set on the other side in time, to interpolate towards."""
    weight: float = Field(default=0.0, ge=0.0, le=0.5)
    """Part of the time between the sets that has passed since ``tables``."""


class ApplyResult(Result):
    """What was applied; with two sets also how far they are apart."""

    flag_fraction: float
    corrected_median_amplitude_jy: float
    n_antennas_without_solutions: int
    antennas_without_solutions: list[str]
    antennas_jumped: list[str]
    """Flagged from a jump of their gain on, or up to it: on the far side from the calibration."""
    antennas_with_other_delays: list[str]
    """Flagged: the correlator takes out another delay than it did for the calibrator."""
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
    from contimg_assets.radio.calibration.apply import apply
    from contimg_assets.radio.calibration.compatibility import refuse_misfits, shape_coverage
    from contimg_assets.radio.caltables.set_files import TABLES
    from contimg_assets.radio.measurement_set import read_shape

    files = [name for _, _, name in TABLES]
    needed = shape_coverage(read_shape(inputs.ms))
    for folder in [inputs.tables, *([inputs.other] if inputs.other else [])]:
        refuse_misfits(folder, files, needed, options)
    return ApplyResult.model_validate(
        apply(
            inputs.ms,
            inputs.flags,
            inputs.tables,
            inputs.out,
            other_set=inputs.other,
            weight=inputs.weight,
        )
    )
