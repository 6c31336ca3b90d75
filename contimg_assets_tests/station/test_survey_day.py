"""All that a day is due, from measurements of groups to what people are shown."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner
from sqlalchemy import Engine

from contimg_assets.cli.survey import commands
from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.healpix import nested
from contimg_assets.radio.sidereal_day import span
from contimg_assets.radio.sky_regions import read_region
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, get_settings
from contimg_assets.simulation.strip import Instrument, StripSimulator, strip_sky
from contimg_assets.station.flux_scales import corrections
from contimg_assets.station.installation import Installation
from contimg_assets.station.light_curves import light_curve
from contimg_assets.station.models import GROUP
from contimg_assets.station.products import StationRecords
from contimg_assets.station.scattering_events import candidates, review_candidate
from contimg_assets.station.sources import SourceQuery, find_sources
from contimg_assets.station.survey_day import make_day
from contimg_assets.station.survey_due import due_now
from contimg_assets.station.variable_sources import variability_of
from contimg_assets_tests.station.survey_home import DECLINATION_DEG, SurveyHome

DAYS = ["2026-01-30", "2026-01-31", "2026-02-01"]


def survey(engine: Engine, home: Path) -> SurveyHome:
    """A strip of 8° with groups that are 3 % off."""
    sky = strip_sky(DECLINATION_DEG, (30.0, 38.0), 16.0, 6e-3)
    return SurveyHome(engine, home, StripSimulator(sky, DECLINATION_DEG, Instrument(gain_scatter=0.03)))


def observe_and_make(made: SurveyHome) -> None:
    for day in DAYS:
        made.observe(day)
        done = make_day(made.engine, made.store, Settings(), day)
        names = [version.product for version in done.versions]
        assert names[0] == "flux_scale", done.refused
        assert "light_curves" in names
        assert "variability" in names
        assert names[-1] == "ese_candidates"


def test_a_day_makes_scales_light_curves_numbers_and_a_list(engine: Engine, tmp_path: Path) -> None:
    made = survey(engine, tmp_path)
    observe_and_make(made)
    assert due_now(engine, span(DAYS[-1])[1] + timedelta(days=2)) == []
    scales = corrections(engine, made.store)
    assert set(scales.index) == {key for day in made.days.values() for key in day.groups}
    # A bright source's light curve is better than without scales.
    name = str(made.simulator.sky.names[int(np.argmax(made.simulator.sky.jy))])
    curve = light_curve(engine, made.store, name=name).table
    curve = curve[curve["calibrated"]]
    assert len(curve) >= 6
    before = (curve["flux_jy"] * curve["correction"]).std() / curve["flux_jy"].mean()
    assert curve["flux_jy"].std() / curve["flux_jy"].mean() < 0.7 * before
    # What is found of sources is what the tiles' tables say.
    ordered = find_sources(engine, SourceQuery(order="mean_jy", limit=5))
    assert ordered["name"].iloc[0] == name
    at = (float(ordered["ra_deg"].iloc[0]), float(ordered["dec_deg"].iloc[0]))
    cone = find_sources(engine, SourceQuery(cone=(*at, 0.5)))
    assert name in cone["name"].tolist()
    assert (cone["separation_deg"] <= 0.5).all()
    box = find_sources(engine, SourceQuery(box=(at[0] - 0.01, at[0] + 0.01, 14.0, 19.0), least_jy=1e-3))
    assert name in box["name"].tolist()
    assert (box["mean_jy"] >= 1e-3).all()
    with pytest.raises(SettingsError, match="order: found 'size'"):
        find_sources(engine, SourceQuery(order="size"))
    tables = [variability_of(engine, made.store, tile.name) for tile in made.store.products.glob("hp4-*")]
    assert sum(name in table.index for table in tables if table is not None) == 1
    day, found = candidates(engine, made.store)
    assert (day, found) == (DAYS[-1], [])


def test_a_verdict_stands_for_all_events_that_overlap(engine: Engine, tmp_path: Path) -> None:
    made = survey(engine, tmp_path)
    made.observe(DAYS[0])
    make_day(engine, made.store, Settings(), DAYS[0])
    name = str(find_sources(engine, SourceQuery(limit=1))["name"].iloc[0])
    review_candidate(engine, name, 61041.0, 61080.0, "event", "both feeds", "me")
    for wrong in (("perhaps", 61080.0), ("event", 61000.0)):
        with pytest.raises(SettingsError):
            review_candidate(engine, name, 61041.0, wrong[1], wrong[0], "", "me")
    with pytest.raises(MissingInputError):
        review_candidate(engine, "nobody", 61041.0, 61080.0, "no", "", "me")


def test_a_day_is_due_when_it_is_over_and_its_groups_are_done(engine: Engine, tmp_path: Path) -> None:
    made = survey(engine, tmp_path)
    keys = made.observe(DAYS[0])
    end = span(DAYS[0])[1]
    assert due_now(engine, end - timedelta(seconds=1)) == []
    # The groups are pending: the day waits for them, and not for ever.
    assert due_now(engine, end + timedelta(hours=1)) == []
    late = due_now(engine, end + timedelta(hours=21))
    assert [one.day for one in late] == [DAYS[0]]
    records = StationRecords(engine)
    for key in keys:
        records.begin(key, "run")
        records.complete(key)
    assert due_now(engine, end + timedelta(hours=1)) == late
    make_day(engine, made.store, Settings(), DAYS[0])
    assert due_now(engine, end + timedelta(hours=21)) == []
    made.measure(DAYS[0], keys[0])
    again = due_now(engine, end + timedelta(hours=21))
    assert [one.day for one in again] == [DAYS[0]]
    assert again != late


def call(*arguments: str) -> Any:
    group = {command.name: command for command in commands}
    result = CliRunner().invoke(group[arguments[0]], arguments[1:], catch_exceptions=False)
    return result


def test_the_commands_make_and_show(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of one day there are two or three measurements of a source.
    monkeypatch.setenv("CONTIMG_VARIABILITY__LEAST_EPOCHS", "2")
    get_settings.cache_clear()
    initialise(settings)
    station = Installation(settings)
    made = survey(station.engine, settings.home)
    made.observe(DAYS[0])
    assert json.loads(call("survey", "due", "--json").output) == {"days": [DAYS[0]]}
    done = json.loads(call("survey", "day", "--json").output)["days"]
    assert done[0]["day"] == DAYS[0]
    assert done[0]["refused"] == []
    assert call("survey", "due").output == "no day is due\n"
    found = json.loads(call("sources", "--order", "mean_jy", "--limit", "3", "--json").output)["sources"]
    assert len(found) == 3
    assert found[0]["mean_jy"] >= found[1]["mean_jy"]
    shown = call("sources", "--cone", str(found[0]["ra_deg"]), str(found[0]["dec_deg"]), "0.1")
    assert found[0]["name"] in shown.output
    _sky_that_is_covered(settings.home, found[0])
    assert json.loads(call("survey", "candidates", "--json").output)["candidates"] == []
    assert call("survey", "day", "2026-13-01").exit_code == 2
    # The list of watched sources is a file of the user's.
    assert call("watch", "add", "star", "12.5", "-3.25").exit_code == 2
    monkeypatch.setenv("CONTIMG_PHOTOMETRY__WATCHED", str(settings.home / "watched.csv"))
    get_settings.cache_clear()
    assert call("watch", "add", "star", "12.5", "-3.25").exit_code == 0
    assert call("watch", "add", "star", "12.5", "-3.25").exit_code == 2
    listed = json.loads(call("watch", "list", "--json").output)["watched"]
    assert listed == [{"name": "star", "ra_deg": 12.5, "dec_deg": -3.25}]
    assert call("watch", "remove", "star").exit_code == 0
    assert call("watch", "remove", "star").exit_code == 3
    assert made.records.product(made.days[DAYS[0]].groups[0], "photometry").kind == GROUP


def _sky_that_is_covered(folder: Path, brightest: dict[str, Any]) -> None:
    """As a coverage map, by which sources are found again; and how much of a map of probability."""
    moc, chances = folder / "covered.fits", folder / "chances.fits"
    told = json.loads(call("survey", "coverage", str(moc), "--json").output)
    # Some eight degrees of right ascension, four and a half of declination.
    assert 30 < told["area_deg2"] < 80
    inner = json.loads(call("survey", "coverage", "--beam", "0.5", "--json").output)
    assert inner["area_deg2"] < 0.8 * told["area_deg2"]
    assert json.loads(call("survey", "coverage", "--since", "2027", "--json").output)["area_deg2"] == 0
    known = json.loads(call("sources", "--json").output)["sources"]
    inside = json.loads(call("sources", "--region", str(moc), "--json").output)["sources"]
    assert 0.98 * len(known) <= len(inside) <= len(known)
    probability = np.zeros(12 * 4**6)
    probability[nested(brightest["ra_deg"], brightest["dec_deg"], 6)] = 0.75
    probability[nested(brightest["ra_deg"] + 180, -60.0, 6)] = 0.25
    Table({"PROB": probability}, meta={"ORDERING": "NESTED"}).write(chances)
    assert "75.0 % of the map" in call("survey", "coverage", "--map", str(chances)).output
    near = json.loads(call("sources", "--region", str(chances), "--level", "0.7", "--json").output)["sources"]
    assert brightest["name"] in [one["name"] for one in near]
    assert len(near) < 0.2 * len(known)
    with pytest.raises(SettingsError, match="more than one of cone, box and region"):
        SourceQuery(cone=(1.0, 2.0, 3.0), region=read_region(moc)).check()
