"""Pages of the list of groups: every group once in the order asked for, totals of all, what filters mean."""

import random
from datetime import timedelta

from sqlalchemy import Engine

from contimg_assets.radio.group_key import KEY_FORMAT, key_time
from contimg_assets.station.database import transaction
from contimg_assets.station.group_listing import (
    SORTS,
    GroupFilter,
    list_groups,
    matching_keys,
    neighbours,
    sort_value,
)
from contimg_assets.station.models import GroupSummary, ObservationGroup, now

FIRST = "2026-01-15T00:00:00"
STATES = ("completed", "failed", "pending")
VERDICTS = ("PASS", "WARN", "ERROR", "")


def enter(engine: Engine, number: int) -> list[str]:
    """Enter groups whose numbers repeat and are missing at times; their keys."""
    chance = random.Random(4)
    keys = [(key_time(FIRST) + timedelta(minutes=5 * n)).strftime(KEY_FORMAT) for n in range(number)]
    with transaction(engine) as session:
        for n, key in enumerate(keys):
            calibrator = "3C286" if n % 7 == 0 else None
            same = {
                "state": STATES[n % 3],
                "reason": "",
                "n_subbands": 16,
                "declination_deg": 16.0 + n % 3,
                "mid_mjd": 61000.0 + n / 288,
                "calibrator_name": calibrator,
                "calibrator_apparent_jy": 2.0 + n % 2 if calibrator else None,
            }
            session.add(ObservationGroup(key=key, missing_subbands=[], files={}, antennas=[], **same))
            session.flush()
            session.add(
                GroupSummary(
                    key=key,
                    **same,
                    verdict=VERDICTS[n % 4],
                    n_warn=0,
                    n_error=0,
                    worst_check="image_qa.rms_ratio" if n % 4 == 2 else "",
                    calibration_quality="unknown",
                    image_quality="good" if n % 2 else "unknown",
                    n_products=0,
                    rms_mjy_beam=None if n % 5 == 0 else chance.choice([0.1, 0.2, 1 / 3]),
                    updated=now(),
                )
            )
    return keys


def test_pages_by_cursor_hold_every_group_once_in_order(engine: Engine) -> None:
    keys = enter(engine, 50)
    for sort in (f"{sign}{name}" for name in SORTS for sign in ("", "-")):
        check_pages(engine, keys, sort)


def check_pages(engine: Engine, keys: list[str], sort: str) -> None:
    found: list[GroupSummary] = []
    after = None
    while page := list_groups(engine, GroupFilter(), sort=sort, limit=7, after=after).rows:
        found += page
        after = (sort_value(page[-1], sort), page[-1].key)
    assert sorted(row.key for row in found) == keys
    whole = list_groups(engine, GroupFilter(), sort=sort, limit=50).rows
    assert [row.key for row in found] == [row.key for row in whole]
    values = [sort_value(row, sort) for row in found]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=sort.startswith("-"))
    assert values[: len(known)] == known


FILTERS = (
    (GroupFilter(), 60),
    (GroupFilter(states=("failed",)), 20),
    (GroupFilter(verdicts=("ERROR", "")), 30),
    (GroupFilter(since="2026-01-15T04"), 12),
    (GroupFilter(until="2026-01-15T00"), 12),
    (GroupFilter(until="2026-01-15T00:00:00"), 1),
    (GroupFilter(declination_deg=(16.5, 18.5)), 40),
    (GroupFilter(has_calibrator=True), 9),
    (GroupFilter(apparent_jy=(3.0, float("inf"))), 4),
    (GroupFilter(apparent_jy=(float("-inf"), 3.0)), 5),
    (GroupFilter(is_imaged=True), 0),
    (GroupFilter(image_qualities=("good",), states=("failed",)), 10),
    (GroupFilter(search="3c286"), 9),
    (GroupFilter(search="RMS_RATIO"), 15),
    (GroupFilter(search="%"), 0),
    (GroupFilter(search="_"), 15),
    (GroupFilter(keys=(FIRST,)), 1),
)


def test_filters_and_counts(engine: Engine) -> None:
    enter(engine, 60)
    for wanted, number in FILTERS:
        page = list_groups(engine, wanted, limit=5)
        assert (page.total, page.filtered) == (60, number), wanted
        assert all(sum(values.values()) == number for values in page.facets.values())
        assert len(page.rows) == min(number, 5)
        assert len(matching_keys(engine, wanted)) == number


def test_the_groups_before_and_after(engine: Engine) -> None:
    first, second, third = enter(engine, 3)
    assert neighbours(engine, second) == (first, third)
    assert neighbours(engine, first) == (None, second)
    assert neighbours(engine, third) == (second, None)
