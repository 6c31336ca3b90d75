"""Flux densities of calibrators with their dates: compact sources vary, 3C454.3 by a factor of some in years.

Belongs here: a person's file of measurements, and what a calibrator had at a time.  Does not belong here:
which calibrators there are (``calibrators.py``).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.sky import Source

#: Midnight of MJD 0.
_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
#: Flat spectra are of compact cores, which vary; lobes of steeper ones do not.
_FLAT = -0.5


@dataclass(frozen=True)
class Measurement:
    """What a calibrator had on a day."""

    name: str
    mjd: float
    flux_jy: float
    """At 1.4 GHz."""
    spectral_index: float | None
    """None: that of the calibrator's table."""


def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """Read a CSV of ``name``, ``date`` (YYYY-MM-DD), ``flux_jy`` (1.4 GHz)[, ``spectral_index``].

    Raises
    ------
    CatalogueError
        If the file cannot be read, lacks a column or holds what is no date or no number; it names the line.
    """
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error}") from error


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> tuple[Measurement, ...]:
    del changed_ns  # A changed file is another.
    with path.open(newline="") as handle:
        reader = csv.DictReader(handle)
        missing = {"name", "date", "flux_jy"} - set(reader.fieldnames or ())
        if missing:
            raise CatalogueError(f"{path}: columns {sorted(missing)} are missing; found {reader.fieldnames}")
        found = []
        for row in reader:
            try:
                day = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
                index = row.get("spectral_index")
                flux = float(row["flux_jy"])
                measured = Measurement(
                    row["name"], (day - _MJD_0).total_seconds() / 86400, flux, float(index) if index else None
                )
            except (TypeError, ValueError) as error:
                raise CatalogueError(f"{path}, line {reader.line_num}: {error}") from error
            if not (np.isfinite(flux) and flux > 0):
                raise CatalogueError(
                    f"{path}, line {reader.line_num}: flux_jy is {flux}; expected more than 0"
                )
            found.append(measured)
    return tuple(found)


def at_time(source: Source, measurements: Sequence[Measurement], mjd: float) -> Source:
    """A calibrator as it was at a time: between two measurements on a line, else as at the nearest.

    Parameters
    ----------
    source : Source
        As its table has it; taken as it is if it was not measured, or is on the Perley–Butler scale.
    measurements : sequence of Measurement
    mjd : float
    """
    own = sorted(
        (m for m in measurements if m.name.upper() == source.name.upper()), key=lambda found: found.mjd
    )
    if not own or source.scale_name is not None:
        return source
    times = [m.mjd for m in own]
    index = [source.spectral_index if m.spectral_index is None else m.spectral_index for m in own]
    return replace(
        source,
        flux_jy=float(np.interp(mjd, times, [m.flux_jy for m in own])),
        spectral_index=float(np.interp(mjd, times, index)),
        measured_days=float(min(abs(mjd - t) for t in times)),
    )


def may_vary(source: Source) -> bool:
    """Whether a flux density of unknown date may be another today: a flat spectrum, on no scale."""
    return source.scale_name is None and source.measured_days is None and source.spectral_index > _FLAT
