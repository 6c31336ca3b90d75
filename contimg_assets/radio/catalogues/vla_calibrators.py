"""Reading NRAO's VLA calibrator list in its published text format."""

import math
import re
from pathlib import Path

from astropy.coordinates import Angle

from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.sky import REFERENCE_HZ, Source

_ENTRY = re.compile(r"^(\d{4}[+-]\d{2,4})\s+J2000\s+\S\s+(\S+)\s+(\S+)\s*(.*)$")
#: Wavelength, band letter, quality in four array configurations, then what may be the flux density.
_BAND = re.compile(r"^\s*([\d.]+)cm\s+[A-Z](?:\s+\S){4}\s+([\d.]+)(?:\s|$)")
#: Column from which numbers are limits of uv distance, unless an entry's heading says otherwise.
_UV_COLUMN = 35
#: Wavelength labels that bracket 20 cm, and the frequencies that they stand for, Hz.
_BAND_HZ = {"90": 0.33e9, "20": REFERENCE_HZ, "6": 5.0e9}


def read_vla_calibrators(path: Path) -> list[Source]:
    """Calibrators that have a 20 cm flux density.

    Entries without one are left out: an invented flux density would put the
    flux scale of every image wrong.  The spectral index is that between 20 cm
    and the nearest listed band (6 cm, else 90 cm), zero if neither is listed.

    Parameters
    ----------
    path : Path
        The list as NRAO publishes it.

    Returns
    -------
    list of Source
        J2000 positions; flux densities at 20 cm.

    Raises
    ------
    CatalogueError
        If the file cannot be read or holds no entry.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error}") from error
    sources: list[Source] = []
    entry: re.Match[str] | None = None
    fluxes: dict[str, float] = {}
    uv_column = _UV_COLUMN

    def finish() -> None:
        if entry is not None and "20" in fluxes:
            sources.append(_source(entry, fluxes))

    for line in lines:
        found = _ENTRY.match(line)
        if found:
            finish()
            entry, fluxes = found, {}
            continue
        if line.startswith("BAND") and "UVMIN" in line:
            uv_column = line.index("UVMIN")
        band = _BAND.match(line)
        # A blank flux density leaves a uv limit as the first number of its line.
        if band and entry is not None and band[1] in _BAND_HZ and band.start(2) < uv_column:
            flux = _flux(band[2])
            if flux is not None:
                fluxes[band[1]] = flux
    finish()
    if not sources:
        raise CatalogueError(f"{path}: found no J2000 entry with a 20 cm flux density; expected NRAO's list")
    return sources


def _flux(text: str) -> float | None:
    """A positive flux density, if the text is one."""
    try:
        flux = float(text)
    except ValueError:
        return None
    return flux if flux > 0 else None


def _source(entry: re.Match[str], fluxes: dict[str, float]) -> Source:
    name, ra, dec, alternative = entry.groups()
    other = next((b for b in ("6", "90") if b in fluxes), None)
    index = (
        math.log(fluxes[other] / fluxes["20"]) / math.log(_BAND_HZ[other] / _BAND_HZ["20"]) if other else 0.0
    )
    aliases = [word for word in alternative.split() if word.startswith("3C")]
    return Source(
        aliases[0] if aliases else f"J{name}",
        float(Angle(ra).deg) if "h" in ra else float("nan"),
        float(Angle(dec.replace("'", "m").replace('"', "s")).deg),
        fluxes["20"],
        index,
    )
