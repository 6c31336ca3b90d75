"""Which file of a tile has which day: days become months, and months years.

So a row is written three times in its life, and a tile has few files however old it is.
Tiles do that on different days of the month, so that no day has more to do than
another.  A new version of a tile's folder is built beside the old one: files that do
not change are hard links, so it costs what changes.

Belongs here: names of files, and building a folder from the one before.  Does not
belong here: publishing it (``station/tile_files.py``), columns (``files.py``).
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_assets.radio.sidereal_day import group_keys

if TYPE_CHECKING:
    import pyarrow

_ENDING = ".parquet"
_PERIOD = re.compile(r"\d{4}(-\d{2}(-\d{2}b?)?)?")
#: The first day of a month on which any tile puts the month before together, and how many days that spreads.
_FIRST_DAY, _SPREAD = 2, 26


@dataclass(frozen=True)
class Kind:
    """How files of a kind are read and written."""

    read: Callable[[Path], "pyarrow.Table"]
    write: Callable[[Path, "pyarrow.Table"], None]
    join: Callable[[list["pyarrow.Table"]], "pyarrow.Table"]


def period_files(folder: Path) -> dict[str, Path]:
    """A folder's files by their periods (``2026``, ``2026-11``, ``2026-11-25``), in order."""
    found = {path.name.removesuffix(_ENDING): path for path in folder.glob(f"*{_ENDING}")}
    return {period: found[period] for period in sorted(found) if _PERIOD.fullmatch(period)}


def holder(periods: Mapping[str, object], day: str) -> str:
    """The period of the file that a day belongs in: that of its year or month if there is one."""
    return next((period for period in (day[:4], day[:7]) if period in periods), day)


def build(
    before: Path | None,
    folder: Path,
    changed: Mapping[str, "pyarrow.Table"],
    kind: Kind,
    *,
    newest: str,
    turn: int = 0,
) -> list[str]:
    """Build a folder of files in which some days are others than before.

    Parameters
    ----------
    before : Path or None
        The folder as it was; it stays as it is.
    folder : Path
        Made here, on the same file system.
    changed : Mapping of str to pyarrow.Table
        All rows that each of some days has now; none takes a day out.
    kind : Kind
    newest : str
        The newest day: months and years before it are put together.
    turn : int
        Spreads that work over the days of a month.

    Returns
    -------
    list of str
        Periods of the files that were written.
    """
    files = period_files(before) if before is not None else {}
    by_period: dict[str, dict[str, pyarrow.Table]] = {}
    for day, rows in changed.items():
        by_period.setdefault(holder(files, day), {})[day] = rows
    tables = {
        period: _replaced(files.get(period), days, kind)
        if period not in days
        else days[period]  # a file of its own
        for period, days in by_period.items()
    }
    folder.mkdir(parents=True)
    written = []
    for larger, parts in _together({*files, *tables}, newest, turn).items():
        if parts == [larger] and larger not in tables:
            os.link(files[larger], folder / f"{larger}{_ENDING}")
            continue
        rows = kind.join([tables[part] if part in tables else kind.read(files[part]) for part in parts])
        if len(rows):
            kind.write(folder / f"{larger}{_ENDING}", rows)
            written.append(larger)
    return written


def _replaced(path: Path | None, days: Mapping[str, "pyarrow.Table"], kind: Kind) -> "pyarrow.Table":
    """A file's rows, those of some days being others."""
    import pyarrow.compute as compute

    kept = [kind.read(path)] if path is not None else []
    for day in days:
        first, end = group_keys(day)
        for i, rows in enumerate(kept):
            group = rows["group"].cast("string")
            outside = compute.or_(compute.less(group, first), compute.greater_equal(group, end))
            kept[i] = rows.filter(outside)
    return kind.join([*kept, *days.values()])


def _together(periods: set[str], newest: str, turn: int) -> dict[str, list[str]]:
    """Files to come, each with the files that it is made of."""
    # Which months are over for this tile: the one before the newest once its day of the month has come.
    came = int(newest[8:10]) >= _FIRST_DAY + turn % _SPREAD
    open_month = newest[:7] if came else _month_before(newest[:7])
    found: dict[str, list[str]] = {}
    for period in sorted(periods):
        if period[:4] < open_month[:4]:
            larger = period[:4]
        elif period[:7] < open_month and len(period) > 4:
            larger = period[:7]
        else:
            larger = period
        found.setdefault(larger, []).append(period)
    return found


def _month_before(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"
