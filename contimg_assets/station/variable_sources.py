"""What the light curves of a tile say, kept as a table and with the sources in the station database.

Belongs here: which rows go in, publishing.  Does not belong here: the formulas
(``radio/variability``), events (``scattering_events.py``).
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.light_curves.corrections import counting, on_flux_scale
from contimg_assets.radio.light_curves.files import read_rows, rows_schema
from contimg_assets.radio.light_curves.periods import period_files
from contimg_assets.radio.photometry.table import HEALPIX
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.population import cut_of, is_variable, table_of
from contimg_assets.station.flux_scales import corrections
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import SOURCE_KINDS, SurveySource
from contimg_assets.station.survey_versions import TILE, Built, current_versions, publish_together
from contimg_assets.station.tile_merge import PRODUCT as LIGHT_CURVES

if TYPE_CHECKING:
    import pandas
    import pyarrow

PRODUCT, FILE = "variability", "variability.parquet"
#: Columns that statistics are of.
COLUMNS = (
    *("source", "kind", "ra_deg", "dec_deg", "group", "mjd", "apparent_jy", "apparent_error_jy"),
    *("beam", "flags"),
)
#: … and those that are kept of them.
KEPT = ("source", "ra_deg", "dec_deg", "mjd", "flux_jy", "flux_error_jy", "calibrated")
#: Columns of the table that sources in the station database have.
_KEPT = ("n", "mean_jy", "mean_error_jy", "eta", "modulation", "pair_sigma", "pair_modulation", "last_mjd")


def counting_rows(
    engine: Engine,
    store: Store,
    version: ProductVersion,
    since: str = "",
    names: Collection[str] | None = None,
) -> "pandas.DataFrame":
    """Rows of a tile's files that count, of sources with lasting names, on the flux scale.

    Parameters
    ----------
    engine, store
        Of the station.
    version : ProductVersion
        Of the tile's ``light_curves``.
    since : str
        Files of periods that end before this day are left out.
    names : collection of str, optional
        Sources that are wanted; default: all.

    Returns
    -------
    pandas.DataFrame
        With ``KEPT``; sources are categories in the order of their names.
    """
    import pandas
    from pandas.api.types import union_categoricals

    scales = corrections(engine, store)
    files = period_files(store.absolute(version.path))
    parts = [
        _counting(read_rows(path, columns=COLUMNS), names, scales)
        for period, path in files.items()
        if period >= since[: len(period)]
    ]
    if not parts:
        parts = [_counting(rows_schema().empty_table().select([HEALPIX, *COLUMNS]), names, scales)]
    sources = union_categoricals([part["source"] for part in parts], sort_categories=True)
    rows = pandas.concat([part.drop(columns="source") for part in parts], ignore_index=True)
    rows = rows.assign(source=sources)
    return rows[rows["calibrated"]] if rows["calibrated"].any() else rows


def _counting(
    table: "pyarrow.Table", names: Collection[str] | None, scales: "pandas.DataFrame"
) -> "pandas.DataFrame":
    """Of one file; few bytes a row, since all of a tile's years are in the memory together."""
    frame = table.drop_columns([HEALPIX]).unify_dictionaries().to_pandas()
    wanted = frame["kind"].isin(SOURCE_KINDS)
    if names is not None:
        wanted &= frame["source"].isin(names)
    frame = frame if wanted.all() else frame[wanted]
    rows = counting(on_flux_scale(frame, scales), uncalibrated=True)[list(KEPT)]
    return rows.assign(source=rows["source"].cat.remove_unused_categories())


def make_variability(
    engine: Engine, store: Store, tile: str, options: VariabilityOptions, *, run: str | None = None
) -> ProductVersion:
    """Compute the numbers of a tile's sources.

    Raises
    ------
    MissingInputError
        If the tile has no light curves.
    StateError
        If somebody else publishes them at the same time.
    """
    source = current_versions(engine, TILE, LIGHT_CURVES, [tile]).get(tile)
    if source is None:
        raise MissingInputError(f"tile {tile}: found no light curves; expected its files")
    before = current_versions(engine, TILE, PRODUCT, [tile]).get(tile)
    table = table_of(counting_rows(engine, store, source), options)
    numbers: dict[str, Any] = {"n_sources": len(table)}
    if len(table):
        cut = cut_of(table, options)
        table["variable"] = is_variable(table, cut, options)
        numbers |= {
            "n_variable": int(table["variable"].sum()),
            "eta_median": float(table["eta"].median()),
            "eta_cut": cut.eta,
            "modulation_cut": cut.modulation,
        }
    settings = {"options": {"variability": options.model_dump(mode="json")}}
    with store.staging(tile, PRODUCT) as folder:
        (folder / "built").mkdir()
        table.to_parquet(folder / "built" / FILE, compression="zstd")
        built = Built(
            *(TILE, tile, PRODUCT, folder / "built", numbers),
            before.id if before else None,
            [source.id],
            settings,
        )
        return publish_together(engine, store, [built], run=run, also=lambda session: _note(session, table))[
            0
        ]


def _note(session: Session, table: "pandas.DataFrame") -> None:
    """Put the numbers where sources are looked for."""
    for names in _batches(table.index.tolist()):
        for row in session.scalars(select(SurveySource).where(SurveySource.name.in_(names))):
            values = table.loc[row.name]
            for column in _KEPT:
                value = float(values[column])
                setattr(row, column, None if not np.isfinite(value) else value)
            row.n, row.variable = int(values["n"]), bool(values["variable"])


def _batches(names: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), size):
        yield names[first : first + size]


def variability_of(engine: Engine, store: Store, tile: str) -> "pandas.DataFrame | None":
    """The table of a tile, by source; None if it was not computed."""
    import pandas

    found = current_versions(engine, TILE, PRODUCT, [tile]).get(tile)
    return None if found is None else pandas.read_parquet(store.absolute(found.path) / FILE)
