"""A group's flags as people and programs are shown them: versions, and where each flags.

Belongs here: reading summaries.  Does not belong here: flagging (``radio/flagging``), where versions
lie (``store.py``), or printing.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import content
from contimg_assets.station.store import Store

#: The product, and the file in it that says where it flags.
FLAGS, SUMMARY_NAME = "flags", "summary.json"


@dataclass(frozen=True)
class FlagVersion:
    """One version of a group's flags."""

    version: str
    """The beginning of the hash of its content, which the header of an image gives."""
    current: bool
    made: str
    """Time, UTC, ISO 8601."""
    flag_fraction: float
    rfi_fraction: float
    dead_antennas: list[str]
    alarms: list[str]
    path: str


def read_summary(version: Path) -> dict[str, Any]:
    """Where a version of the flags flags, along each axis.

    Raises
    ------
    MissingInputError
        If it was made by a release that did not write that.
    """
    path = version / SUMMARY_NAME
    if not path.is_file():
        raise MissingInputError(f"{path}: found no summary; expected that of flags: flag again")
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(path: Path, _modified: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "flag_fraction" not in found:
        raise MissingInputError(f"{path}: found no flag_fraction; expected flags of this version: flag again")
    return found


def flag_versions(records: StationRecords, store: Store, key: str) -> list[FlagVersion]:
    """The versions of a group's flags that are on disk, oldest first.

    Raises
    ------
    MissingInputError
        If the group has no flags.
    """
    current = content(records, store, key, FLAGS)
    rows = []
    for name, path in store.versions(key, FLAGS).items():
        told = read_summary(path)
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        numbers = (told[n] for n in ("flag_fraction", "rfi_fraction", "dead_antennas", "alarms"))
        rows.append(FlagVersion(name, path == current, made, *numbers, path=str(path.absolute())))
    return rows


def flag_summary(
    records: StationRecords, store: Store, key: str, version: str | None = None
) -> dict[str, Any]:
    """Where the flags of a group flag: those of a version, or the current ones.

    Raises
    ------
    MissingInputError
        If there are none.
    """
    path = store.version(key, FLAGS, version) if version else content(records, store, key, FLAGS)
    return {"version": path.name.removeprefix(f"{FLAGS}-"), **read_summary(path)}


def waterfall(summary: dict[str, Any]) -> dict[str, Any]:
    """Flagged part of the cross-correlations by integration and channel.

    Raises
    ------
    MissingInputError
        If the flags were made by a release that did not write that.
    """
    cells = summary.get("by_integration_and_channel")
    if cells is None:
        raise MissingInputError("the flags have no fractions by integration and channel: flag again")
    return {
        "version": summary["version"],
        "frequencies_mhz": summary["frequencies_mhz"],
        "flagged_fraction": cells,
    }
