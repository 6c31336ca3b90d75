"""Changes of declination and gaps are found in whatever order the groups come."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.settings import IngestOptions
from contimg_assets.station.pointing import PointingHistory
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import registration

GROUP_S = 309.24
#: Start (in groups) and declination: a change before the third, and a group that lacks before the last.
GROUPS = ((0, 54.57), (1, 54.57), (2, 16.27), (4, 16.27))
KEYS = [f"2026-01-15T03:0{n}:00" for n in range(len(GROUPS))]


def enter(records: StationRecords, folder: Path, number: int) -> None:
    slot, declination = GROUPS[number]
    middle = 61055.0 + slot * GROUP_S / 86400
    changes = {"mid_mjd": middle, "declination_deg": declination, "duration_s": GROUP_S}
    records.register(registration(KEYS[number], folder, **changes), ready=False)


@pytest.mark.parametrize("order", [*permutations(range(4))][::5])
def test_the_history_does_not_depend_on_the_order_of_arrival(
    engine: Engine, tmp_path: Path, order: tuple[int, ...]
) -> None:
    records = StationRecords(engine)
    for number in [*order, *order]:
        enter(records, tmp_path, number)
    history = PointingHistory(engine, IngestOptions(timeout_s=0))
    assert [(s.first, s.last, s.n_groups, s.event) for s in history.spells()] == [
        (KEYS[0], KEYS[1], 2, ""),
        (KEYS[2], KEYS[2], 1, "declination +54.570° → +16.270°"),
        (KEYS[3], KEYS[3], 1, "no data for 309.2 s before it"),
    ]
    assert [spell.first for spell in history.spells(KEYS[1])] == [KEYS[1], KEYS[2], KEYS[3]]
    assert [key for key, _ in history.untold(10)] == [KEYS[2], KEYS[3]]
    assert history.untold(10) == []


def test_neighbours_that_are_entered_at_once_see_each_other(engine: Engine, tmp_path: Path) -> None:
    records = StationRecords(engine)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: enter(records, tmp_path, number), [3, 2, 1, 0] * 3))
    history = PointingHistory(engine, IngestOptions())
    assert [spell.first for spell in history.spells()] == [KEYS[0], KEYS[2], KEYS[3]]


def test_a_gap_is_told_only_when_the_group_may_not_come_any_more(engine: Engine, tmp_path: Path) -> None:
    enter(StationRecords(engine), tmp_path, 0)
    enter(StationRecords(engine), tmp_path, 3)
    assert PointingHistory(engine, IngestOptions(timeout_s=900)).untold(10) == []
    enter(StationRecords(engine), tmp_path, 2)
    enter(StationRecords(engine), tmp_path, 1)
    told = PointingHistory(engine, IngestOptions(timeout_s=0)).untold(10)
    assert [key for key, _ in told] == [KEYS[2], KEYS[3]]
