"""Checks turn judgements into results of Dagster's, and leave the verdicts in the station database."""

from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckSeverity, AssetKey, AssetSelection, DagsterInstance, define_asset_job

from contimg_assets.checks.bands import judge_product
from contimg_assets.definitions import build_defs
from contimg_assets.jobs import jobs
from contimg_assets.partitions import add_keys
from contimg_assets.radio.limits import Limit, Limits, load_limits
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import GOOD, TARGET, registration


@pytest.fixture
def records(home: Path) -> StationRecords:
    records = DatabaseResource().records()
    records.register(registration(TARGET, home), ready=True)
    return records


def check_run(records: StationRecords, home: Path, **numbers: Any):
    """Judge numbers of an image through Dagster, without making anything."""
    metrics = {name: value for name, value in (GOOD["qa image"] | numbers).items() if value is not None}
    records.record_product(TARGET, "image_qa", home, metrics)
    defs = build_defs()
    job = define_asset_job("judge_images", AssetSelection.checks_for_assets(AssetKey("image_qa")))
    definitions = type(defs).merge(defs, type(defs)(jobs=[job]))
    with DagsterInstance.ephemeral() as instance:
        add_keys(instance, TARGET, calibrator=False)
        result = definitions.resolve_job_def("judge_images").execute_in_process(
            instance=instance,
            # Not partition_key: here Dagster takes it for jobs with an asset only.
            tags={"dagster/partition": TARGET},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return result, {found.check_name: found for found in result.get_asset_check_evaluations()}


def test_good_numbers_pass_and_carry_their_limits(records: StationRecords, home: Path) -> None:
    result, found = check_run(records, home)
    assert result.success
    assert all(evaluation.passed for evaluation in found.values())
    metadata = found["rms_ratio"].metadata
    limit = load_limits().limits["image_qa"]["rms_ratio"]
    assert (metadata["value"].value, metadata["status"].value) == (1.1, "PASS")
    assert (metadata["soft_limit"].value, metadata["hard_limit"].value) == (limit.soft, limit.hard)
    assert metadata["limits_version"].value == load_limits().version
    assert found["rms_ratio"].partition == TARGET


def test_past_the_soft_limit_it_warns_and_the_run_goes_on(records: StationRecords, home: Path) -> None:
    limit = load_limits().limits["image_qa"]["rms_ratio"]
    result, found = check_run(records, home, rms_ratio=(limit.soft + limit.hard) / 2)
    assert result.success
    assert not found["rms_ratio"].passed
    assert found["rms_ratio"].severity == AssetCheckSeverity.WARN
    assert records.verdicts(TARGET, "image_qa")["rms_ratio"].status == "WARN"


def test_past_the_hard_limit_it_is_an_error_that_blocks(records: StationRecords, home: Path) -> None:
    limit = load_limits().limits["image_qa"]["rms_ratio"]
    result, found = check_run(records, home, rms_ratio=limit.hard * 1.01)
    assert not result.success
    assert found["rms_ratio"].severity == AssetCheckSeverity.ERROR
    assert len(found) == len(load_limits().limits["image_qa"])
    assert records.verdicts(TARGET, "image_qa")["rms_ratio"].status == "ERROR"


@pytest.mark.parametrize("value", [None, "high", True, float("nan")])
def test_a_number_that_is_missing_or_is_none_cannot_pass(
    records: StationRecords, home: Path, value: object
) -> None:
    records.record_product(TARGET, "image_qa", home, {**GOOD["qa image"], "rms_ratio": value})
    judged = {item.metric: item for item in judge_product(records, "image_qa", TARGET)}
    assert (judged["rms_ratio"].status, judged["rms_ratio"].value) == ("ERROR", None)
    assert "missing" in judged["rms_ratio"].text
    assert records.verdicts(TARGET, "image_qa")["rms_ratio"].status == "ERROR"


def test_limits_can_change_and_be_judged_again_without_the_product(
    records: StationRecords, home: Path
) -> None:
    records.record_product(TARGET, "image_qa", home / "not there", GOOD["qa image"])
    strict = Limits("2", {"image_qa": {"rms_ratio": Limit(0.5, 1.0, "above", "a test")}})
    assert [item.status for item in judge_product(records, "image_qa", TARGET, limits=strict)] == ["ERROR"]
    found = records.verdicts(TARGET, "image_qa")["rms_ratio"]
    assert (found.status, found.limits_version) == ("ERROR", "2")
    judge_product(records, "image_qa", TARGET)
    assert records.verdicts(TARGET, "image_qa")["rms_ratio"].status == "PASS"


def test_the_jobs_bring_the_checks_of_their_assets() -> None:
    defs = build_defs()
    names = {job.name: defs.resolve_job_def(job.name).asset_layer.asset_graph for job in jobs}
    assert {
        name: {key.asset_key.to_user_string() for key in graph.asset_check_keys}
        for name, graph in names.items()
    } == {
        "convert_group": {"measurement_set_qa"},
        "solve_calibrator": {"calibration_qa"},
        "process_group": {"measurement_set_qa", "image_qa", "photometry"},
        "image_group": {"image_qa", "photometry"},
    }
