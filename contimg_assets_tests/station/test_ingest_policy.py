"""When a group is taken and what becomes of late files: every case of the rules."""

from datetime import UTC, datetime, timedelta

import pytest

from contimg_assets.station.ingest_policy import (
    NOTHING_MORE,
    Late,
    Status,
    Step,
    is_near,
    late_outcome,
    late_step,
    next_step,
)

TIMEOUT_S = 900.0


@pytest.mark.parametrize(
    ("status", "waited_s", "near", "expected"),
    [
        ("complete", 0.0, {}, "take"),
        ("complete", 1e9, {"unread": True}, "wait"),
        ("complete", 0.0, {"growing": True}, "wait"),
        ("complete", TIMEOUT_S, {"growing": True}, "take"),
        ("partial", TIMEOUT_S - 1, {}, "collect"),
        ("partial", TIMEOUT_S, {}, "take"),
        ("partial", NOTHING_MORE, {}, "take"),
        ("partial", 1e9, {"unread": True}, "collect"),
        ("partial", 1e9, {"growing": True}, "collect"),
        ("bad", TIMEOUT_S - 1, {}, "collect"),
        ("bad", TIMEOUT_S, {}, "give up"),
        ("bad", 1e9, {"growing": True}, "collect"),
    ],
)
def test_a_group_is_taken_whole_at_once_and_in_part_at_the_timeout(
    status: Status, waited_s: float, near: dict[str, bool], expected: Step
) -> None:
    assert next_step(status, waited_s, TIMEOUT_S, **near) == expected


@pytest.mark.parametrize(
    ("state", "rejected", "strangers", "expected"),
    [
        ("collecting", False, True, "join"),
        ("pending", False, False, "join"),
        ("pending", False, True, "again"),
        ("failed", True, False, "again"),
        ("failed", False, True, "settle"),
        ("in_progress", False, True, "settle"),
        ("completed", False, True, "settle"),
    ],
)
def test_late_files_join_a_group_until_it_is_begun(
    state: str, rejected: bool, strangers: bool, expected: Late
) -> None:
    assert late_step(state, rejected=rejected, strangers=strangers) == expected


def test_a_late_file_is_late_a_copy_or_a_rival() -> None:
    assert late_outcome("completed", 15, None, identical=False)[0] == "late"
    assert late_outcome("completed", 16, "a.hdf5", identical=True)[0] == "duplicate"
    outcome, reason = late_outcome("completed", 16, "a.hdf5", identical=False)
    assert (outcome, "a.hdf5" in reason) == ("refused", True)


def test_near_is_within_the_span_of_a_groups_stamps_on_either_side() -> None:
    first = datetime(2026, 1, 15, 3, tzinfo=UTC)
    last = first + timedelta(seconds=20)
    inside = [timedelta(seconds=s) for s in (-60, 0, 10, 20, 80)]
    assert all(is_near(first + step, first, last, 60.0) for step in inside)
    assert not any(is_near(first + timedelta(seconds=s), first, last, 60.0) for s in (-61, 81))
