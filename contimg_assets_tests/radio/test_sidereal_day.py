"""Every moment is in one sidereal day, whose key is found again from it."""

from datetime import UTC, datetime, timedelta

import pytest

from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.radio.phasing import sidereal_angle
from contimg_assets.radio.sidereal_day import day_of, day_of_group, group_keys, sidereal_time_deg, span

JD_OF_UNIX = 2440587.5


def test_a_day_begins_when_sidereal_time_is_zero() -> None:
    begin, end = span("2026-06-01")
    for at in (begin, end):
        angle = sidereal_angle(at.timestamp() / 86400 + JD_OF_UNIX)
        # UT1 − UTC, nutation: under two seconds of time.
        assert abs((angle + 3.14159) % 6.28319 - 3.14159) < 2 * 7.3e-5
    assert end - begin == pytest.approx(timedelta(seconds=86164.09), abs=timedelta(seconds=0.01))
    later = begin + timedelta(seconds=86164.0905 / 4)
    assert sidereal_time_deg(later.timestamp() / 86400 + 40587) == pytest.approx(90, abs=1e-3)


def test_days_follow_one_another_and_each_has_a_key_of_its_own() -> None:
    """For ten years: also on the one date of a year on which two begin."""
    begin, end = span("2026-01-01")
    keys = ["2026-01-01"]
    while end.year < 2036:
        key = day_of(end + timedelta(seconds=1))
        assert span(key)[0] == end
        keys.append(key)
        end = span(key)[1]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    assert sum(key.endswith("b") for key in keys) in (9, 10, 11)
    assert (end - begin).days == pytest.approx(3652, abs=2)


@pytest.mark.parametrize("wrong", ["2026-13-01", "2026-01-18c", "today", "2026-01-02b", ""])
def test_what_is_no_day_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        span(wrong)


def test_keys_of_groups_are_in_the_day_in_which_they_begin() -> None:
    first, last = group_keys("2026-03-05")
    begin, end = span("2026-03-05")
    at = datetime.strptime(first, KEY_FORMAT).replace(tzinfo=UTC)
    assert begin <= at <= begin + timedelta(seconds=1)
    assert day_of_group(first) == "2026-03-05"
    assert day_of_group(last) == "2026-03-06"
    assert end <= datetime.strptime(last, KEY_FORMAT).replace(tzinfo=UTC)
