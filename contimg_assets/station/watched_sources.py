"""The list of watched sources, a file of the user's: reading and changing it.

Belongs here: the file as a whole.  Does not belong here: measuring them
(``radio/photometry/places.py``, which also says what is wrong with a list).
"""

import csv
import io
from pathlib import Path

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.photometry.places import read_watched
from contimg_assets.settings import Settings

_COLUMNS: tuple[str, ...] = ("name", "ra_deg", "dec_deg")


def watched(settings: Settings) -> list[dict[str, str | float]]:
    """Watched sources: name, ra_deg, dec_deg; none where there is no list."""
    path = settings.photometry.watched
    if path is None or not path.is_file():
        return []
    found = read_watched(path)
    return [
        {"name": str(name), "ra_deg": float(ra), "dec_deg": float(dec)}
        for name, ra, dec in zip(found.name, found.ra_deg, found.dec_deg, strict=True)
    ]


def add_watched(settings: Settings, name: str, ra_deg: float, dec_deg: float) -> Path:
    """Add a source to the list, which is made if there is none.

    Raises
    ------
    SettingsError
        If the settings name no list, the source is in it, or name or position are none.
    """
    path = _path(settings)
    rows = watched(settings)
    if any(row["name"] == name for row in rows):
        raise SettingsError(f"{path}: {name!r} is there already")
    if not 0 < len(name) <= 32 or not (0 <= ra_deg < 360 and -90 <= dec_deg <= 90):
        raise SettingsError(
            f"found name {name!r}, RA {ra_deg:g}, Dec {dec_deg:g}; expected a name of at most 32 characters "
            "and a position in degrees"
        )
    _write(path, [*rows, {"name": name, "ra_deg": ra_deg, "dec_deg": dec_deg}])
    return path


def remove_watched(settings: Settings, name: str) -> Path:
    """Take a source out of the list.

    Raises
    ------
    MissingInputError
        If it is not in it.
    """
    path, rows = _path(settings), watched(settings)
    kept = [row for row in rows if row["name"] != name]
    if len(kept) == len(rows):
        raise MissingInputError(f"{path}: found no watched source {name!r}")
    _write(path, kept)
    return path


def _path(settings: Settings) -> Path:
    path = settings.photometry.watched
    if path is None:
        raise SettingsError(
            "found no list of watched sources; expected CONTIMG_PHOTOMETRY__WATCHED, or photometry.watched "
            "in contimg.toml"
        )
    return path


def _write(path: Path, rows: list[dict[str, str | float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())
