"""Finding sources of the survey: in a cone, a box or a part of the sky, by what their light curves say.

Belongs here: the question and its answer, for the command line, the web and notebooks
alike.  Does not belong here: light curves (``light_curves.py``).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select, select

from contimg_assets.radio.errors import SettingsError
from contimg_assets.radio.sky_regions import Region
from contimg_assets.station.database import reading
from contimg_assets.station.light_curves import separation_deg, sources_near
from contimg_assets.station.survey_models import SurveySource

if TYPE_CHECKING:
    import pandas

#: Columns of the answer, and units.
COLUMNS: dict[str, str] = {
    "name": "",
    "kind": "",
    "ra_deg": "deg",
    "dec_deg": "deg",
    "n": "",
    "mean_jy": "Jy",
    "mean_error_jy": "Jy",
    "eta": "",
    "modulation": "",
    "pair_sigma": "",
    "pair_modulation": "",
    "variable": "",
    "last_mjd": "d",
}
#: How answers may be ordered: column, largest first.
ORDERS = {"eta": True, "modulation": True, "mean_jy": True, "pair_sigma": True, "name": False}
MOST = 100_000


@dataclass(frozen=True)
class SourceQuery:
    """Which sources; what is None does not matter."""

    cone: tuple[float, float, float] | None = None
    """Right ascension, declination and radius, deg."""
    box: tuple[float, float, float, float] | None = None
    """From and to in right ascension (through 360 if the first is larger), then in declination, deg."""
    region: Region | None = None
    """A coverage map, or the credible part of a map of probability."""
    least_jy: float | None = None
    least_eta: float | None = None
    least_modulation: float | None = None
    variable: bool | None = None
    kind: str | None = None
    order: str = "name"
    limit: int = 1000

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        SettingsError
            It says what.
        """
        if self.cone is not None and not (-90 <= self.cone[1] <= 90 and 0 < self.cone[2] <= 180):
            raise SettingsError(f"cone: found {self.cone}; expected RA, DEC and a radius of 0 to 180°")
        if self.box is not None and not -90 <= self.box[2] <= self.box[3] <= 90:
            raise SettingsError(f"box: found {self.box}; expected RA, RA, DEC, DEC with −90 ≤ DEC ≤ DEC ≤ 90")
        if sum(one is not None for one in (self.cone, self.box, self.region)) > 1:
            raise SettingsError("found more than one of cone, box and region; expected one")
        if self.order not in ORDERS:
            raise SettingsError(f"order: found {self.order!r}; expected one of {', '.join(ORDERS)}")
        if not 1 <= self.limit <= MOST:
            raise SettingsError(f"limit: found {self.limit}; expected 1 to {MOST}")


def find_sources(engine: Engine, query: SourceQuery) -> "pandas.DataFrame":
    """Sources that are asked for, a row each; in a cone with ``separation_deg``.

    Raises
    ------
    SettingsError
        If the question cannot be meant.
    """
    import pandas

    query.check()
    if query.cone is not None:
        ra, dec, radius = query.cone
        near = {row.name for _, row in sources_near(engine, (ra % 360, dec), radius)}
        rows = [row for row in _rows(engine, _filtered(query), None) if row.name in near]
    elif query.region is not None:
        rows = _rows(engine, _filtered(query), None)
        inside = query.region.contains([row.ra_deg for row in rows], [row.dec_deg for row in rows])
        rows = [row for row, is_in in zip(rows, inside, strict=True) if is_in][: query.limit]
    else:
        rows = _rows(engine, _filtered(query), query.limit)
    table = pandas.DataFrame(
        [{name: getattr(row, name) for name in COLUMNS} for row in rows], columns=list(COLUMNS)
    )
    floats = {name: "float64" for name in COLUMNS if name not in ("name", "kind", "variable")}
    table = table.astype(floats)
    if query.cone is not None:
        away = separation_deg(table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy(), ra, dec)
        table = table.assign(separation_deg=away).head(query.limit)
    return table


def _rows(engine: Engine, statement: Select[tuple[SurveySource]], limit: int | None) -> list[SurveySource]:
    with reading(engine) as session:
        return list(session.scalars(statement.limit(limit)))


def _filtered(query: SourceQuery) -> Select[tuple[SurveySource]]:
    column = getattr(SurveySource, query.order)
    ordered = column.desc().nulls_last() if ORDERS[query.order] else column
    statement = select(SurveySource).order_by(ordered, SurveySource.name)
    wanted: list[Any] = []
    if query.cone is not None:
        _, dec, radius = query.cone
        wanted.append(SurveySource.dec_deg.between(dec - radius, dec + radius))
    if query.box is not None:
        first, last, low, high = query.box
        wanted.append(SurveySource.dec_deg.between(low, high))
        from_first, to_last = SurveySource.ra_deg >= first, SurveySource.ra_deg <= last
        wanted.append(from_first & to_last if first <= last else from_first | to_last)
    if query.region is not None:
        wanted.append(SurveySource.tile.in_(query.region.tiles()))
    for name, least in (
        ("mean_jy", query.least_jy),
        ("eta", query.least_eta),
        ("modulation", query.least_modulation),
    ):
        if least is not None:
            wanted.append(getattr(SurveySource, name) >= least)
    if query.variable is not None:
        wanted.append(SurveySource.variable.is_(query.variable))
    if query.kind is not None:
        wanted.append(SurveySource.kind == query.kind)
    return statement.where(*wanted)
