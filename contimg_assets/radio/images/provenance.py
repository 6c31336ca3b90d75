"""What made an image: into its FITS header, out of it again, and held against the disk.

Belongs here: the header's words for calibration, flags and software.  Does not
belong here: the rest of the header (``imaging/fits.py``), or how a set was
chosen (which whoever makes the provenance says).
"""

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contimg_assets import __version__
from contimg_assets.radio.errors import CatalogueError, MissingInputError
from contimg_assets.radio.files import tree_sha256

if TYPE_CHECKING:
    from astropy.io.fits import Header

#: Packages whose version can change a number in an image.
_PACKAGES = (
    *("numpy", "scipy", "numba", "astropy", "astropy-iers-data", "pyuvdata", "python-casacore"),
    *("casatools", "casatasks", "casadata", "ducc0"),
)
#: Keyword, entry of the provenance, comment.
_SIMPLE = (
    ("CALSET", "set_id", "calibration set"),
    ("CALGROUP", "group", "group that the set was solved on"),
    ("CALSRC", "calibrator", "calibrator"),
    ("CALHOURS", "hours", "h from the set's mid-time to the group's"),
    ("CALHOW", "fallback", "how the set was come by"),
    ("CALREF", "refant", "reference antenna, by name"),
    ("CALWARN", "warning", "what to know about the choice"),
    ("CALPATH", "path", "folder with the tables"),
)
#: Keywords of entries that are kept as JSON.
_STRUCTURED = (
    ("CALFLUX", "flux_model", "flux density model of the calibrator"),
    ("CALSOFT", "solved_with", "software that solved"),
    ("FLAGVERS", "flags", "version of the flags, by content"),
    ("CALINTER", "interpolated", "set towards which gains were interpolated"),
    ("SELFCAL", "self_calibration", "self-calibration on the field"),
    ("SOFTWARE", "software", "software that flagged and applied"),
)
_NONE = "none"
#: Characters that a card of a header has for a string and its comment.
_CARD_ROOM = 65


def software_versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    return {
        "contimg": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def add_provenance(header: "Header", provenance: Mapping[str, Any] | None) -> None:
    """Write into an image's header what calibrated its data.

    Parameters
    ----------
    header : astropy.io.fits.Header
    provenance : Mapping, optional
        As ``provenance.json`` of a calibrated Measurement Set has it; None if
        the data were imaged as they came.
    """
    if provenance is None:
        header["CALSET"] = (_NONE, "the data were imaged as they came")
        return
    for keyword, entry, comment in _SIMPLE:
        if provenance.get(entry) not in (None, ""):
            header[keyword] = commented(provenance[entry], comment)
    for keyword, entry, comment in _STRUCTURED:
        if provenance.get(entry):
            header[keyword] = commented(json.dumps(provenance[entry], separators=(",", ":")), comment)
    for number, table in enumerate(provenance["tables"], start=1):
        header[f"CALTAB{number}"] = f"{table['type']}:{table['sha256']}"
        header[f"CALFIL{number}"] = (str(table["file"]), f"file of CALTAB{number}")


def commented(value: Any, comment: str) -> Any:
    """A header's value with its comment, if the card has room for both; a long string goes on without."""
    return (value, comment) if len(str(value)) + len(comment) <= _CARD_ROOM else value


def read_provenance(image: Path) -> dict[str, Any]:
    """What an image's header says of its making.

    Returns
    -------
    dict
        As it was given to :func:`add_provenance`, with ``set_id`` None for data
        that were not calibrated.

    Raises
    ------
    MissingInputError
        If there is no such file.
    CatalogueError
        If it is not one of our images.
    """
    # Every run loads this module for the versions that it keeps, and few need astropy.

    # Every run loads this module for the versions that it keeps, and few need astropy.
    from contimg_assets.radio.images.planes import plane_header

    if not image.is_file():
        raise MissingInputError(f"{image}: found no file; expected a FITS image")
    try:
        header = plane_header(image)
    except OSError as error:
        raise CatalogueError(f"{image}: cannot be read as FITS: {error}") from error
    if "CALSET" not in header:
        raise CatalogueError(f"{image}: found no CALSET in the header; expected an image made by contimg")
    found: dict[str, Any] = {"origin": header.get("ORIGIN"), "object": header.get("OBJECT")}
    if header["CALSET"] == _NONE:
        return {**found, "set_id": None, "tables": []}
    found |= {entry: header[keyword] for keyword, entry, _ in _SIMPLE if keyword in header}
    found |= {entry: json.loads(header[keyword]) for keyword, entry, _ in _STRUCTURED if keyword in header}
    found["tables"] = []
    number = 1
    while f"CALTAB{number}" in header:
        kind, _, digest = str(header[f"CALTAB{number}"]).partition(":")
        file = header.get(f"CALFIL{number}")
        found["tables"].append({"type": kind, "file": file, "sha256": digest})
        number += 1
    return found


@dataclass(frozen=True)
class TableOnDisk:
    """A table of the header, looked up on disk."""

    type: str
    file: str
    sha256: str
    status: str
    """``verified``, ``changed`` or ``missing``."""
    path: str
    """Where it was looked for (last)."""


def verify_tables(provenance: Mapping[str, Any], sets: Path) -> Iterator[TableOnDisk]:
    """Hold the tables that a header names against those on disk.

    Parameters
    ----------
    provenance : Mapping
        From :func:`read_provenance`.
    sets : Path
        Where sets are kept here, for images that came from another home.

    Yields
    ------
    TableOnDisk
    """
    for table, origin in _tables(provenance):
        folders = [Path(str(origin.get("path", ""))), sets / str(origin.get("set_id"))]
        places = [folder / str(table["file"]) for folder in folders]
        place = next((p for p in places if p.is_dir()), None)
        status = "missing"
        if place is not None:
            status = "verified" if tree_sha256(place) == table["sha256"] else "changed"
        yield TableOnDisk(
            table["type"], str(table["file"]), table["sha256"], status, str(place or places[-1])
        )


def _tables(provenance: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every table, with the set that it belongs to."""
    for origin in (provenance, provenance.get("interpolated") or {}):
        for table in origin.get("tables", ()):
            yield table, origin
