"""Antennas that a person marks: kept with reason and times, and counting for the groups within them only."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.station.antenna_marks import AntennaMarks

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
EVENING = datetime(2025, 6, 1, 18, tzinfo=UTC)


def test_a_mark_counts_from_its_first_time_on_until_its_last(tmp_path: Path) -> None:
    marks = AntennaMarks(tmp_path)
    assert marks.during("2025-06-01T12:00:00") == {}
    marks.add("24", "oscillates", NOON, EVENING, "ann")
    marks.add("7", "no power", NOON, None, "ben")
    assert marks.during("2025-06-01T11:59:59") == {}
    assert marks.during("2025-06-01T12:00:00") == {"24": "oscillates", "7": "no power"}
    assert marks.during("2025-06-01T18:00:00") == {"7": "no power"}


def test_a_mark_is_ended_and_stays_with_who_made_it(tmp_path: Path) -> None:
    marks = AntennaMarks(tmp_path)
    made = marks.add("7", "no power", NOON, None, "ben")
    marks.end(made.id, EVENING)
    (kept,) = AntennaMarks(tmp_path).known("7")
    assert (kept.user, kept.reason, kept.since, kept.until) == ("ben", "no power", NOON, EVENING)
    # One that is ended before it begins never counts.
    late = marks.add("8", "storm", EVENING, None, "ben")
    assert marks.end(late.id, NOON).until == EVENING
    assert "8" not in marks.during("2025-06-01T18:00:00")
    with pytest.raises(MissingInputError, match="found no mark"):
        marks.end("0123456789ab", NOON)


@pytest.mark.parametrize(
    ("antenna", "reason", "until", "told"),
    [("118", "x", None, "antenna '118'"), ("7", " ", None, "reason"), ("7", "x", NOON, "a time after")],
)
def test_what_makes_no_sense_is_refused_by_name(
    antenna: str, reason: str, until: datetime | None, told: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=told):
        AntennaMarks(tmp_path).add(antenna, reason, NOON, until, "ann")
    assert AntennaMarks(tmp_path).known() == []


def test_a_file_that_is_none_of_marks_is_no_empty_one(tmp_path: Path) -> None:
    """Flagging without what a person has said would be worse than not flagging."""
    marks = AntennaMarks(tmp_path)
    marks.path.write_text("[{}]")
    with pytest.raises(SettingsError, match="expected a file of marked antennas"):
        marks.during("2025-06-01T12:00:00")
