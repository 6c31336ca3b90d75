"""State and verdict of groups: the newest verdict of each check that the limits know, the worst of them."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.limits import load_limits
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.views import Standing, completed_by_verdict, errors_of, standing, standings
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, record_verdict, registration


@pytest.fixture
def catalog(engine: Engine, tmp_path: Path) -> ProductCatalog:
    catalog = ProductCatalog(engine)
    for key in (TARGET, CALIBRATOR):
        catalog.register(registration(key, tmp_path), ready=True)
    return catalog


def say(catalog: ProductCatalog, check: str, status: str, **changes: Any) -> None:
    """Keep a verdict on the target's ``image_qa``, or another product."""
    values = {"product": "image_qa", "value": 5.0, "soft": 1.5, "hard": 2.0, "limits_version": "9"} | changes
    record_verdict(catalog, TARGET, values.pop("product"), check, status=status, **values)


def test_a_group_that_nobody_has_judged_has_no_verdict(catalog: ProductCatalog) -> None:
    assert standings(catalog) == {key: Standing("pending", "") for key in (TARGET, CALIBRATOR)}
    assert standing(catalog, TARGET).text == "pending"
    assert errors_of(catalog, TARGET) == []


def test_the_worst_of_the_newest_verdicts_over_all_products_counts(catalog: ProductCatalog) -> None:
    say(catalog, "rms_ratio", "PASS")
    assert standing(catalog, TARGET) == Standing("pending", "PASS")
    say(catalog, "zero_fraction", "WARN", product="measurement_set_qa")
    assert standing(catalog, TARGET) == Standing("pending", "WARN", 1, 0, "measurement_set_qa.zero_fraction")
    say(catalog, "rms_ratio", "ERROR")
    say(catalog, "dynamic_range", "ERROR", value=None)
    assert standing(catalog, TARGET) == Standing("pending", "ERROR", 1, 2, "image_qa.dynamic_range")
    assert standing(catalog, TARGET).text == "pending, verdict ERROR"
    assert [error["text"] for error in errors_of(catalog, TARGET)] == [
        "dynamic_range is missing or not finite",
        "rms_ratio is 5, hard limit 2",
    ]
    say(catalog, "rms_ratio", "PASS")
    say(catalog, "dynamic_range", "PASS")
    assert standing(catalog, TARGET) == Standing("pending", "WARN", 1, 0, "measurement_set_qa.zero_fraction")
    assert standing(catalog, CALIBRATOR) == Standing("pending", "")
    assert standings(catalog, [CALIBRATOR]).keys() == {CALIBRATOR}


def test_a_check_that_the_limits_know_no_more_says_nothing(catalog: ProductCatalog) -> None:
    assert "number_of_a_former_version" not in load_limits().limits["image_qa"]
    say(catalog, "number_of_a_former_version", "ERROR")
    assert standing(catalog, TARGET) == Standing("pending", "")


def test_completed_groups_are_counted_by_verdict(catalog: ProductCatalog) -> None:
    none = {"PASS": 0, "WARN": 0, "ERROR": 0, "not judged": 0}
    assert completed_by_verdict(standings(catalog)) == none
    for key in (TARGET, CALIBRATOR):
        catalog.begin(key, "a run")
        catalog.complete(key)
    say(catalog, "rms_ratio", "ERROR")
    assert completed_by_verdict(standings(catalog)) == none | {"ERROR": 1, "not judged": 1}


def test_an_unknown_group_has_no_standing(catalog: ProductCatalog) -> None:
    assert "2020-01-01T00:00:00" not in standings(catalog, ["2020-01-01T00:00:00"])
    with pytest.raises(MissingInputError):
        standing(catalog, "2020-01-01T00:00:00")
