"""Made-up sources: what they are, and that the day tells of them what is there to find."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.injected import (
    CONSTANT,
    DIP_DAYS,
    DIP_DEPTH,
    DIPPING,
    FILE,
    VARIABLE,
    InjectedSource,
    injected_source,
    source_of_name,
    sources_around,
)
from contimg_assets.radio.photometry.table import COLUMNS, HEALPIX, write_measurements
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.settings import Settings
from contimg_assets.station import injected_truth
from contimg_assets.station.injected_truth import make_injected_truth, truth_of
from contimg_assets.station.light_curves import rows_in
from contimg_assets.station.survey_day import make_day
from contimg_assets_tests.station.survey_home import SurveyHome, small_home

DAYS = [f"2026-01-{day}" for day in range(15, 18)]
ERROR_JY = 2.5e-4


def test_what_a_pixels_source_is() -> None:
    """Always the same, in its pixel; variable ones have their scatter, dips their depth and length."""
    made = [injected_source(pixel) for pixel in range(400)]
    assert made == [source_of_name(one.name) for one in made]
    kinds = [one.kind for one in made]
    assert kinds.count(CONSTANT) == pytest.approx(200, abs=40)
    assert kinds.count(DIPPING) == pytest.approx(100, abs=35)
    around = sources_around(made[7].ra_deg, made[7].dec_deg, 0.01)
    assert made[7] in around
    assert len(around) <= 4
    times = np.arange(61000.0, 63000.0, 1.0)
    for one in made[:60]:
        jy = np.array([one.jy(float(at)) for at in times])
        if one.kind == CONSTANT:
            assert (jy == one.mean_jy).all()
        elif one.kind == VARIABLE:
            assert 0.07 < jy.std() / jy.mean() < 0.35
            assert (jy > 0).all()
        else:
            low = np.isclose(jy, (1 - DIP_DEPTH) * one.mean_jy)
            assert low.mean() == pytest.approx(DIP_DAYS / 365, rel=0.15)
            begin = one.dip_begin(float(times[100]))
            assert begin + DIP_DAYS > times[100]
            assert one.jy(begin + 1) == pytest.approx((1 - DIP_DEPTH) * one.mean_jy)
            assert one.jy(begin - 1) == one.mean_jy


def inject(made: SurveyHome, day: str, factor: float = 1.0) -> int:
    """Write made-up sources' rows beside the measurements of a day's groups; how many."""
    rng, total = np.random.default_rng(int(day[-2:])), 0
    for key in made.days[day].groups:
        rows = made.days[day].rows
        own = rows[rows["group"] == key]
        mjd = float(own["mjd"].iloc[0])
        at = own.loc[own["beam"].idxmax()]
        sources = sources_around(float(at["ra_deg"]), float(at["dec_deg"]), 2.0)
        ra, dec = (np.array([getattr(one, name) for one in sources]) for name in ("ra_deg", "dec_deg"))
        away = np.hypot((ra - at["ra_deg"]) * np.cos(np.deg2rad(dec)), dec - at["dec_deg"])
        beam = np.exp(-(away**2) / 2)
        jy = np.array([one.jy(mjd) for one in sources])
        n = len(sources)
        columns = {name: np.full(n, np.nan) for name in COLUMNS if name != HEALPIX}
        columns |= {"ra_deg": ra, "dec_deg": dec, "mjd": np.full(n, mjd), "beam": beam, "survey_jy": jy}
        columns["source"] = np.array([one.name for one in sources])
        columns["kind"], columns["group"] = np.full(n, "injected"), np.full(n, key)
        columns["apparent_jy"] = factor * jy * beam + ERROR_JY * rng.standard_normal(n)
        columns["apparent_error_jy"] = np.full(n, ERROR_JY)
        columns["n_joint"], columns["flags"] = np.ones(n, int), np.zeros(n, int)
        path = made.store.absolute(made.records.product(key, "photometry").path)
        write_measurements(path / FILE, columns, {"group": key})
        total += n
    return total


def test_a_day_tells_what_became_of_them(engine: Engine, tmp_path: Path) -> None:
    """Errors that hold, and later days that are 5 % off; real light curves know of none."""
    made = small_home(engine, tmp_path)
    settings = Settings.model_validate({"photometry": {"injected": True}})
    counts = []
    for day in DAYS:
        made.observe(day)
        if day == DAYS[0]:
            with pytest.raises(MissingInputError, match="no made-up sources"):
                make_injected_truth(engine, made.store, day, VariabilityOptions())
        counts.append(inject(made, day, 0.95 if day == DAYS[-1] else 1.0))
        done = make_day(engine, made.store, settings, day)
        assert done.versions[-1].product == "injected_truth", done.refused
    first, last = truth_of(engine, DAYS[0]), truth_of(engine, DAYS[-1])
    assert first is not None
    assert last is not None
    assert first["n_measured"] == counts[0]
    assert abs(first["pull_mean"]) < 4 / np.sqrt(counts[0])
    assert first["pull_scatter"] == pytest.approx(1.0, abs=0.2)
    assert first["flux_ratio"] == pytest.approx(1.0, abs=0.01)
    assert last["flux_ratio"] == pytest.approx(0.95, abs=0.01)
    assert last["variable_false_rate"] > truth_of(engine, DAYS[1])["variable_false_rate"]  # type: ignore[index]
    assert "event_completeness" not in last
    everything = rows_in(engine, made.store, (32.0, 16.0), 5.0)
    assert not (everything["kind"].astype(str) == "injected").any()
    # A day made again has its rows once.
    make_injected_truth(engine, made.store, DAYS[0], VariabilityOptions())
    again = truth_of(engine, DAYS[0])
    assert again is not None
    assert again["n_measured"] == counts[0]


def test_dips_are_found_and_constant_sources_have_none() -> None:
    """A year of daily means: of dips that lie in it those over the significance, of the others none."""
    some = [injected_source(pixel) for pixel in range(300)]
    bright = [one for one in some if one.mean_jy > 0.03 and one.kind != VARIABLE][:16]
    rng, days = np.random.default_rng(4), np.arange(61000.0, 61365.0)
    rows = pandas.concat([_rows(one, days, rng) for one in bright], ignore_index=True)
    made = {one.name: one for one in bright}
    told = injected_truth._events(rows, made, VariabilityOptions(), 7.0)
    dipping = [one for one in bright if one.kind == DIPPING and injected_truth._seen_dip(one, days.tolist())]
    assert told["n_events"] == len(dipping) > 0
    assert told["event_completeness"] == 1.0
    assert told["events_false"] == 0
    assert told["event_years"] == pytest.approx(sum(one.kind == CONSTANT for one in bright), rel=0.01)
    # Too few for a rate of their own.
    assert injected_truth._events(rows, made, VariabilityOptions(), None) == {}


def _rows(source: InjectedSource, days: np.ndarray, rng: np.random.Generator) -> pandas.DataFrame:
    jy = np.array([source.jy(float(day)) for day in days]) + 4e-4 * rng.standard_normal(len(days))
    return pandas.DataFrame(
        {"source": source.name, "mjd": days + 0.3, "flux_jy": jy, "flux_error_jy": np.full(len(days), 4e-4)}
    )
