"""Self-calibration of a calibrated target on its own field."""

from pathlib import Path
from typing import Any

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.options import Options
from contimg_assets.stages.base import Inputs, Result, StageContext


class SelfcalInputs(Inputs):
    """A calibrated Measurement Set."""

    ms: Path
    out: Path
    """Folder for the copy, the tables and ``selfcal.json``."""


class SelfcalOptions(Options):
    """How solutions are judged, and how the field is imaged."""

    calibration: CalibrationOptions = CalibrationOptions()
    imaging: ImagingOptions = ImagingOptions()


class SelfcalResult(Result):
    """What became of each round, and the tables that were kept."""

    rounds_kept: int
    ended: str
    rms_before_mjy_beam: float
    rms_after_mjy_beam: float
    dynamic_range_before: float
    dynamic_range_after: float
    flux_ratio: float
    """Flux density of the model after over before."""
    reference_antenna: str
    rounds: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    wall_seconds: float


def run(inputs: SelfcalInputs, options: SelfcalOptions, context: StageContext) -> SelfcalResult:
    """Self-calibrate; see :func:`contimg_assets.radio.calibration.selfcal.self_calibrate`."""
    from contimg_assets.radio.calibration.selfcal import self_calibrate
    from contimg_assets.radio.measurement_set import read_shape

    # Refuses what is no Measurement Set, before casacore does.
    read_shape(inputs.ms)
    with context.scratch_folder("selfcal") as work:
        report = self_calibrate(
            inputs.ms,
            inputs.out,
            work,
            options.imaging,
            threads=context.threads,
            minimum_snr=options.calibration.minimum_snr,
        )
    return SelfcalResult.model_validate(report)
