"""Jobs that people ask for: checked first, started with what was asked, told apart, ended."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from contimg_assets.station.leases import command_holder, new_command
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.rates import WriteRate
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET
from contimg_assets_tests.web.conftest import Served
from contimg_assets_tests.web.site import JSON, Answer


@pytest.fixture(autouse=True)
def idle(served: Served) -> Iterator[None]:
    """No job of an earlier test waits: nobody runs them, as there is no daemon."""
    yield
    for record in served.instance.get_run_records():
        if not record.dagster_run.is_finished:
            served.instance.delete_run(record.dagster_run.run_id)


def post(served: Served, path: str, body: dict[str, Any]) -> Answer:
    return served.site.ask("POST", path, JSON, json.dumps(body))


@pytest.mark.parametrize(
    ("kind", "body", "job", "config", "assets"),
    [
        ("convert", {"group": TARGET}, "convert_group", {}, None),
        (
            "calibrate",
            {"group": CALIBRATOR, "params": {"refant": "31", "fast": True}},
            "solve_calibrator",
            {"calibration_tables": {"reference_antenna": "31", "fast": True}},
            None,
        ),
        (
            "apply",
            {"group": TARGET},
            "image_group",
            {"calibrated_ms": {"keep": True}},
            {"calibrated_ms"},
        ),
        (
            "image",
            {"ms_path": "/a/20260115T030000.ms", "params": {"quick": True, "options": {"robust": 0.5}}},
            "image_group",
            {"image": {"options": {"robust": 0.5, "mode": "quick"}}},
            {"image", "image_qa"},
        ),
        (
            "workflow",
            {"group": TARGET, "params": {"quick": True}},
            "process_group",
            {"image": {"options": {"mode": "quick"}}},
            None,
        ),
    ],
)
def test_a_run_is_started_as_it_was_asked_for(
    served: Served, kind: str, body: dict[str, Any], job: str, config: dict[str, Any], assets: set[str] | None
) -> None:
    answer = post(served, f"/api/jobs/{kind}", body)
    assert answer.status == 202, answer.body
    told = answer.json()
    run = served.orchestrator.run(told["id"]).dagster_run
    config_of: Any = run.run_config
    ops = config_of.get("ops", {})
    assert (run.job_name, {name: op["config"] for name, op in ops.items()}) == (job, config)
    assert run.asset_selection is None or {key.path[-1] for key in run.asset_selection} == (assets or set())
    assert (run.asset_selection is None) == (assets is None)
    assert run.tags["contimg/user"] == "local"
    assert run.tags["contimg/request"] == answer.headers["X-Request-Id"]
    assert (told["type"], told["user"]) == (kind, "local")
    assert told["state"] == "completed"
    assert told["verdict"] != ""
    detail = served.site.get(f"/api/jobs/id/{told['id']}").json()
    assert detail["params"] == config
    again = post(served, f"/api/jobs/{kind}", body)
    assert (again.status, again.json()["job"]) == (409, told["id"])


def test_a_set_that_is_named_is_applied_and_one_that_does_not_fit_is_told(served: Served) -> None:
    body = {"group": TARGET, "params": {"calibration_set": served.set_id}}
    told = post(served, "/api/jobs/apply", body).json()
    config: Any = served.orchestrator.run(told["id"]).dagster_run.run_config
    assert config["ops"]["calibrated_ms"]["config"] == {"calibration_set": served.set_id, "keep": True}
    assert any("older than its data" in warning for warning in told["warnings"])
    body["params"]["calibration_set"] = "20260115T050000-00000000"
    assert post(served, "/api/jobs/apply", body).status == 404


@pytest.mark.parametrize(
    ("kind", "body", "status", "told"),
    [
        ("image", {}, 422, "either group or ms_path"),
        ("image", {"group": TARGET, "ms_path": "x"}, 422, "either group or ms_path"),
        ("image", {"group": "2026-01-15T04:00:00"}, 404, "not registered"),
        ("image", {"group": TARGET, "params": {"refant": "1"}}, 422, "refant"),
        ("image", {"group": TARGET, "params": {"options": {"robusto": 1}}}, 422, "robusto"),
        ("image", {"group": TARGET, "params": {"options": {"robust": 9}}}, 422, "robust"),
        ("image", {"group": TARGET, "params": {"quick": True, "options": {"mode": "full"}}}, 422, "mode"),
        ("calibrate", {"group": TARGET}, 409, "no calibrator in the beam"),
        ("calibrate", {"group": CALIBRATOR, "params": {"refant": "1"}}, 422, "5, 13, 31, 102"),
        ("calibrate", {"group": CALIBRATOR, "params": {"calibrator": "Vulcan"}}, 409, "no calibrator named"),
        ("workflow", {"group": TARGET, "params": {"calibration_set": "x"}}, 404, "no set x"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    served: Served, kind: str, body: dict[str, Any], status: int, told: str
) -> None:
    before = served.instance.get_runs_count()
    answer = post(served, f"/api/jobs/{kind}", body)
    assert answer.status == status
    assert told in answer.json()["detail"]
    assert served.instance.get_runs_count() == before


def test_a_group_that_somebody_holds_is_refused_with_who(served: Served) -> None:
    leases, owner = served.installation.leases, new_command()
    assert leases.take(TARGET, owner, command_holder("contimg reprocess"))
    try:
        answer = post(served, "/api/jobs/image", {"group": TARGET})
        assert answer.status == 409
        assert "contimg reprocess" in answer.json()["detail"]
    finally:
        leases.release(owner)


def test_a_dead_reference_antenna_is_told(served: Served) -> None:
    body = {"group": CALIBRATOR, "params": {"refant": "5"}}
    assert "dead" in post(served, "/api/jobs/calibrate", body).json()["warnings"][0]


def test_a_job_that_waits_is_cancelled_once(served: Served) -> None:
    run = post(served, "/api/jobs/convert", {"group": TARGET}).json()["id"]
    answer = served.site.ask("POST", f"/api/jobs/id/{run}/cancel", JSON, "{}")
    assert (answer.status, answer.json()["status"]) == (202, "cancelled")
    assert served.site.ask("POST", f"/api/jobs/id/{run}/cancel", JSON, "{}").status == 409


def test_jobs_are_listed_by_what_they_are(served: Served) -> None:
    run = post(served, "/api/jobs/apply", {"group": TARGET}).json()["id"]
    listed = served.site.get("/api/jobs?status=queued").json()
    assert [item["id"] for item in listed["items"]] == [run]
    assert served.site.get("/api/jobs?type=apply&user=local").json()["total"] == 1
    assert served.site.get("/api/jobs?status=done").json()["total"] == 5
    assert served.site.get(f"/api/groups/{TARGET}/jobs").json()["items"][0]["id"] == run
    first = served.site.get("/api/jobs?limit=2").json()
    second = served.site.get(f"/api/jobs?limit=2&cursor={first['cursor']}").json()
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}


def test_a_set_that_is_retired_is_told_of_in_what_it_touched(served: Served) -> None:
    set_id = served.set_id
    touched = served.site.get(f"/api/calibration/sets/{set_id}/groups").json()
    assert {item["group"] for item in touched["items"]} == {TARGET, CALIBRATOR}
    held = served.site.get(f"/api/groups/{TARGET}/calibration").json()
    assert [(item["calibration_set"], item["choice"], item["fits"]) for item in held["items"]] == [
        (set_id, 1, True)
    ]
    missing = served.site.ask("POST", f"/api/calibration/sets/{set_id}x/retire", JSON, '{"reason": "a"}')
    assert missing.status == 404


def test_too_many_writes_wait() -> None:
    rate = WriteRate(3)
    for _ in range(3):
        rate.count("ada")
    rate.count("bob")
    with pytest.raises(ProblemError) as told:
        rate.count("ada")
    assert told.value.status == 429
    assert told.value.headers is not None
    assert 1 <= int(told.value.headers["Retry-After"]) <= 60


def test_pages_tell_how_long_finished_jobs_took(served: Served) -> None:
    """The list, its parts, and a group's own: with runs that have begun and ended."""
    for path in ("/jobs", "/jobs?status=done", f"/groups/{TARGET}?tab=jobs"):
        answer = served.site.get(path, {"Accept": "text/html"})
        assert answer.status == 200, answer.body
        assert re.search(rb"Z</td><td>[\d.]+ (s|min)</td>", answer.body), path
