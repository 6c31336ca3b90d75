"""Solving: delays, bandpass and gains of a calibrator scan.

Belongs here: which calibrator, which other sources of its field, and whether the
field is imaged.  Does not belong here: how solutions are found
(``radio/calibration``).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.errors import NoCalibratorError
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.options import Options
from contimg_assets.stages.base import Inputs, Result, StageContext

if TYPE_CHECKING:
    from contimg_assets.radio.measurement_set import GroupShape
    from contimg_assets.radio.sky import Source


class SolveInputs(Inputs):
    """A calibrator scan and its flags."""

    ms: Path
    flags: Path
    out: Path
    """Folder for the tables, ``solutions.json`` and the picture."""
    calibrator: str | None = None
    """Its name; None: the brightest in the beam."""


class SolveOptions(Options):
    """How it is solved, and how its field is imaged."""

    calibration: CalibrationOptions = CalibrationOptions()
    imaging: ImagingOptions = ImagingOptions()
    catalogues: CatalogueOptions = CatalogueOptions()


class SolveResult(Result):
    """The sidecar of a calibration set: what was solved, how, from what, how well."""

    format: int
    group: str
    calibrator: str
    calibrator_apparent_jy: float
    """Flux density through the beam."""
    flux_model: dict[str, Any]
    flux_source: str
    n_model_sources: int
    refant: str
    refant_reason: str
    delays: str
    mid_mjd: float
    """Middle of the scan, UTC."""
    declination_deg: float
    centre_ra_deg: float
    centre_dec_deg: float
    antennas: list[str]
    channel_low_hz: float
    channel_high_hz: float
    tables: list[dict[str, Any]]
    parameters: dict[str, Any]
    software: dict[str, str]
    input_sha256: str
    quality: dict[str, Any]
    wall_seconds: float


def run(inputs: SolveInputs, options: SolveOptions, context: StageContext) -> SolveResult:
    """Solve; see :func:`contimg_assets.radio.calibration.solve.solve`.

    Raises
    ------
    NoCalibratorError
        If none is named and none is in the beam.
    CalibrationError
        If there are no solutions, or too few.
    BeamError
        If the file of the beam's pattern is none.
    """
    from contimg_assets.radio.beam import ASSUMED, Beam
    from contimg_assets.radio.beam_file import read_pattern
    from contimg_assets.radio.calibration.field import FieldImaging, solve_with_field
    from contimg_assets.radio.calibration.solve import solve
    from contimg_assets.radio.caltables.arrays import write_arrays
    from contimg_assets.radio.imaging.start_model import known_sky
    from contimg_assets.radio.measurement_set import read_shape
    from contimg_assets.radio.plots.calibration import plot_set
    from contimg_assets.radio.sky import read_sources
    from contimg_assets.radio.uvh5 import group_key

    choices = options.calibration
    beam = ASSUMED if choices.beam_pattern is None else Beam(read_pattern(choices.beam_pattern))
    shape = read_shape(inputs.ms)
    named: dict[str, Any] = {
        "group": group_key(float(shape.times_jd[0]), shape.integration_s),
        "calibrator": _calibrator(inputs, choices, shape),
        "beam": beam,
    }
    field = read_sources(choices.sky_catalogue) if choices.sky_catalogue else []
    paths = inputs.ms, inputs.flags, inputs.out
    with context.scratch_folder("solve") as work:
        if choices.image_field and not field:
            sky = known_sky(context.catalogues, options.catalogues, shape, options.imaging.field_deg)
            imaging = FieldImaging(options.imaging, context.threads, sky)
            solved = solve_with_field(*paths, work, imaging, choices, **named)
        else:
            solved = solve(*paths, choices, field_sources=field, **named)
    plot_set(inputs.out / "thumbnail.png", inputs.out / "B.cal", solved)
    write_arrays(inputs.out, inputs.out / "B.cal", shape.antenna_names, shape.frequencies_hz)
    return SolveResult.model_validate(solved)


def _calibrator(inputs: SolveInputs, choices: CalibrationOptions, shape: "GroupShape") -> "Source":
    """The calibrator that is named, or the brightest in the beam."""
    import numpy as np

    from contimg_assets.radio.calibration.calibrators import as_measured, find_calibrator, named_calibrator
    from contimg_assets.radio.phasing import JD_OF_MJD_0

    middle_mjd = float(np.mean(shape.times_jd[[0, -1]])) - JD_OF_MJD_0
    if inputs.calibrator is not None:
        named = named_calibrator(inputs.calibrator, choices.calibrator_list)
        return as_measured(named, choices, middle_mjd)
    scan = find_calibrator(float(np.rad2deg(shape.declination_rad)), middle_mjd, choices)
    if scan is None:
        raise NoCalibratorError(
            f"{inputs.ms}: no calibrator above {choices.backup_calibrator_jy} Jy apparent in the beam"
        )
    return scan.source
