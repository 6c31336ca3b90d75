"""What a report tells beside an image's own numbers: the group's other products, and earlier groups.

Belongs here: the words between who knows the station and who writes the report.  Does not belong here: how
they are found (``station/report_surroundings.py``), or shown (``report/``).
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.errors import MissingInputError


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Earlier(_Told):
    """A number of an earlier group."""

    group: str
    mjd: float
    value: float
    link: str
    """Address of its report, from that of this one."""


class Surroundings(_Told):
    """Products that the report looks into (None: not there any more), and places that it leads to."""

    group: str = ""
    measurement_set: Path | None = None
    """The Measurement Set that was imaged: calibrated, or to be so by ``calibration``."""
    calibration: Calibration | None = None
    flags: Path | None = None
    measurement_set_qa: Path | None = None
    calibration_set: Path | None = None
    files: str = ""
    """Address of the image's folder, from the report's; empty: it is told from where the two lie."""
    links: dict[str, str] = {}
    """Words to addresses, from the report's: files of products, which a browser opens from the disk too."""
    panel: dict[str, str] = {}
    """The same of the panel's pages, which only its server has."""
    mjd: float = 0.0
    """Middle of the group."""
    earlier: dict[str, tuple[Earlier, ...]] = {}
    """Numbers of ``image_qa`` of the last nights, oldest first."""


def read_surroundings(path: Path) -> Surroundings:
    """Read them from JSON.

    Raises
    ------
    MissingInputError
        If the file is not there, or is none of ours.
    """
    try:
        return Surroundings.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError) as error:
        raise MissingInputError(f"{path}: expected the surroundings of a report as JSON: {error}") from error
