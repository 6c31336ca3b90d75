"""What becomes of made-up sources: errors, what is found of variables and dips, and what is found of nothing.

Their rows (``radio/photometry/injected.py``) are kept as real ones are, day by day, in one folder of
the whole survey, and go through the same daily means, numbers and search.  The flux scale takes no part:
what is put in has been seen by no antenna.

Belongs here: that.  Does not belong here: the sources, or what real ones do.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.light_curves.corrections import counting
from contimg_assets.radio.light_curves.files import joined, read_rows, with_version
from contimg_assets.radio.light_curves.periods import build, period_files
from contimg_assets.radio.photometry.injected import (
    CONSTANT,
    DIP_DAYS,
    DIPPING,
    FILE,
    VARIABLE,
    InjectedSource,
    source_of_name,
)
from contimg_assets.radio.photometry.table import read_measurements
from contimg_assets.radio.sidereal_day import span
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.population import table_of
from contimg_assets.radio.variability.scattering import Search, false_alarms
from contimg_assets.station.measured import measured_on
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.scattering_events import daily_means, days_with, search_source, threshold_of
from contimg_assets.station.store import Store
from contimg_assets.station.survey_versions import (
    DAY,
    SURVEY,
    WHOLE,
    Built,
    current_versions,
    publish_together,
)
from contimg_assets.station.tile_merge import ROWS

if TYPE_CHECKING:
    import pandas

PRODUCT, ALL_ROWS = "injected_truth", "injected_rows"
#: A source varies if constant ones have its η with less than this probability.
_UNLIKELY = 1e-3
#: A dip was to be seen if so many of its days have measurements, and as many others.
_SEEN_DAYS = 10
#: Flux densities are compared from this signal-to-noise ratio on.
_BRIGHT_SIGMA = 20.0
_COLUMNS = (
    *("source", "group", "ra_deg", "dec_deg", "mjd", "apparent_jy", "apparent_error_jy", "beam"),
    *("survey_jy", "flags"),
)


def make_injected_truth(
    engine: Engine, store: Store, day: str, options: VariabilityOptions, *, run: str | None = None
) -> ProductVersion:
    """Keep a day's rows of made-up sources, and tell what is found of all.

    Raises
    ------
    MissingInputError
        If no group of the day has such rows.
    StateError
        If somebody else publishes a day at the same time.
    """
    groups = measured_on(engine, store, day)
    tables = [
        with_version(read_measurements(one.path.with_name(FILE)), one.version)
        for one in groups
        if one.path is not None and one.version is not None and one.path.with_name(FILE).is_file()
    ]
    if not tables:
        raise MissingInputError(f"day {day}: found no made-up sources in the measurements of its groups")
    own = current_versions(engine, DAY, PRODUCT, [day]).get(day)
    whole = current_versions(engine, WHOLE, ALL_ROWS, [SURVEY]).get(SURVEY)
    before = store.absolute(whole.path) if whole is not None else None
    known = period_files(before) if before is not None else {}
    newest = max([day, *(period for period in known if len(period) >= len(day))])
    with store.staging(day, PRODUCT) as of_day, store.staging(SURVEY, ALL_ROWS) as of_all:
        (of_day / "built").mkdir()
        written = build(before, of_all / "built", {day: joined(tables)}, ROWS, newest=newest)
        since = str((span(day)[0] - timedelta(days=options.window_days)).date())
        rows = _rows(of_all / "built", since)
        today = rows["group"].isin([one.group for one in groups])
        numbers = {**_of_day(rows[today]), **_of_all(rows, options, threshold_of(engine, day))}
        inputs = [one.version for one in groups if one.version is not None]
        settings = {"options": {"variability": options.model_dump(mode="json")}}
        built = [
            Built(DAY, day, PRODUCT, of_day / "built", numbers, own.id if own else None, inputs, settings),
            Built(
                *(WHOLE, SURVEY, ALL_ROWS, of_all / "built", {"day": day, "files_written": written}),
                whole.id if whole else None,
            ),
        ]
        return publish_together(engine, store, built, run=run)[0]


def truth_of(engine: Engine, day: str) -> dict[str, Any] | None:
    """What a day's made-up sources tell; None if it has none."""
    found = current_versions(engine, DAY, PRODUCT, [day]).get(day)
    return None if found is None else dict(found.numbers)


def newest_truth(engine: Engine, day: str | None = None) -> tuple[str, dict[str, Any]]:
    """What a day's made-up sources tell (default: the newest day that has any).

    Raises
    ------
    MissingInputError
        If there are none.
    """
    of_day = day or next(iter(days_with(engine, PRODUCT, 1)), None)
    told = None if of_day is None else truth_of(engine, of_day)
    if of_day is None or told is None:
        raise MissingInputError(f"found no made-up sources{f' of {day}' if day else ''}; expected some")
    return of_day, told


def _rows(folder: Path, since: str) -> "pandas.DataFrame":
    """Rows that count of all days from one on."""
    import pandas

    files = period_files(folder).items()
    tables = [read_rows(path, columns=_COLUMNS) for period, path in files if period >= since[: len(period)]]
    texts = {"source": str, "group": str}
    frame = pandas.concat([table.to_pandas().astype(texts) for table in tables], ignore_index=True)
    beam = frame["beam"].to_numpy(np.float64)
    flux, error = (frame[name].to_numpy(np.float64) / beam for name in ("apparent_jy", "apparent_error_jy"))
    return counting(frame.assign(flux_jy=flux, flux_error_jy=error, calibrated=True))


def _of_day(rows: "pandas.DataFrame") -> dict[str, Any]:
    """Whether errors are what they are said to be."""
    true = rows["survey_jy"].to_numpy(np.float64)
    flux, error = rows["flux_jy"].to_numpy(), rows["flux_error_jy"].to_numpy()
    numbers: dict[str, Any] = {"n_measured": len(rows), "n_sources": int(rows["source"].nunique())}
    if len(rows):
        pulls = (flux - true) / error
        numbers |= {"pull_mean": float(pulls.mean()), "pull_scatter": float(pulls.std())}
        bright = true > _BRIGHT_SIGMA * error
        if bright.any():
            numbers["flux_ratio"] = float(np.median(flux[bright] / true[bright]))
    return numbers


def _of_all(rows: "pandas.DataFrame", options: VariabilityOptions, threshold: float | None) -> dict[str, Any]:
    """What is found of sources that vary, and of sources that do not."""
    made = {name: source_of_name(name) for name in rows["source"].unique()}
    table = table_of(rows, options)
    numbers: dict[str, Any] = {}
    if len(table):
        kind = np.array([made[name].kind for name in table.index])
        varies = table["eta_probability"].to_numpy() < _UNLIKELY
        for of, words in ((VARIABLE, "variable_completeness"), (CONSTANT, "variable_false_rate")):
            if (kind == of).any():
                numbers |= {f"n_{of}": int((kind == of).sum()), words: float(varies[kind == of].mean())}
        if (kind == CONSTANT).any():
            numbers["eta_mean"] = float(table["eta"][kind == CONSTANT].mean())
    return numbers | _events(rows, made, options, threshold)


def _events(
    rows: "pandas.DataFrame",
    made: Mapping[str, InjectedSource],
    options: VariabilityOptions,
    threshold: float | None,
) -> dict[str, Any]:
    """Dips that are found, and those of constant sources, from the significance of the day's real list on."""
    steady = rows[rows["source"].map(lambda name: made[name].kind != VARIABLE)]
    searched: dict[str, Search] = {}
    seen: dict[str, list[float]] = {}
    for name, own in daily_means(steady, options.relative_error).groupby(level="source", observed=True):
        one = search_source(own, options)
        if one is not None:
            searched[str(name)] = one
            seen[str(name)] = own.index.get_level_values("day").tolist()
    if threshold is None:
        # Too few real sources tell a rate.
        rate = false_alarms(list(searched.values()))
        if rate is None:
            return {}
        threshold = rate.threshold(options.false_per_1e4_years)
    found = {name: one.dip.significance >= threshold for name, one in searched.items()}
    steady_names = [name for name in searched if made[name].kind == CONSTANT]
    dipped = [name for name in searched if made[name].kind == DIPPING and _seen_dip(made[name], seen[name])]
    numbers: dict[str, Any] = {
        "event_threshold": threshold,
        "n_events": len(dipped),
        "events_false": sum(found[name] for name in steady_names),
        "event_years": sum(searched[name].years for name in steady_names),
    }
    if dipped:
        numbers["event_completeness"] = float(np.mean([found[name] for name in dipped]))
    return numbers


def _seen_dip(source: InjectedSource, days: Sequence[float]) -> bool:
    """Whether a whole dip lies in the days, with measurements enough in it and outside of it."""
    first, last = min(days), max(days)
    begin = source.dip_begin(first)
    while begin < first:
        begin = source.dip_begin(begin + DIP_DAYS + 1)
    inside = sum(begin <= day < begin + DIP_DAYS for day in days)
    return begin + DIP_DAYS <= last and inside >= _SEEN_DAYS and len(days) - inside >= _SEEN_DAYS
