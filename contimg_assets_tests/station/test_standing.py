"""State and verdict of groups: the newest verdict of each check that the limits know, the worst of them."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.limits import load_limits
from contimg_assets.station.group_listing import completed_by_verdict, completed_with_error
from contimg_assets.station.products import StationRecords
from contimg_assets.station.views import Standing, errors_of, standing, standings
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, record_verdict, registration


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, tmp_path), ready=True)
    return records


def say(records: StationRecords, check: str, status: str, **changes: Any) -> None:
    """Keep a verdict on the target's ``image_qa``, or another product."""
    values = {"product": "image_qa", "value": 5.0, "soft": 1.5, "hard": 2.0, "limits_version": "9"} | changes
    record_verdict(records, TARGET, values.pop("product"), check, status=status, **values)


def test_a_group_that_nobody_has_judged_has_no_verdict(records: StationRecords) -> None:
    assert standings(records) == {key: Standing("pending", "") for key in (TARGET, CALIBRATOR)}
    assert standing(records, TARGET).text == "pending"
    assert errors_of(records, TARGET) == []


def test_the_worst_of_the_newest_verdicts_over_all_products_counts(records: StationRecords) -> None:
    say(records, "rms_ratio", "PASS")
    assert standing(records, TARGET) == Standing("pending", "PASS")
    say(records, "zero_fraction", "WARN", product="measurement_set_qa")
    assert standing(records, TARGET) == Standing("pending", "WARN", 1, 0, "measurement_set_qa.zero_fraction")
    say(records, "rms_ratio", "ERROR")
    say(records, "dynamic_range", "ERROR", value=None)
    assert standing(records, TARGET) == Standing("pending", "ERROR", 1, 2, "image_qa.dynamic_range")
    assert standing(records, TARGET).text == "pending, verdict ERROR"
    assert [error["text"] for error in errors_of(records, TARGET)] == [
        "dynamic_range is missing or not finite",
        "rms_ratio is 5, hard limit 2",
    ]
    say(records, "rms_ratio", "PASS")
    say(records, "dynamic_range", "PASS")
    assert standing(records, TARGET) == Standing("pending", "WARN", 1, 0, "measurement_set_qa.zero_fraction")
    assert standing(records, CALIBRATOR) == Standing("pending", "")
    assert standings(records, [CALIBRATOR]).keys() == {CALIBRATOR}


def test_a_check_that_the_limits_know_no_more_says_nothing(records: StationRecords) -> None:
    assert "number_of_a_former_version" not in load_limits().limits["image_qa"]
    say(records, "number_of_a_former_version", "ERROR")
    assert standing(records, TARGET) == Standing("pending", "")


def test_completed_groups_are_counted_by_verdict(records: StationRecords) -> None:
    none = {"PASS": 0, "WARN": 0, "ERROR": 0, "not judged": 0}
    assert completed_by_verdict(records.engine) == none
    for key in (TARGET, CALIBRATOR):
        records.begin(key, "a run")
        records.complete(key)
    assert completed_with_error(records.engine) == []
    say(records, "rms_ratio", "ERROR")
    assert completed_with_error(records.engine, 5) == [TARGET]
    assert completed_by_verdict(records.engine) == none | {"ERROR": 1, "not judged": 1}


def test_an_unknown_group_has_no_standing(records: StationRecords) -> None:
    assert "2020-01-01T00:00:00" not in standings(records, ["2020-01-01T00:00:00"])
    with pytest.raises(MissingInputError):
        standing(records, "2020-01-01T00:00:00")
