"""Flagging: what must not be used of a Measurement Set, with a picture of it."""

import json
from pathlib import Path
from typing import Any

from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.stages.base import Inputs, Result, StageContext


class FlagInputs(Inputs):
    """A Measurement Set as it was converted."""

    ms: Path
    out: Path
    """Folder for the flags, their summary and the picture."""
    bad_antennas: tuple[str, ...] = ()
    """Names of antennas that a person has marked as bad."""


class FlagResult(Result):
    """What was flagged; fractions are of the cross-correlations."""

    flag_fraction: float
    known_bad_fraction: float
    zero_fraction: float
    repeated_fraction: float
    """Of subbands and integrations: the node wrote an integration again."""
    rfi_fraction: float
    common_rfi_fraction: float
    n_dead_antennas: int
    dead_antennas: list[str]
    dead_antenna_subbands: list[str]
    bad_spans: list[dict[str, Any]]
    """Antennas and feeds flagged for some integrations or subbands, with what is wrong."""
    jumps: list[dict[str, Any]]
    """Gains that change and stay: on which side they are right, the calibration's time tells."""
    bad_span_fraction: float
    """Of the antennas' time, feeds and subbands."""
    coherence_measurable: bool
    alarms: list[str]
    wall_seconds: float


def run(inputs: FlagInputs, options: FlaggingOptions, context: StageContext) -> FlagResult:  # noqa: ARG001 (all stages take one)
    """Flag; see :func:`contimg_assets.radio.flagging.flag.flag`."""
    from contimg_assets.radio.flagging.flag import SUMMARY_NAME, flag
    from contimg_assets.radio.plots.flags import plot_flags

    result = flag(inputs.ms, inputs.out, options, inputs.bad_antennas)
    plot_flags(inputs.out / "thumbnail.png", json.loads((inputs.out / SUMMARY_NAME).read_text()))
    return FlagResult.model_validate(result)
