"""One judge: each number against its limit exactly, missing ones too; and limits that make no sense."""

from typing import Any

import numpy as np
import pytest

from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.limits import Limit, Limits, judge, load_limits, parse_limits, quality, worst

ABOVE = Limit(1.5, 3.0, "above", "a test")
BELOW = Limit(20.0, 5.0, "below", "a test")
LIMITS = Limits(
    "9",
    {
        "some_qa": {
            "noise": ABOVE,
            "range": BELOW,
            "survey": Limit(0.1, 0.3, "above", "a test", optional=True),
        }
    },
)
GOOD = {"noise": 1.0, "range": 30.0, "survey": 0.0}


@pytest.mark.parametrize(
    ("metric", "value", "status"),
    [
        ("noise", 1.5, "PASS"),
        ("noise", 1.5001, "WARN"),
        ("noise", 3.0, "WARN"),
        ("noise", 3.0001, "ERROR"),
        ("noise", -1e9, "PASS"),
        ("range", 20.0, "PASS"),
        ("range", 19.999, "WARN"),
        ("range", 5.0, "WARN"),
        ("range", 4.999, "ERROR"),
        ("range", 1e9, "PASS"),
        ("noise", 2, "WARN"),
        ("noise", np.float32(2.0), "WARN"),
        ("survey", 0.31, "ERROR"),
    ],
)
def test_a_limit_holds_up_to_and_including_its_value(metric: str, value: Any, status: str) -> None:
    judged = {found.metric: found for found in judge("some_qa", GOOD | {metric: value}, LIMITS)}
    assert (judged[metric].status, judged[metric].value) == (status, value)
    assert {found.status for name, found in judged.items() if name != metric} == {"PASS"}
    assert LIMITS.limits["some_qa"][metric].status(float(value)) == status


@pytest.mark.parametrize("value", [None, "high", True, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("metric", list(GOOD))
def test_what_is_no_finite_number_cannot_pass(metric: str, value: object) -> None:
    """On either side, and where the number may be missing: it is not missing."""
    judged = {found.metric: found for found in judge("some_qa", GOOD | {metric: value}, LIMITS)}
    assert (judged[metric].status, judged[metric].value) == ("ERROR", None)
    assert judged[metric].measured
    assert "missing or not finite" in judged[metric].text
    assert LIMITS.limits["some_qa"][metric].status(float("nan")) == "ERROR"


def test_a_number_that_is_not_there_is_an_error_unless_it_may_be_missing() -> None:
    noise, dynamic_range, survey = judge("some_qa", {"noise": 1.0, "unknown": 9e9}, LIMITS)
    assert (noise.status, noise.value, noise.version) == ("PASS", 1.0, "9")
    assert (dynamic_range.status, dynamic_range.value, dynamic_range.measured) == ("ERROR", None, True)
    assert (survey.status, survey.value, survey.measured) == ("PASS", None, False)
    assert "not measured" in survey.text


def test_the_text_has_value_limits_and_reason() -> None:
    (noise, *_) = judge("some_qa", GOOD | {"noise": 2.0}, LIMITS)
    assert noise.text == "noise = 2: WARN above 1.5, ERROR above 3. a test"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], ""),
        (["PASS", "PASS"], "PASS"),
        (["PASS", "WARN"], "WARN"),
        (["ERROR", "WARN", "PASS"], "ERROR"),
    ],
)
def test_error_is_worse_than_warn_and_warn_than_pass(statuses: list[str], expected: str) -> None:
    assert worst(statuses) == expected


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('soft = 1\nhard = 2\ndirection = "above"', "lacks reason"),
        ('soft = 3\nhard = 2\ndirection = "above"\nreason = "x"', "crossed before"),
        ('soft = 1\nhard = 2\ndirection = "below"\nreason = "x"', "crossed before"),
        ('soft = 1\nhard = 2\ndirection = "up"\nreason = "x"', "direction"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(entry: str, why: str) -> None:
    with pytest.raises(CatalogueError, match=f"image_qa.rms_ratio.*{why}"):
        parse_limits(f'version = "9"\n[image_qa.rms_ratio]\n{entry}')


def test_every_limit_of_the_package_has_a_reason() -> None:
    limits = load_limits()
    assert limits.version
    assert all(limit.reason for metrics in limits.limits.values() for limit in metrics.values())


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({}, "unknown"),
        ({"rms_ratio": ("ERROR", 3.0), "flag_fraction": ("PASS", 0.0)}, "poor"),
        ({"rms_ratio": ("WARN", 1.6)}, "marginal"),
        # Half-way from 1 to 1.5; from 0 to 0.35; twice 20; from 1 to 0.9.
        ({"rms_ratio": ("PASS", 1.25), "flag_fraction": ("PASS", 0.175)}, "excellent"),
        ({"rms_ratio": ("PASS", 1.26)}, "good"),
        ({"flag_fraction": ("PASS", 0.18)}, "good"),
        ({"dynamic_range": ("PASS", 40.0)}, "excellent"),
        ({"dynamic_range": ("PASS", 39.0)}, "good"),
        ({"completeness_7sigma": ("PASS", 0.95)}, "excellent"),
        ({"completeness_7sigma": ("PASS", 0.94)}, "good"),
        ({"completeness_7sigma": ("PASS", None)}, "good"),
        ({"of_a_former_version": ("PASS", 9.0)}, "good"),
    ],
)
def test_one_word_for_what_checks_say(found: dict[str, tuple[str, float | None]], word: str) -> None:
    assert quality("image_qa", found) == word
