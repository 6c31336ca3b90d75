"""Sources: positions, flux densities, spectra, and files that list them.

Belongs here: what a source is and the flux scales of standard calibrators.
Does not belong here: which source calibrates what (``calibration/calibrators.py``).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg_assets.radio.errors import CatalogueError

#: Mean spectral index of the sky at 1.4 GHz (Condon 1984, ApJ 287, 461), for sources whose own is not known.
TYPICAL_SPECTRAL_INDEX = -0.7
#: Frequency at which a source's ``flux_jy`` is given unless it says otherwise, Hz.
REFERENCE_HZ = 1.4e9

#: Perley & Butler (2017, ApJS 230, 7), table 6: log10 S[Jy] = Σ a_i (log10 ν[GHz])^i.
PERLEY_BUTLER_2017: dict[str, tuple[float, ...]] = {
    "3C286": (1.2481, -0.4507, -0.1798, 0.0357),
    "3C48": (1.3253, -0.7553, -0.1914, 0.0498),
    "3C147": (1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
    "3C138": (1.0088, -0.4981, -0.1552, -0.0102, 0.0223),
    "3C196": (1.2872, -0.8530, -0.1534, -0.0200, 0.0201),
    "3C295": (1.4701, -0.7658, -0.2780, -0.0347, 0.0399),
    "3C123": (1.8017, -0.7884, -0.1035, -0.0248, 0.0090),
    "CygA": (3.3498, -1.0022, -0.2246, 0.0227, 0.0425),
    # Of 2016; Cas A fades by half a per cent a year, Tau A by a sixth.
    "CasA": (3.3584, -0.7518, -0.035, -0.071),
    "TauA": (2.9516, -0.217, -0.047, -0.067),
    "VirA": (2.4466, -0.8116, -0.048),
}


def perley_butler(name: str, frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Flux density of a primary calibrator on the Perley–Butler 2017 scale, Jy.

    Raises
    ------
    KeyError
        If the source is not one of the scale's.
    """
    log_ghz = np.log10(np.asarray(frequency_hz, dtype=np.float64) / 1e9)
    log_jy = np.polynomial.polynomial.polyval(log_ghz, PERLEY_BUTLER_2017[name])
    return np.asarray(10.0**log_jy, dtype=np.float64)


@dataclass(frozen=True)
class Source:
    """A point source with a power-law or Perley–Butler spectrum."""

    name: str
    ra_deg: float
    """ICRS right ascension, deg."""
    dec_deg: float
    """ICRS declination, deg."""
    flux_jy: float
    """Flux density at 1.4 GHz, Jy."""
    spectral_index: float = 0.0
    """α of S ∝ ν^α; ignored where ``scale_name`` is given."""
    scale_name: str | None = None
    """Name on the Perley–Butler scale, for primary calibrators."""
    measured_days: float | None = None
    """How far the flux density's date is from the time that it is wanted for; None: no date is known."""

    def flux(self, frequency_hz: ArrayLike) -> NDArray[np.float64]:
        """Flux density at the given frequencies, Jy."""
        if self.scale_name is not None:
            return perley_butler(self.scale_name, frequency_hz)
        return (
            self.flux_jy * (np.asarray(frequency_hz, dtype=np.float64) / REFERENCE_HZ) ** self.spectral_index
        )


def read_sources(path: Path) -> list[Source]:
    """Read sources from a CSV with a header line.

    Columns ``name``, ``ra_deg``, ``dec_deg``, ``flux_jy`` (at 1.4 GHz) and,
    where known, ``spectral_index``.

    Raises
    ------
    CatalogueError
        If the file lacks a column or holds a value that is no number; it names
        file and line.
    """
    needed = {"name", "ra_deg", "dec_deg", "flux_jy"}
    try:
        with path.open(newline="") as handle:
            reader = csv.DictReader(handle)
            missing = needed - set(reader.fieldnames or ())
            if missing:
                raise CatalogueError(
                    f"{path}: columns {sorted(missing)} are missing; found {reader.fieldnames}"
                )
            sources = []
            for row in reader:
                try:
                    source = Source(
                        row["name"],
                        float(row["ra_deg"]),
                        float(row["dec_deg"]),
                        float(row["flux_jy"]),
                        float(row.get("spectral_index") or 0.0),
                    )
                except (TypeError, ValueError) as error:
                    raise CatalogueError(f"{path}, line {reader.line_num}: {error}") from error
                sources.append(source)
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error}") from error
    return sources
