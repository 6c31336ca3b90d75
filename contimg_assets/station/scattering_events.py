"""Extreme scattering events of a day's sources: searched, ranked, and what people say of them.

Belongs here: which sources are searched, publishing the list, verdicts.  Does not
belong here: the search (``radio/variability/scattering.py``).
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine, select

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.light_curves.corrections import counting
from contimg_assets.radio.sidereal_day import span
from contimg_assets.radio.variability.colour import colour_of
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.scattering import Search, false_alarms, search_events
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.light_curves import light_curve
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.store import Store
from contimg_assets.station.survey_models import CANDIDATE_VERDICTS, CandidateReview, SurveySource, TileDay
from contimg_assets.station.survey_versions import DAY, TILE, Built, current_versions, publish_together
from contimg_assets.station.tile_merge import PRODUCT as LIGHT_CURVES
from contimg_assets.station.variable_sources import counting_rows

if TYPE_CHECKING:
    import pandas

PRODUCT, FILE = "ese_candidates", "candidates.parquet"
#: Fewer days tell no event from what a source does anyhow.
_LEAST_DAYS = 20
#: Characters of a note.
_LONGEST_NOTE = 1000


def daily_means(rows: "pandas.DataFrame", relative_error: float) -> "pandas.DataFrame":
    """Weighted mean flux densities by source and day (whole part of the MJD)."""
    flux = rows["flux_jy"].to_numpy(np.float64)
    weight = 1 / np.hypot(rows["flux_error_jy"].to_numpy(np.float64), relative_error * flux) ** 2
    parts = rows.assign(day=np.floor(rows["mjd"]).astype(int), weight=weight, total=weight * flux)
    sums = parts.groupby(["source", "day"], sort=True, observed=True)[["weight", "total"]].sum()
    return sums.assign(flux_jy=sums["total"] / sums["weight"], flux_error_jy=sums["weight"] ** -0.5)


def search_source(means: "pandas.DataFrame", options: VariabilityOptions) -> Search | None:
    """Search the daily means of one source; None if they are too few or too faint."""
    flux, error = means["flux_jy"].to_numpy(), means["flux_error_jy"].to_numpy()
    if len(means) < _LEAST_DAYS or np.median(flux / error) < options.event_sigma:
        return None
    return search_events(means.index.get_level_values("day").to_numpy(), flux, error)


def threshold_of(engine: Engine, day: str) -> float | None:
    """The significance from which on a day's dips are candidates; None if no rate of false ones is known."""
    found = current_versions(engine, DAY, PRODUCT, [day]).get(day)
    return None if found is None else found.numbers.get("threshold")


def search_day(
    engine: Engine, store: Store, day: str, options: VariabilityOptions, *, run: str | None = None
) -> ProductVersion:
    """Search the sources of the tiles that a day touched, and publish the ranked list.

    Raises
    ------
    MissingInputError
        If no tile has rows of the day.
    StateError
        If somebody else publishes the day's list at the same time.
    """
    import pandas

    with reading(engine) as session:
        tiles = list(session.scalars(select(TileDay.tile).where(TileDay.day == day).order_by(TileDay.tile)))
    versions = current_versions(engine, TILE, LIGHT_CURVES, tiles)
    if not versions:
        raise MissingInputError(f"day {day}: found no tile with rows of it, expected one; merge it first")
    since = str((span(day)[0] - timedelta(days=options.window_days)).date())
    searched: dict[str, Search] = {}
    extra: dict[str, dict[str, float]] = {}
    for tile, version in versions.items():
        rows = counting_rows(engine, store, version, since, _bright(engine, tile, options))
        means = daily_means(rows, options.relative_error)
        for name, own in means.groupby(level="source", observed=True):
            one = search_source(own, options)
            if one is None:
                continue
            searched[str(name)] = one
            flux = own["flux_jy"].to_numpy()
            deviation = float(np.abs(flux - flux.mean()).max() / flux.std(ddof=1))
            extra[str(name)] = {"median_jy": float(np.median(flux)), "max_deviation": deviation}
    rate = false_alarms(list(searched.values()))
    threshold = rate.threshold(options.false_per_1e4_years) if rate is not None else float("inf")
    found = [
        _row(name, one, extra[name])
        | {"false_per_year": rate.per_year(one.dip.significance)}
        | _colour(engine, store, name, one)
        for name, one in searched.items()
        if rate is not None and one.dip.significance >= threshold
    ]
    table = pandas.DataFrame(found, columns=list(LIST_COLUMNS)).sort_values("significance", ascending=False)
    numbers: dict[str, Any] = {
        "n_searched": len(searched),
        "years": sum(one.years for one in searched.values()),
        "n_candidates": len(table),
        # Without rises enough there is no false-alarm rate, and no list.
        "threshold": threshold,
        "n_rises": sum(one.rise.significance >= threshold for one in searched.values()),
    }
    own = current_versions(engine, DAY, PRODUCT, [day]).get(day)
    settings = {"options": {"variability": options.model_dump(mode="json")}}
    with store.staging(day, PRODUCT) as folder:
        (folder / "built").mkdir()
        table.to_parquet(folder / "built" / FILE, index=False)
        inputs = [version.id for version in versions.values()]
        built = Built(DAY, day, PRODUCT, folder / "built", numbers, own.id if own else None, inputs, settings)
        return publish_together(engine, store, [built], run=run)[0]


def _bright(engine: Engine, tile: str, options: VariabilityOptions) -> list[str]:
    """Sources of a tile that may be bright enough; those without statistics yet are looked at too."""
    single = SurveySource.mean_error_jy * SurveySource.mean_error_jy * SurveySource.n
    bright = SurveySource.mean_jy * SurveySource.mean_jy * 4 >= options.event_sigma**2 * single
    statement = select(SurveySource.name).where(SurveySource.tile == tile, bright | SurveySource.n.is_(None))
    with reading(engine) as session:
        return list(session.scalars(statement))


#: Columns of the list.
LIST_COLUMNS = (
    *("source", "significance", "depth", "depth_error", "begin_mjd", "length_days", "shape"),
    *("rise_significance", "walk_size", "walk_days", "median_jy", "max_deviation", "false_per_year"),
    *("index", "index_error", "index_change", "index_change_error"),
)


def _colour(engine: Engine, store: Store, name: str, one: Search) -> dict[str, float]:
    """Spectral index within the band outside of the event, and by how much it is another in it."""
    rows = counting(light_curve(engine, store, name=name).table)
    mjd, flux, slope, error, beam, correction = (
        rows[column].to_numpy(np.float64)
        for column in ("mjd", "flux_jy", "slope_jy", "slope_error_jy", "beam", "correction")
    )
    divisor = beam * correction
    found = colour_of(mjd, flux, slope / divisor, error / divisor, one.dip.begin_day, one.dip.length_days)
    return {
        "index": found.outside.value,
        "index_error": found.outside.error,
        "index_change": found.change.value,
        "index_change_error": found.change.error,
    }


def _row(name: str, one: Search, extra: dict[str, float]) -> dict[str, Any]:
    dip = asdict(one.dip)
    dip["begin_mjd"] = dip.pop("begin_day")
    return {
        "source": name,
        **dip,
        "rise_significance": one.rise.significance,
        "walk_size": one.walk_size,
        "walk_days": one.walk_days,
        **extra,
    }


@dataclass(frozen=True)
class Candidate:
    """One event of the list, with what a person says of it."""

    values: dict[str, Any]
    verdict: str | None
    note: str
    user: str
    at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """As plain values; what is not a number is None."""
        told = {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in self.values.items()
        }
        at = None if self.at is None else self.at.isoformat()
        return {**told, "verdict": self.verdict, "note": self.note, "user": self.user, "at": at}


def days_listed(engine: Engine, most: int = 10) -> list[str]:
    """Days that have a list, the newest first."""
    return days_with(engine, PRODUCT, most)


def days_with(engine: Engine, product: str, most: int) -> list[str]:
    """Days that have a product, the newest first."""
    statement = select(ProductVersion.key).where(
        ProductVersion.kind == DAY, ProductVersion.product == product, ProductVersion.superseded_at.is_(None)
    )
    with reading(engine) as session:
        return list(session.scalars(statement.order_by(ProductVersion.key.desc()).limit(most)))


def candidates(engine: Engine, store: Store, day: str | None = None) -> tuple[str, list[Candidate]]:
    """The list of a day (default: the newest there is), best first.

    Raises
    ------
    MissingInputError
        If the day has no list.
    """
    import pandas

    day = day or next(iter(days_listed(engine, 1)), None)
    found = current_versions(engine, DAY, PRODUCT, [day]).get(day) if day is not None else None
    if found is None or day is None:
        raise MissingInputError(f"found no list of candidates{f' of {day}' if day else ''}; expected one")
    table = pandas.read_parquet(store.absolute(found.path) / FILE)
    with reading(engine) as session:
        said = list(
            session.scalars(
                select(CandidateReview)
                .where(CandidateReview.source.in_(table["source"].tolist()))
                .order_by(CandidateReview.id)
            )
        )
    return day, [_candidate(values, said) for values in table.to_dict("records")]


def _candidate(values: dict[Any, Any], said: list[CandidateReview]) -> Candidate:
    begin = float(values["begin_mjd"])
    end = begin + float(values["length_days"])
    of_this = [
        one for one in said if one.source == values["source"] and one.begin_mjd < end and one.end_mjd > begin
    ]
    if not of_this:
        return Candidate(values, None, "", "", None)
    last = of_this[-1]
    return Candidate(values, last.verdict, last.note, last.user, last.at)


def review_candidate(
    engine: Engine, source: str, begin_mjd: float, end_mjd: float, verdict: str, note: str, user: str
) -> None:
    """Keep what a person says of an event; it stands for all events of the source that overlap it.

    Raises
    ------
    SettingsError
        If the verdict is none, or the note too long, or the event ends before it begins.
    MissingInputError
        If the source is not known.
    """
    if verdict not in CANDIDATE_VERDICTS:
        raise SettingsError(f"verdict: found {verdict!r}; expected one of {', '.join(CANDIDATE_VERDICTS)}")
    if len(note) > _LONGEST_NOTE:
        raise SettingsError(f"note: found {len(note)} characters; expected {_LONGEST_NOTE} at most")
    if not end_mjd > begin_mjd:
        raise SettingsError(f"event: found the end {end_mjd} for the begin {begin_mjd}; expected a later one")
    with transaction(engine) as session:
        if session.get(SurveySource, source) is None:
            raise MissingInputError(f"found no source {source!r}")
        session.add(
            CandidateReview(
                source=source,
                begin_mjd=begin_mjd,
                end_mjd=end_mjd,
                verdict=verdict,
                note=note.strip().replace("\0", "\N{REPLACEMENT CHARACTER}"),
                user=user,
            )
        )
