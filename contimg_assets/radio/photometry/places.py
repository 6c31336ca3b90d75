"""Which places of an image are measured: sources of a survey, watched ones, and detections that are neither.

Belongs here: choosing them.  Does not belong here: measuring (``fit.py``, ``measure.py``).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.catalogues.formats import ROW, Rows
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import Catalogue, cone
from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.photometry.match import Positions

Kind = Literal["survey", "watched", "blind", "injected"]
#: A position's error is the beam times the relative error of the flux density times this (Condon 1997).
_POSITION = 0.42
#: Error of a watched position, which is the user's, arcsec.
_WATCHED_ARCSEC = 0.1


@dataclass(frozen=True)
class Places:
    """Named positions, each column of shape (n,)."""

    name: NDArray[np.str_]
    kind: NDArray[np.str_]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    expected_jy: NDArray[np.float64]
    """On the sky, at the image's frequency; NaN where nobody knows."""
    error_arcsec: NDArray[np.float64]
    """Of the position, in either direction."""

    def __len__(self) -> int:
        return len(self.name)

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Places":
        return Places(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def positions(self) -> Positions:
        """Without names."""
        return Positions(self.ra_deg, self.dec_deg, self.error_arcsec, self.error_arcsec)


def places(
    kind: Kind,
    name: Sequence[str],
    ra_deg: NDArray[np.float64],
    dec_deg: NDArray[np.float64],
    expected_jy: NDArray[np.float64],
    error_arcsec: NDArray[np.float64],
) -> Places:
    """Places of one kind."""
    n = len(name)
    return Places(
        np.array(name, "U32"),
        np.full(n, kind, "U8"),
        np.asarray(ra_deg, np.float64),
        np.asarray(dec_deg, np.float64),
        np.asarray(expected_jy, np.float64),
        np.asarray(error_arcsec, np.float64),
    )


def joined(*parts: Places) -> Places:
    """All places in one."""
    return Places(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Places.__dataclass_fields__)
    )


def survey_places(
    folder: Path,
    options: CatalogueOptions,
    centre: tuple[float, float],
    radius_deg: float,
    frequency_hz: float,
) -> Places:
    """Sources of the survey that images are compared with; none where it is not installed."""
    rows, beam_arcsec, survey_hz = np.zeros(0, ROW), 1.0, frequency_hz
    if (folder / f"{options.comparison}.json").is_file():
        survey = Catalogue(folder, options.comparison).survey
        rows = cone(folder, *centre, radius_deg, survey=options.comparison)
        beam_arcsec, survey_hz = survey.beam_arcsec, survey.frequency_hz
    index = np.where(np.isnan(rows["spectral_index"]), options.typical_spectral_index, rows["spectral_index"])
    return places(
        "survey",
        [bytes(name).decode() for name in rows["name"]],
        rows["ra_deg"],
        rows["dec_deg"],
        rows["flux_jy"] * (frequency_hz / survey_hz) ** index,
        _POSITION * beam_arcsec * _relative_error(rows),
    )


def _relative_error(rows: Rows) -> NDArray[np.float64]:
    """Of flux densities; a tenth where the survey does not say."""
    relative = rows["flux_error_jy"].astype(np.float64) / rows["flux_jy"]
    return np.where(np.isfinite(relative), relative, 0.1)


def read_watched(path: Path | None) -> Places:
    """The list of watched sources; none if there is no list.

    Raises
    ------
    CatalogueError
        If the file cannot be read, lacks a column, or names a source twice or a position that is none.
    """
    rows: dict[str, tuple[float, float]] = {}
    if path is not None:
        try:
            with path.open(newline="", encoding="utf-8") as handle:
                reader = csv.DictReader(handle)
                missing = {"name", "ra_deg", "dec_deg"} - set(reader.fieldnames or ())
                if missing:
                    raise CatalogueError(
                        f"{path}: columns {sorted(missing)} are missing; found {reader.fieldnames}"
                    )
                for row in reader:
                    name, ra, dec = _watched(path, reader.line_num, row)
                    if name in rows:
                        raise CatalogueError(f"{path}, line {reader.line_num}: {name!r} is there twice")
                    rows[name] = ra, dec
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogueError(f"{path}: cannot be read: {error}") from error
    ra, dec = np.array(list(rows.values()), np.float64).reshape(-1, 2).T
    unknown, error = np.full(len(rows), np.nan), np.full(len(rows), _WATCHED_ARCSEC)
    return places("watched", list(rows), ra, dec, unknown, error)


def _watched(path: Path, line: int, row: dict[str, str]) -> tuple[str, float, float]:
    """One line of the list."""
    try:
        name, ra, dec = row["name"].strip(), float(row["ra_deg"]), float(row["dec_deg"])
    except (TypeError, ValueError, AttributeError) as error:
        raise CatalogueError(f"{path}, line {line}: {error}") from error
    if not name or len(name) > 32 or not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise CatalogueError(
            f"{path}, line {line}: found name {name!r}, ra_deg {ra}, dec_deg {dec}; "
            "expected a name of at most 32 characters and a position in degrees"
        )
    return name, ra, dec
