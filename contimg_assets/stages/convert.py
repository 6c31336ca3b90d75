"""Conversion: the files of one group into a Measurement Set."""

from pathlib import Path

from contimg_assets.radio.conversion.options import ConversionOptions
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.storage import absent
from contimg_assets.stages.base import Inputs, Result, StageContext


class ConvertInputs(Inputs):
    """One group's files."""

    source: tuple[Path, ...]
    """Its files, or folders that hold them."""
    out: Path
    """The Measurement Set to make."""


class ConvertResult(Result):
    """What was converted."""

    ms: str
    writer: str
    group: str
    n_rows: int
    n_antennas: int
    n_integrations: int
    n_channels: int
    missing_subbands: list[int]
    refused_files: list[str]
    declination_deg: float
    centre_ra_deg: float
    centre_dec_deg: float
    start_utc: str
    end_utc: str
    mid_mjd: float
    """Middle of the group, UTC."""
    channel_low_hz: float
    channel_high_hz: float
    antenna_position_error_m: float
    time_error_s: float
    size_bytes: int
    """Of the Measurement Set on disk."""
    wall_seconds: float


def run(inputs: ConvertInputs, options: ConversionOptions, context: StageContext) -> ConvertResult:  # noqa: ARG001 (all stages take one)
    """Convert one group; see :func:`contimg_assets.radio.conversion.convert.convert`."""
    from contimg_assets.radio.conversion.convert import convert
    from contimg_assets.radio.grouping import list_folder

    # All files of a group at once are away with their disk; one that is lacking alone was removed.
    fault = absent(inputs.source) if len(inputs.source) > 1 else None
    if fault is not None:
        raise fault
    for path in inputs.source:
        if not path.exists():
            raise MissingInputError(f"{path} is not there; expected a subband file, or a folder of them")
    paths: list[Path] = []
    for path in inputs.source:
        paths += [file.path for file in list_folder(path).files] if path.is_dir() else [path]
    converted = convert(paths, inputs.out, options.writer)
    size = sum(path.stat().st_size for path in inputs.out.rglob("*") if path.is_file())
    return ConvertResult.model_validate({**converted, "size_bytes": size})
