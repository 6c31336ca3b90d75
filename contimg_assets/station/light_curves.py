"""Rows of the sky from the files of tiles and of groups that are not in them yet; light curves from these.

Rows of groups whose measurements are other than those in the files (``measured.py``) are
left out of the files' and read from the group's own file, so that what is read is at any
time what counts.  Belongs here: reading.  Does not belong here: files' columns
(``radio/light_curves``), statistics (``radio/variability``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, select

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.healpix import disc, tile_key, tiles_of
from contimg_assets.radio.light_curves.corrections import counting, on_flux_scale
from contimg_assets.radio.light_curves.files import read_rows, rows_schema, with_version
from contimg_assets.radio.light_curves.periods import period_files
from contimg_assets.radio.photometry.table import HEALPIX, read_measurements
from contimg_assets.radio.sidereal_day import sidereal_time_deg
from contimg_assets.radio.variability.colour import Index, spectral_index
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.statistics import Variability, variability, whole_error
from contimg_assets.station.database import reading
from contimg_assets.station.flux_scales import corrections
from contimg_assets.station.measured import Measured, unmerged
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import SurveySource
from contimg_assets.station.tile_merge import source_named, tile_folders

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: A position means a source within this of it, unless the caller says otherwise.
NEAR_ARCSEC = 20.0
#: A source's rows are looked for within this of where it was measured last: catalogues are put right by less.
_SAME_ARCSEC = 5.0
#: Nothing is measured farther than this from where the beam points in a group's middle, deg; precession
#: since J2000 included.
_FIELD_DEG = 5.5
#: Columns without which rows cannot be put on the flux scale.
NEEDED = (
    *("source", "kind", "ra_deg", "dec_deg", "group", "mjd", "apparent_jy", "apparent_error_jy"),
    *("beam", "flags"),
)


@dataclass(frozen=True)
class LightCurve:
    """All measurements of one source that count."""

    source: str
    ra_deg: float
    """Where it was measured, the mean."""
    dec_deg: float
    statistics: Variability
    """Of measurements without flags other than *limit*, *moved* and *poor fit*, calibrated ones if there are
    any."""
    index: Index
    """Spectral index within the band, of the same; NaN where no slope was measured."""
    table: "pandas.DataFrame"
    """A row a measurement, in the order of time: the file's columns, and those of
    ``radio/light_curves/corrections.py`` (``flux_jy``, ``flux_error_jy``, …)."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values; what is not a number is None."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        numbers = asdict(self.statistics)
        numbers |= {"spectral_index": self.index.value, "spectral_index_error": self.index.error}
        statistics = {
            name: None if value is None or not np.isfinite(value) else value
            for name, value in numbers.items()
        }
        return {
            "source": self.source,
            "ra_deg": self.ra_deg,
            "dec_deg": self.dec_deg,
            "statistics": statistics,
            "measurements": rows,
        }


def rows_in(
    engine: Engine,
    store: Store,
    position: tuple[float, float],
    radius_deg: float,
    *,
    columns: Sequence[str] | None = None,
) -> "pandas.DataFrame":
    """All measurements that count within a disc, on the flux scale.

    Parameters
    ----------
    engine, store
        Of the station.
    position : tuple of float
        ICRS right ascension and declination, deg.
    radius_deg : float
    columns : sequence of str, optional
        Columns that are wanted besides ``NEEDED``; default: all.

    Returns
    -------
    pandas.DataFrame
        In no order.
    """
    table = _raw(engine, store, position, radius_deg, columns)
    frame = table.to_pandas()
    away = separation_deg(frame["ra_deg"].to_numpy(), frame["dec_deg"].to_numpy(), *position)
    return on_flux_scale(frame[away <= radius_deg], corrections(engine, store))


def _raw(
    engine: Engine,
    store: Store,
    position: tuple[float, float],
    radius_deg: float,
    columns: Sequence[str] | None,
) -> "pyarrow.Table":
    import pyarrow

    wanted = None if columns is None else list(dict.fromkeys((*NEEDED, *columns)))
    ranges = disc(*position, radius_deg)
    # What is in the files is asked for last: a day that is merged meanwhile is in both, and not in neither.
    changed = unmerged(engine, store)
    tables = [*_of_tiles(engine, store, ranges, wanted)]
    if changed:
        stale = {one.group for one in changed}
        tables = [_without(table, stale) for table in tables]
        tables += _of_groups(changed, position, radius_deg, wanted)
    plain = [
        table.select([name for name in table.column_names if wanted is None or name in wanted])
        for table in tables
    ]
    if not plain:
        empty = rows_schema().empty_table()
        plain = [empty if wanted is None else empty.select(wanted)]
    return pyarrow.concat_tables(plain, promote_options="permissive").unify_dictionaries()


def _of_tiles(
    engine: Engine, store: Store, ranges: NDArray[np.int64], columns: Sequence[str] | None
) -> "list[pyarrow.Table]":
    folders = tile_folders(engine, store, _tile_keys(ranges))
    found = [
        read_rows(path, ranges, columns)
        for folder in folders.values()
        for path in period_files(folder).values()
    ]
    return [table for table in found if len(table)]


def _tile_keys(ranges: NDArray[np.int64]) -> list[str]:
    """Tiles that ranges of HEALPix numbers are in."""
    spans = [np.arange(a, b + 1) for a, b in tiles_of(ranges - [0, 1]).tolist()]
    return [tile_key(int(tile)) for tile in np.unique(np.concatenate(spans))]


def _without(table: "pyarrow.Table", groups: set[str]) -> "pyarrow.Table":
    import pyarrow
    import pyarrow.compute as compute

    stale = compute.is_in(table["group"].cast("string"), value_set=pyarrow.array(sorted(groups)))
    return table.filter(compute.invert(stale))


def _of_groups(
    groups: Sequence[Measured],
    position: tuple[float, float],
    radius_deg: float,
    columns: Sequence[str] | None,
) -> "list[pyarrow.Table]":
    """Rows of groups' own files, of those groups that may have the place."""
    found = []
    for one in groups:
        if one.path is None or one.version is None or not _sees(one, position, radius_deg):
            continue
        table = with_version(read_measurements(one.path), one.version)
        ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
        table = table.filter(separation_deg(ra, dec, *position) <= radius_deg)
        if len(table):
            found.append(table if columns is None else table.select([HEALPIX, *columns]))
    return found


def _sees(group: Measured, position: tuple[float, float], radius_deg: float) -> bool:
    at = np.array([sidereal_time_deg(group.mid_mjd)]), np.array([group.declination_deg])
    return bool(separation_deg(*at, *position)[0] <= _FIELD_DEG + radius_deg)


def separation_deg(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], ra: float, dec: float
) -> NDArray[np.float64]:
    """Angles of places from one place, deg."""
    a, d, e = np.deg2rad(ra_deg - ra), np.deg2rad(dec_deg), np.deg2rad(dec)
    sine = np.sin((d - e) / 2) ** 2 + np.cos(d) * np.cos(e) * np.sin(a / 2) ** 2
    return np.rad2deg(2 * np.arcsin(np.sqrt(np.minimum(sine, 1.0))))


def sources_near(
    engine: Engine, position: tuple[float, float], radius_deg: float
) -> list[tuple[float, SurveySource]]:
    """Known sources in a disc, with their distances in deg, the nearest first."""
    statement = select(SurveySource).where(
        SurveySource.tile.in_(_tile_keys(disc(*position, radius_deg))),
        SurveySource.dec_deg.between(position[1] - radius_deg, position[1] + radius_deg),
    )
    with reading(engine) as session:
        rows = list(session.scalars(statement))
    at = np.array([(row.ra_deg, row.dec_deg) for row in rows], np.float64).reshape(-1, 2)
    away = separation_deg(at[:, 0], at[:, 1], *position)
    order = np.argsort(away)
    return [(float(away[i]), rows[i]) for i in order if away[i] <= radius_deg]


def light_curve(
    engine: Engine,
    store: Store,
    *,
    name: str | None = None,
    position: tuple[float, float] | None = None,
    radius_arcsec: float = NEAR_ARCSEC,
    relative_error: float = VariabilityOptions().relative_error,
) -> LightCurve:
    """The light curve of a source, by its name or by a place near it.

    Parameters
    ----------
    engine, store
        Of the station.
    name : str, optional
        As its rows have it.
    position : tuple of float, optional
        ICRS right ascension and declination, deg.  Of several sources the nearest is meant; where there is
        none with a lasting name, all detections in the circle are.
    radius_arcsec : float
        How far from the position it may be.
    relative_error : float
        Of every measurement besides noise and scale, for the statistics; the table has the errors without it.

    Returns
    -------
    LightCurve

    Raises
    ------
    MissingInputError
        If no measurement that counts is of such a source.
    ValueError
        If neither name nor position is given, or both.
    """
    if (name is None) == (position is None):
        raise ValueError("a light curve is of a name or of a position")
    if position is not None:
        name, rows = _at(engine, store, position, radius_arcsec)
        return _curve(name, rows, relative_error)
    known = source_named(engine, str(name))
    if known is not None:
        near = rows_in(engine, store, (known.ra_deg, known.dec_deg), _SAME_ARCSEC / 3600)
    else:
        near = _not_merged(engine, store)
    rows = near[near["source"].astype(str) == name]
    if not len(rows):
        raise MissingInputError(f"found no measurement that counts of a source {name!r}")
    return _curve(str(name), rows, relative_error)


def _at(
    engine: Engine, store: Store, position: tuple[float, float], radius_arcsec: float
) -> "tuple[str, pandas.DataFrame]":
    """Name and measurements of the source at a place."""
    near = rows_in(engine, store, position, radius_arcsec / 3600)
    lasting = near[near["kind"].astype(str) != "blind"]
    found = lasting if len(lasting) else near
    if not len(found):
        raise MissingInputError(
            f"found no measurement that counts of a source within {radius_arcsec:g}″ of "
            f"{position[0]:g}, {position[1]:g}"
        )
    away = separation_deg(found["ra_deg"].to_numpy(), found["dec_deg"].to_numpy(), *position)
    name = str(found["source"].iloc[int(np.argmin(away))])
    return name, found[found["source"].astype(str) == name] if len(lasting) else found


def _not_merged(engine: Engine, store: Store) -> "pandas.DataFrame":
    """Rows of groups that are in no tile's file: the only ones of a source that nobody knows."""
    import pandas

    changed = [one for one in unmerged(engine, store) if one.path is not None and one.version is not None]
    parts = [
        with_version(read_measurements(one.path), one.version).to_pandas()
        for one in changed
        if one.path is not None and one.version is not None
    ]
    if not parts:
        parts = [rows_schema().empty_table().to_pandas()]
    texts = {"source": str, "kind": str, "group": str}
    frame = pandas.concat([part.astype(texts) for part in parts], ignore_index=True)
    return on_flux_scale(frame, corrections(engine, store))


def _curve(name: str, rows: "pandas.DataFrame", relative_error: float) -> LightCurve:
    rows = rows.astype({"source": str, "kind": str, "group": str}).sort_values("mjd", ignore_index=True)
    good = counting(rows)
    flux = good["flux_jy"].to_numpy()
    # A slope is of the apparent flux density: of one group, with one noise and one beam.
    columns = ("apparent_jy", "slope_jy", "slope_error_jy")
    return LightCurve(
        name,
        float(rows["ra_deg"].mean()),
        float(rows["dec_deg"].mean()),
        variability(flux, whole_error(flux, good["flux_error_jy"].to_numpy(), relative_error)),
        spectral_index(*(good[column].to_numpy(np.float64) for column in columns)),
        rows,
    )
