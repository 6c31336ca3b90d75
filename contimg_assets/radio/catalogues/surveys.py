"""The surveys that images are compared with: what each is, not how its files look."""

from dataclasses import dataclass
from typing import Literal, get_args

SurveyName = Literal["nvss", "first", "vlass", "racs", "vla"]


@dataclass(frozen=True)
class Survey:
    """One survey."""

    title: str
    frequency_hz: float
    """Of its flux densities."""
    beam_arcsec: float
    """Resolution: the radius within which its components belong together."""
    complete_jy: float
    """Flux density above which it is (nearly) complete."""
    prefix: str
    """Put before positions where the file gives no names."""
    reference: str


#: Figures are those of the references.
SURVEYS: dict[SurveyName, Survey] = {
    "nvss": Survey("NVSS", 1.400e9, 45.0, 3.4e-3, "NVSS J", "Condon et al. 1998, AJ 115, 1693; VIII/65"),
    "first": Survey("FIRST", 1.400e9, 5.4, 1.0e-3, "FIRST J", "White et al. 1997, ApJ 475, 479; VIII/92"),
    "vlass": Survey(
        "VLASS Quick Look", 3.000e9, 2.5, 3.0e-3, "VLASS1QLCIR J", "Gordon et al. 2021, ApJS 255, 30"
    ),
    "racs": Survey("RACS-low", 887.5e6, 25.0, 5.0e-3, "RACS J", "Hale et al. 2021, PASA 38, e058"),
    "vla": Survey("VLA calibrators", 1.400e9, 5.0, float("inf"), "J", "NRAO, VLA calibrator list"),
}
assert set(SURVEYS) == set(get_args(SurveyName))
