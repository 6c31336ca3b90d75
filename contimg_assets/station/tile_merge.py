"""A day's measurements into the files of the tiles that it touched, all at once.

Rows of the day's groups that count are sorted into tiles; each tile gets a new
version of ``light_curves`` in which the day's rows are these, and all are published in
one transaction, with the sources that were not known and with what of each group is in
the files from now on.  A kill at any instant leaves the versions before.

Belongs here: that.  Does not belong here: which measurements count (``measured.py``),
how a folder of files is built (``radio/light_curves/periods.py``).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from contimg_assets.radio.healpix import tile_key, tile_number, tiles_of
from contimg_assets.radio.light_curves.files import joined, read_rows, with_version, write_rows
from contimg_assets.radio.light_curves.periods import Kind, build
from contimg_assets.radio.photometry.table import HEALPIX, read_measurements
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_summary import note_merge_due
from contimg_assets.station.measured import Measured, days_due, measured_on, summaries
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import SOURCE_KINDS, SurveySource, TileDay
from contimg_assets.station.survey_versions import TILE, Built, current_versions, publish_together

if TYPE_CHECKING:
    import pyarrow

PRODUCT = "light_curves"
ROWS = Kind(read_rows, write_rows, lambda tables: joined(tables))
_BATCH = 500


@dataclass(frozen=True)
class Merged:
    """What became of a day."""

    day: str
    n_groups: int
    """Groups whose rows are in the files now."""
    n_rows: int
    tiles: tuple[str, ...]
    """Tiles that have a new version."""


def merge_day(
    engine: Engine, store: Store, day: str, *, again: bool = False, run: str | None = None
) -> Merged:
    """Bring the files of tiles up to date with the measurements of a day.

    Parameters
    ----------
    engine, store
        Of the station.
    day : str
        Key of a sidereal day.
    again : bool
        Also where the files have what counts already: some were lost.
    run : str, optional
        Dagster's run.

    Returns
    -------
    Merged
        No tiles if nothing had changed.

    Raises
    ------
    StateError
        If somebody else merges the same tiles; nothing has changed then.
    MissingInputError
        If measurements that count are not on the disk.
    """
    groups = measured_on(engine, store, day)
    if not again and all(one.version == one.merged for one in groups):
        return Merged(day, 0, 0, ())
    by_tile = _rows_by_tile(groups)
    with reading(engine) as session:
        before = set(session.scalars(select(TileDay.tile).where(TileDay.day == day)))
        newest = max(day, session.scalar(select(func.max(TileDay.day))) or day)
    keys = sorted({*by_tile, *before})
    standing = current_versions(engine, TILE, PRODUCT, keys)
    n_rows = {key: len(by_tile[key]) for key in by_tile}
    with ExitStack() as stack:
        built = [
            _build(stack, store, key, day, by_tile.get(key), standing.get(key), groups, newest)
            for key in keys
        ]

        def also(session: Session) -> None:
            _note_days(session, day, n_rows)
            _note_sources(session, by_tile)
            _note_groups(session, groups)

        if built:
            publish_together(engine, store, built, run=run, also=also)
        else:
            with transaction(engine) as session:
                _note_groups(session, groups)
    n_groups = sum(one.version is not None for one in groups)
    return Merged(day, n_groups, sum(n_rows.values()), tuple(keys))


def merge_due(engine: Engine, store: Store, tile: str, *, run: str | None = None) -> ProductVersion | None:
    """Merge all days that are due, and give back a tile's current version; None if it has none."""
    for day in days_due(engine):
        merge_day(engine, store, day, run=run)
    return current_versions(engine, TILE, PRODUCT, [tile]).get(tile)


def _rows_by_tile(groups: Sequence[Measured]) -> "dict[str, pyarrow.Table]":
    """Rows of all groups that count, by the key of their tile."""
    import pyarrow

    parts = [
        with_version(read_measurements(one.path), one.version)
        for one in groups
        if one.path is not None and one.version is not None
    ]
    rows = joined(parts)
    tiles = tiles_of(rows[HEALPIX].to_numpy())
    order = np.argsort(tiles, kind="stable")
    rows, tiles = rows.take(pyarrow.array(order)), tiles[order]
    numbers, first = np.unique(tiles, return_index=True)
    ends = np.append(first[1:], len(tiles))
    return {
        tile_key(int(number)): rows.slice(int(a), int(b - a))
        for number, a, b in zip(numbers, first, ends, strict=True)
    }


def _build(
    stack: ExitStack,
    store: Store,
    key: str,
    day: str,
    rows: "pyarrow.Table | None",
    standing: ProductVersion | None,
    groups: Sequence[Measured],
    newest: str,
) -> Built:
    """A tile's new folder, in staging until the stack is closed."""
    folder = stack.enter_context(store.staging(key, PRODUCT)) / "built"
    before = store.absolute(standing.path) if standing is not None else None
    day_rows = joined([]) if rows is None else rows
    written = build(before, folder, {day: day_rows}, ROWS, newest=newest, turn=tile_number(key))
    present = set(day_rows["group"].unique().to_pylist()) if len(day_rows) else set()
    inputs = [one.version for one in groups if one.version is not None and one.group in present]
    numbers: dict[str, Any] = {"day": day, "n_rows_of_day": len(day_rows), "files_written": written}
    return Built(TILE, key, PRODUCT, folder, numbers, standing.id if standing else None, inputs)


def _note_days(session: Session, day: str, n_rows: Mapping[str, int]) -> None:
    session.execute(delete(TileDay).where(TileDay.day == day))
    session.add_all(TileDay(day=day, tile=tile, n_rows=n) for tile, n in sorted(n_rows.items()))


def _note_groups(session: Session, groups: Sequence[Measured]) -> None:
    """Say what of each group is in the files now; one that changed meanwhile is due again."""
    versions = {one.group: one.version for one in groups}
    keys = sorted(versions)
    for first in range(0, len(keys), _BATCH):
        for summary in session.scalars(summaries(keys[first : first + _BATCH])):
            summary.merged_version_id = versions[summary.key]
            note_merge_due(summary)


def _note_sources(session: Session, by_tile: "Mapping[str, pyarrow.Table]") -> None:
    """Enter sources with lasting names that are not known, and positions that have changed."""
    for tile, rows in by_tile.items():
        columns = rows.select(["source", "kind", "ra_deg", "dec_deg"]).to_pandas()
        columns = columns[columns["kind"].isin(SOURCE_KINDS)].drop_duplicates("source", keep="last")
        names = columns["source"].astype(str).tolist()
        known: dict[str, SurveySource] = {}
        for first in range(0, len(names), _BATCH):
            some = select(SurveySource).where(SurveySource.name.in_(names[first : first + _BATCH]))
            known |= {row.name: row for row in session.scalars(some)}
        for name, kind, ra, dec in zip(
            names, columns["kind"].astype(str), columns["ra_deg"], columns["dec_deg"], strict=True
        ):
            found = known.get(name)
            if found is None:
                session.add(
                    SurveySource(name=name, kind=kind, ra_deg=float(ra), dec_deg=float(dec), tile=tile)
                )
            elif (found.ra_deg, found.dec_deg) != (ra, dec):
                found.kind, found.ra_deg, found.dec_deg, found.tile = kind, float(ra), float(dec), tile


def tile_folders(engine: Engine, store: Store, keys: Sequence[str]) -> dict[str, Path]:
    """Folders of the current files of some tiles."""
    found = current_versions(engine, TILE, PRODUCT, keys)
    return {key: store.absolute(row.path) for key, row in found.items()}


def source_named(engine: Engine, name: str) -> SurveySource | None:
    """A source by its name; None if it is not known."""
    with reading(engine) as session:
        return session.get(SurveySource, name)


def days_by_tile(engine: Engine, tiles: Sequence[str]) -> dict[str, int]:
    """Of how many days each of some tiles has rows."""
    found: dict[str, int] = {}
    with reading(engine) as session:
        for first in range(0, len(tiles), _BATCH):
            some = TileDay.tile.in_(tiles[first : first + _BATCH])
            counted = select(TileDay.tile, func.count()).where(some).group_by(TileDay.tile)
            found |= {tile: n for tile, n in session.execute(counted)}
    return found


def days_of(engine: Engine, tile: str) -> list[str]:
    """Days of which a tile has rows."""
    with reading(engine) as session:
        return list(session.scalars(select(TileDay.day).where(TileDay.tile == tile).order_by(TileDay.day)))
