"""Installed catalogues: written once in sky order, then searched where they lie.

A catalogue is two files in the catalogues' folder: ``<survey>-<sha>.npy``, the
sources sorted by zone of declination and right ascension within a zone, and
``<survey>.json``, which names it and says where it came from.  The JSON is
replaced atomically, so there is the old catalogue or the new one.  The array is
memory-mapped: a cone reads a few zones and nothing else.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.catalogues.formats import ROW, Rows, read_survey
from contimg_assets.radio.catalogues.surveys import SURVEYS, Survey, SurveyName
from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.files import file_sha256, write_atomically
from contimg_assets.radio.sky import REFERENCE_HZ, Source

#: Height of a zone: a field takes a dozen, and each holds some thousand sources of NVSS.
_ZONE_DEG = 0.5
_N_ZONES = round(180 / _ZONE_DEG)


@dataclass(frozen=True)
class Manifest:
    """What an installed catalogue is."""

    survey: SurveyName
    file: str
    """Of the array, beside the manifest."""
    sha256: str
    n_sources: int
    n_left_out: int
    """Entries without position or flux density, sidelobes and duplicates."""
    origin: str
    """Name of the published file."""
    origin_sha256: str
    installed: str
    """UTC."""
    zone_starts: list[int]
    """Row at which each zone of declination begins, from the south pole; then the number of rows."""


def install(folder: Path, published: Path, survey: SurveyName, origin: str | None = None) -> Manifest:
    """Read a published file and install it in place of what was there of that survey.

    Parameters
    ----------
    folder : Path
        Of the catalogues.
    published : Path
        See ``formats.py``.
    survey : str
    origin : str, optional
        Where the file came from; its name if not given.

    Raises
    ------
    CatalogueError
        If the file cannot be read as that survey's.
    """
    rows, left_out = read_survey(published, survey)
    rows["ra_deg"] %= 360.0
    zones = _zone(rows["dec_deg"])
    order = np.lexsort((rows["ra_deg"], zones))
    rows, zones = rows[order], zones[order]
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{survey}-{os.getpid()}.npy"
    np.save(staged, rows)
    digest = file_sha256(staged)
    manifest = Manifest(
        survey,
        f"{survey}-{digest[:12]}.npy",
        digest,
        len(rows),
        left_out,
        origin or published.name,
        file_sha256(published),
        datetime.now(UTC).isoformat(timespec="seconds"),
        np.searchsorted(zones, np.arange(_N_ZONES + 1)).tolist(),
    )
    staged.replace(folder / manifest.file)
    write_atomically(folder / f"{survey}.json", json.dumps(asdict(manifest)))
    for old in folder.glob(f"{survey}-*.npy"):
        if old.name != manifest.file:
            old.unlink()
    return manifest


def _zone(dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.floor((dec_deg + 90.0) / _ZONE_DEG), 0, _N_ZONES - 1).astype(np.int64)


class Catalogue:
    """One installed catalogue.

    Parameters
    ----------
    folder : Path
        Of the catalogues.
    survey : str

    Raises
    ------
    CatalogueError
        If it is not installed, or its files do not belong together.
    """

    def __init__(self, folder: Path, survey: SurveyName) -> None:
        note = folder / f"{survey}.json"
        if not note.is_file():
            raise CatalogueError(
                f"{note} is not there: install the catalogue with "
                f"`contimg catalogs import FILE --survey {survey}`"
            )
        try:
            self.manifest = Manifest(**json.loads(note.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise CatalogueError(f"{note}: is no catalogue's manifest: {error}") from error
        self.path = folder / self.manifest.file
        self.survey: Survey = SURVEYS[survey]

    @cached_property
    def rows(self) -> Rows:
        """All sources, memory-mapped."""
        try:
            rows = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise CatalogueError(
                f"{self.path}: cannot be read: {error}; import the catalogue again"
            ) from error
        if rows.dtype != ROW or len(rows) != self.manifest.n_sources:
            raise CatalogueError(
                f"{self.path}: found {len(rows)} rows of {rows.dtype}; "
                f"expected {self.manifest.n_sources} of {ROW}"
            )
        return rows

    def verify(self) -> None:
        """Hold the array against its hash and the order that searching relies on.

        Raises
        ------
        CatalogueError
            If it is not what was installed.
        """
        if not self.path.is_file() or (found := file_sha256(self.path)) != self.manifest.sha256:
            what = "no file" if not self.path.is_file() else f"sha256 {found}"
            raise CatalogueError(f"{self.path}: found {what}; expected sha256 {self.manifest.sha256}")
        starts = np.array(self.manifest.zone_starts)
        ordered = np.diff(self.rows["ra_deg"]) >= 0
        ordered[starts[(starts > 0) & (starts < len(self.rows))] - 1] = True
        if not ordered.all():
            raise CatalogueError(f"{self.path}: sources are not in the order of their zones; import it again")

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float, minimum_jy: float = 0.0) -> Rows:
        """Sources within a radius.

        Parameters
        ----------
        ra_deg, dec_deg : float
            ICRS.
        radius_deg : float
            Less than 90.
        minimum_jy : float
            Flux density at the survey's frequency.

        Returns
        -------
        ndarray of ROW
            A copy, brightest first.
        """
        first, last = _zone(np.array([dec_deg - radius_deg, dec_deg + radius_deg]))
        parts = [
            self.rows[s:e]
            for z in range(first, last + 1)
            for s, e in self._stretches(z, ra_deg, dec_deg, radius_deg)
        ]
        found = np.concatenate(parts) if parts else np.zeros(0, ROW)
        centre, directions = _unit(ra_deg, dec_deg), _unit(found["ra_deg"], found["dec_deg"])
        chord = np.linalg.norm(directions - centre, axis=-1)
        near = (chord <= 2 * np.sin(np.deg2rad(radius_deg) / 2)) & (found["flux_jy"] >= minimum_jy)
        found = found[near]
        return found[np.argsort(-found["flux_jy"], kind="stable")]

    def _stretches(
        self, zone: int, ra_deg: float, dec_deg: float, radius_deg: float
    ) -> Iterator[tuple[int, int]]:
        """Rows of a zone whose right ascension can be within the cone."""
        start, end = self.manifest.zone_starts[zone : zone + 2]
        reach = np.sin(np.deg2rad(radius_deg)) / max(np.cos(np.deg2rad(dec_deg)), 1e-12)
        if start == end:
            return
        if reach >= 1 or abs(dec_deg) + radius_deg >= 90:
            yield start, end
            return
        # The widest right ascension that a cone reaches, wherever in declination.
        half = float(np.rad2deg(np.arcsin(reach)))
        ra = np.ascontiguousarray(self.rows["ra_deg"][start:end])
        for turn in (-360.0, 0.0, 360.0):
            low, high = np.searchsorted(ra, (ra_deg - half + turn, ra_deg + half + turn), side="left")
            if low < high:
                yield start + int(low), start + int(high)


def _unit(ra_deg: NDArray[np.float64] | float, dec_deg: NDArray[np.float64] | float) -> NDArray[np.float64]:
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def installed(folder: Path) -> list[Catalogue]:
    """All installed catalogues, in the order of ``SURVEYS``."""
    return [Catalogue(folder, survey) for survey in SURVEYS if (folder / f"{survey}.json").is_file()]


def cone(
    folder: Path,
    ra_deg: float,
    dec_deg: float,
    radius_deg: float,
    *,
    survey: SurveyName = "nvss",
    minimum_jy: float = 0.0,
) -> Rows:
    """Sources of one survey within a radius, with spectral indices from the other installed ones.

    A source's index is the survey's own or, where another installed survey at
    another frequency has one counterpart within half the wider beam, that
    between the two; else it stays NaN.

    Parameters
    ----------
    folder : Path
        Of the catalogues.
    ra_deg, dec_deg, radius_deg : float
        ICRS.
    survey : str
        Positions and flux densities are this one's.
    minimum_jy : float
        At the survey's frequency.

    Returns
    -------
    ndarray of ROW
        Brightest first.

    Raises
    ------
    CatalogueError
        If the survey is not installed.
    """
    own = Catalogue(folder, survey)
    rows = own.cone(ra_deg, dec_deg, radius_deg, minimum_jy)
    for other in installed(folder):
        wider = max(own.survey.beam_arcsec, other.survey.beam_arcsec)
        unknown = np.flatnonzero(np.isnan(rows["spectral_index"]))
        if abs(np.log(other.survey.frequency_hz / own.survey.frequency_hz)) < 0.2 or not len(unknown):
            continue
        theirs = other.cone(ra_deg, dec_deg, radius_deg + wider / 3600)
        pairs = lone_pairs(rows[unknown], theirs, wider / 2)
        mine, yours = rows[unknown[pairs[:, 0]]], theirs[pairs[:, 1]]
        rows["spectral_index"][unknown[pairs[:, 0]]] = np.log(yours["flux_jy"] / mine["flux_jy"]) / np.log(
            other.survey.frequency_hz / own.survey.frequency_hz
        )
    return rows


def lone_pairs(first: Rows, second: Rows, radius_arcsec: float) -> NDArray[np.int64]:
    """Pairs of indices, nearer than a radius, in which neither has a second candidate."""
    from scipy.spatial import cKDTree

    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    one = cKDTree(_unit(first["ra_deg"], first["dec_deg"]))
    two = cKDTree(_unit(second["ra_deg"], second["dec_deg"]))
    found = one.query_ball_tree(two, 2 * np.sin(np.deg2rad(radius_arcsec / 3600) / 2))
    counts = np.bincount(np.concatenate([np.array(f, np.int64) for f in found]), minlength=len(second))
    pairs = [(i, f[0]) for i, f in enumerate(found) if len(f) == 1 and counts[f[0]] == 1]
    return np.array(pairs, np.int64).reshape(-1, 2)


def as_sources(rows: Rows, frequency_hz: float, typical_index: float) -> list[Source]:
    """Rows of a survey as sources of a sky model.

    Parameters
    ----------
    rows : ndarray of ROW
    frequency_hz : float
        Of the survey.
    typical_index : float
        Spectral index of those whose own is not known.
    """
    index = np.where(np.isnan(rows["spectral_index"]), typical_index, rows["spectral_index"])
    flux = rows["flux_jy"] * (REFERENCE_HZ / frequency_hz) ** index
    return [
        Source(row["name"].decode(), float(row["ra_deg"]), float(row["dec_deg"]), float(f), float(a))
        for row, f, a in zip(rows, flux, index, strict=True)
    ]
