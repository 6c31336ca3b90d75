"""Each endpoint of the reference API answers by its path, method and fields."""

import json

import pytest

from contimg_assets_tests.web.conftest import Served
from contimg_assets_tests.web.reference import READING, WRITING, Endpoint, filled
from contimg_assets_tests.web.site import JSON


def ask(served: Served, endpoint: Endpoint):
    path = filled(endpoint.path, served.names)
    body = json.dumps(filled(endpoint.body, served.names)) if endpoint.method == "POST" else None
    return served.site.ask(endpoint.method, path, JSON if body else None, body)


@pytest.mark.parametrize("endpoint", READING, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_what_is_read_answers_with_the_references_fields(served: Served, endpoint: Endpoint) -> None:
    answer = ask(served, endpoint)
    assert answer.status in endpoint.statuses, answer.body
    assert answer.headers["Content-Type"] == endpoint.media_type
    if endpoint.media_type == "application/json":
        told = answer.json()
        assert set(endpoint.fields) <= told.keys()
        for item in told["items"] if endpoint.of_items else []:
            assert set(endpoint.of_items) <= item.keys()


def test_what_is_asked_for_is_accepted_once(served: Served) -> None:
    """A group has one job at a time: the second is told which one there is."""
    seen: dict[str, int] = {}
    for endpoint in WRITING:
        answer = ask(served, endpoint)
        assert answer.status in endpoint.statuses, answer.body
        told = answer.json()
        if answer.status == 202:
            assert set(endpoint.fields) <= told.keys()
            assert answer.headers["Location"] == f"/api/jobs/id/{told['id']}"
        else:
            assert "has job" in told["detail"]
        seen[endpoint.path] = answer.status
    assert [seen["/api/jobs/calibrate"], seen["/api/jobs/apply"]] == [202, 202]
    assert [seen["/api/jobs/image"], seen["/api/jobs/workflow"]] == [409, 409]
    for record in served.instance.get_run_records():
        if not record.dagster_run.is_finished:
            served.instance.delete_run(record.dagster_run.run_id)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("?has_calibrator=true", 1),
        ("?has_calibrator=false&is_imaged=true", 1),
        ("?is_calibrated=false", 0),
        ("?calibrator_quality=good", 1),
        ("?calibrator_quality=backup", 0),
        ("?calibrator_quality=none", 1),
        ("?search=J0834", 1),
        ("?search=0834%25", 0),
        ("?start_date=2026-01-16", 0),
        ("?end_date=2026-01-15", 2),
        ("?start_date=2026-01-15T04:00:00", 1),
        ("?start_date=2026-01-15T04:00:00.5Z", 1),
        ("?limit=1", 2),
        ("?offset=1", 2),
    ],
)
def test_filters_count_all_groups_and_not_the_page(served: Served, query: str, found: int) -> None:
    told = served.site.get(f"/api/ms{query}").json()
    assert (told["total"], told["filtered"]) == (2, found)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("time_desc", "2026-01-15T05:00:00"),
        ("time_asc", "2026-01-15T03:00:00"),
        ("size_asc", "2026-01-15T03:00:00"),
    ],
)
def test_the_references_orders(served: Served, sort: str, first: str) -> None:
    assert served.site.get(f"/api/ms?sort_by={sort}").json()["items"][0]["group"] == first


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/api/ms?scan=true", 422, "contimg register"),
        ("/api/ms?start_date=yesterday", 422, "start_date"),
        ("/api/ms?start_date=1768449600", 422, "start_date"),
        ("/api/groups?bogus=1", 422, "bogus"),
        ("/api/groups?cursor=bogus", 422, "cursor"),
        ("/api/ms?sort_by=path", 422, "sort_by"),
        ("/api/ms?limit=501", 422, "limit"),
        ("/api/ms?offset=50001", 422, "offset"),
        ("/api/ms/nothing.ms/metadata", 404, "names no group"),
        ("/api/ms/20260115T040000.ms/metadata", 404, "not registered"),
        ("/api/ms/20260115T030000_20260115T050000.ms/metadata", 422, "names 2 groups"),
        ("/api/ms/20260115T030000/metadata?flags=abcdef", 404, "found 0 versions"),
        ("/api/qa/calibration/20260115T030000", 404, "has no calibration_tables"),
        ("/api/plots/caltable/B.cal", 404, "names no calibration set"),
        ("/api/plots/caltable/20260115T050000-00000000", 404, "holds no set"),
        ("/api/jobs/id/00000000-0000-0000-0000-000000000000", 404, "no job"),
        ("/api/jobs/id/7", 422, "run_id"),
        ("/api/nothing", 404, "Not Found"),
    ],
)
def test_errors_say_what_was_found_and_expected(served: Served, path: str, status: int, told: str) -> None:
    answer = served.site.get(path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told in answer.json()["detail"]
    assert answer.json()["status"] == status


def test_plots_are_numbers_too(served: Served) -> None:
    for kind in ("amp_vs_freq", "phase_vs_freq", "phase_vs_time", "delay", "snr"):
        path = f"/api/plots/caltable/{served.set_id}?plot_type={kind}&antenna=31"
        told = served.site.get(path, {"Accept": "application/json"}).json()
        assert list(told["series"]) == ["31"]
        assert served.site.get(path).body.startswith(b"\x89PNG")


def test_antennas_are_compared_by_name_and_time_and_band_are_looked_at(served: Served) -> None:
    body = json.dumps({"caltable": served.set_id})
    told = served.site.ask("POST", "/api/ms/20260115T030000/validate-caltable", JSON, body).json()
    assert told["is_compatible"]
    assert {finding["property"] for finding in told["findings"]} == {
        "time",
        "declination",
        "band",
        "antennas",
    }
    assert told["antennas_ms"] == told["antennas_caltable"] == ["5", "13", "31", "102"]
