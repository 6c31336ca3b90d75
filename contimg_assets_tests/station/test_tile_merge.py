"""The files of tiles have each measurement that counts once, whatever happens meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from sqlalchemy import Engine

from contimg_assets.radio.light_curves.files import read_rows
from contimg_assets.radio.light_curves.periods import period_files
from contimg_assets.station import tile_merge
from contimg_assets.station.light_curves import light_curve, rows_in
from contimg_assets.station.measured import days_due, unmerged
from contimg_assets.station.retention import carry_out, plan, put_links_right
from contimg_assets.station.survey_versions import TILE, current_versions
from contimg_assets.station.tile_merge import PRODUCT, merge_day
from contimg_assets_tests.station.survey_home import SurveyHome, small_home

DAYS = ["2026-01-30", "2026-01-31", "2026-02-01"]
CENTRE = (32.0, 16.27)


def everything(home: SurveyHome) -> pandas.DataFrame:
    """All rows that count, in one order."""
    rows = rows_in(home.engine, home.store, CENTRE, 6.0)
    columns = ["group", "source", "apparent_jy", "beam", "version"]
    return rows.astype({"source": str, "group": str})[columns].sort_values(
        ["group", "source"], ignore_index=True
    )


def in_files(home: SurveyHome) -> pandas.DataFrame:
    """All rows of the tiles' files, as anybody's reader of Parquet finds them through the links."""
    folders = sorted(home.store.products.glob(f"hp4-*/{PRODUCT}"))
    tables = [read_rows(path).to_pandas() for folder in folders for path in period_files(folder).values()]
    return pandas.concat(tables, ignore_index=True)


@pytest.fixture
def home(engine: Engine, tmp_path: Path) -> SurveyHome:
    return small_home(engine, tmp_path)


def test_merging_changes_where_rows_are_and_not_what_is_read(home: SurveyHome) -> None:
    keys = [key for day in DAYS for key in home.observe(day)]
    before = everything(home)
    assert len(before) > 500
    assert set(before["group"]) == set(keys)
    assert days_due(home.engine) == DAYS
    for day in DAYS:
        done = merge_day(home.engine, home.store, day)
        assert done.tiles
        pandas.testing.assert_frame_equal(everything(home), before)
    assert days_due(home.engine) == []
    assert len(in_files(home)) == len(before)
    # Nothing to do is nothing done.
    assert merge_day(home.engine, home.store, DAYS[0]).tiles == ()
    name = before["source"].value_counts().index[0]
    curve = light_curve(home.engine, home.store, name=name)
    assert len(curve.table) == int((before["source"] == name).sum())
    assert curve.table["mjd"].is_monotonic_increasing


def test_days_become_months_and_months_years_with_the_same_rows(home: SurveyHome) -> None:
    days = ["2025-11-30", "2025-12-20", "2026-01-15", "2026-01-31", "2026-02-28", "2026-03-28"]
    for day in days:
        home.observe(day)
        merge_day(home.engine, home.store, day)
    rows = everything(home)
    assert rows["group"].nunique() == sum(len(made.groups) for made in home.days.values())
    for link in home.store.products.glob(f"hp4-*/{PRODUCT}"):
        assert list(period_files(link)) == ["2025", "2026-01", "2026-02", "2026-03-28"]
    # A day of a year's file is replaced in it, and its neighbours stay.
    key = home.days[days[0]].groups[0]
    home.measure(days[0], key, factor=2.0)
    merge_day(home.engine, home.store, days[0])
    after = everything(home)
    changed = rows["group"] == key
    ratio = after["apparent_jy"] / rows["apparent_jy"]
    assert (ratio[changed] == 2).all()
    assert (ratio[~changed] == 1).all()


def test_a_group_made_again_has_its_rows_once_and_a_condemned_one_none(home: SurveyHome) -> None:
    first, second, *_ = home.observe(DAYS[0])
    merge_day(home.engine, home.store, DAYS[0])
    before = everything(home)
    version = home.measure(DAYS[0], first, factor=3.0)
    home.condemn(second)
    wanted = before[before["group"] != second].reset_index(drop=True)
    scaled = wanted["apparent_jy"].where(wanted["group"] != first, wanted["apparent_jy"] * 3)
    for _ in ("not merged yet", "merged"):
        now = everything(home)
        assert now["group"].tolist() == wanted["group"].tolist()
        assert now["apparent_jy"].tolist() == pytest.approx(scaled.tolist(), rel=1e-6)
        assert set(now.loc[now["group"] == first, "version"]) == {version}
        merge_day(home.engine, home.store, DAYS[0])
    assert second not in set(in_files(home)["group"])
    # An image that is made again, and not measured yet, takes its measurements out.
    home.image(first)
    assert [(one.group, one.version) for one in unmerged(home.engine, home.store)] == [(first, None)]
    assert first not in set(everything(home)["group"])


def test_a_tile_that_somebody_else_merges_at_the_same_time_is_left_to_him(
    home: SurveyHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contimg_assets.radio.errors import StateError

    home.observe(DAYS[0])
    merge_day(home.engine, home.store, DAYS[0])
    home.observe(DAYS[1])
    build = tile_merge.build
    turns = []

    def slow(*arguments: object, **options: object) -> list[str]:
        if not turns:
            turns.append(True)
            merge_day(home.engine, home.store, DAYS[1])
        return build(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tile_merge, "build", slow)
    with pytest.raises(StateError, match="published it meanwhile"):
        merge_day(home.engine, home.store, DAYS[1])
    assert days_due(home.engine) == []
    assert len(in_files(home)) == len(everything(home))


def test_superseded_folders_go_and_leave_the_files_that_both_have(home: SurveyHome) -> None:
    for day in DAYS:
        home.observe(day)
        merge_day(home.engine, home.store, day)
    before = everything(home)
    removals = [one for one in plan(home.engine, home.store, 0.0) if PRODUCT in one.path.name]
    assert len(removals) == len(list(home.store.products.glob("hp4-*"))) * (len(DAYS) - 1)
    carry_out(home.engine, home.store, removals)
    pandas.testing.assert_frame_equal(everything(home), before)


PROGRAM = """
import sys
from pathlib import Path
from contimg_assets.station import database
from contimg_assets.station.store import Store
from contimg_assets.station.tile_merge import merge_day
print("begin", flush=True)
merge_day(database.create(sys.argv[1]), Store(Path(sys.argv[2])), sys.argv[3])
"""


def killed_merges(home: SurveyHome, url: str, n: int) -> None:
    """Kill a merge of the second day at n moments, spread over its length; then let it come through."""
    for day in DAYS[:2]:
        home.observe(day)
    merge_day(home.engine, home.store, DAYS[0])
    wanted = everything(home)
    old = len(in_files(home))
    took = None
    for turn in range(n + 1):
        command = [sys.executable, "-c", PROGRAM, url, str(home.home), DAYS[1]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begin\n"
            began = time.monotonic()
            if took is None:
                assert process.wait() == 0
                took = time.monotonic() - began
            else:
                time.sleep(took * turn / n)
                process.send_signal(signal.SIGKILL)
        pandas.testing.assert_frame_equal(
            everything(home).drop(columns="version"), wanted.drop(columns="version")
        )
        put_links_right(home.records, home.store)
        found = current_versions(
            home.engine, TILE, PRODUCT, [p.name for p in home.store.products.glob("hp4-*")]
        )
        rows = in_files(home)
        merged = not days_due(home.engine)
        assert len(rows) == (len(wanted) if merged else old), (turn, merged)
        assert not rows.duplicated(["group", "source"]).any()
        assert all(
            home.store.path(key, PRODUCT).resolve() == home.store.absolute(row.path)
            for key, row in found.items()
        )
        # The day is due again: its groups are measured again, with the same values.
        if merged:
            for key in home.days[DAYS[1]].groups:
                home.measure(DAYS[1], key)
        old = len(in_files(home))
    merge_day(home.engine, home.store, DAYS[1])
    assert len(in_files(home)) == len(wanted)


def test_a_kill_during_a_merge_leaves_the_old_files_or_the_new(home: SurveyHome, empty_url: str) -> None:
    killed_merges(home, empty_url, 2)


@pytest.mark.long
def test_kills_at_many_moments_of_a_merge(home: SurveyHome, empty_url: str) -> None:
    killed_merges(home, empty_url, 60)
