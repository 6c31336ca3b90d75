"""Batches over the API: a dry run first, what is refused with reasons, how far they are, ending, retrying."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from contimg_assets.station.alarms import Condition, take_conditions
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.campaign_views import campaigns_of
from contimg_assets.station.columns import now
from contimg_assets.station.database import transaction
from contimg_assets.station.night_products import make_report
from contimg_assets.web.api.nights import NightDocument
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET
from contimg_assets_tests.web.conftest import Served
from contimg_assets_tests.web.reference import BATCHES, filled
from contimg_assets_tests.web.site import JSON, Answer


@pytest.fixture(autouse=True)
def none_before(served: Served) -> Iterator[None]:
    """No batch or job of an earlier test holds a group."""
    _clean(served)
    yield
    _clean(served)


def _clean(served: Served) -> None:
    with transaction(served.installation.engine) as session:
        session.execute(delete(CampaignGroup))
        session.execute(delete(Campaign))
    for record in served.instance.get_run_records():
        if not record.dagster_run.is_finished:
            served.instance.delete_run(record.dagster_run.run_id)


def post(served: Served, path: str, body: dict[str, Any] | None = None) -> Answer:
    return served.site.ask("POST", path, JSON, json.dumps(body or {}))


def test_the_references_four_endpoints_answer_with_its_fields(served: Served) -> None:
    *asking, showing = BATCHES
    for endpoint in asking:
        answer = post(served, endpoint.path, filled(endpoint.body, served.names))
        assert answer.status in endpoint.statuses, answer.body
        told = answer.json()
        assert set(endpoint.fields) <= told.keys()
        assert set(told["estimate"]) == {"runs", "hours", "disk_gb", "free_gb"}
        found = served.site.get(showing.path.replace("{batch}", told["id"])).json()
        assert set(showing.fields) <= found.keys()
        assert set(showing.of_items) <= found["items"][0].keys()
        _clean(served)


def test_a_dry_run_writes_nothing_and_what_cannot_be_is_refused_with_its_reason(served: Served) -> None:
    groups = [TARGET, CALIBRATOR, "2020-01-01T00:00:00"]
    dry = post(served, "/api/batch/image", {"groups": groups, "dry_run": True})
    assert dry.status == 200, dry.body
    told = dry.json()
    assert (told["id"], told["dry_run"], told["accepted"]) == (None, True, [CALIBRATOR, TARGET])
    assert "not registered" in told["refused"][0]["reason"]
    assert campaigns_of(served.installation.engine) == []
    nothing = post(served, "/api/batch/image", {"groups": groups[2:]})
    assert nothing.status == 409
    assert nothing.json()["refused"][0]["group"] == groups[2]


def test_a_batch_is_begun_shown_and_ended(served: Served) -> None:
    asked = {"filter": {"q": TARGET}, "params": {"options": {"robust": 0.5}}, "name": "night-1"}
    answer = post(served, "/api/batch/image", asked)
    assert (answer.status, answer.headers["Location"]) == (202, "/api/batch/night-1")
    found = served.site.get("/api/batch/night-1").json()
    assert (found["kind"], found["status"], found["user"]) == ("image", "running", "local")
    assert found["params"] == {"options": {"robust": 0.5}}
    assert [(item["group"], item["status"]) for item in found["items"]] == [(TARGET, "waiting")]
    assert served.site.get("/api/batch").json()["total"] == 1
    assert post(served, "/api/batch/image", {**asked, "filter": {"q": CALIBRATOR}}).status == 409
    again = post(served, "/api/batch/image", {"groups": [TARGET]})
    assert again.json()["refused"][0]["reason"] == "is in campaign night-1"
    ended = post(served, "/api/batch/night-1/cancel")
    assert (ended.status, ended.json()["status"]) == (202, "cancelled")
    assert post(served, "/api/batch/night-1/cancel").status == 409
    assert post(served, "/api/batch/none/cancel").status == 404


def test_those_that_failed_are_tried_again_with_what_was_asked(served: Served) -> None:
    post(
        served,
        "/api/batch/image",
        {"groups": [TARGET, CALIBRATOR], "params": {"quick": True}, "name": "first"},
    )
    assert post(served, "/api/batch/first/retry-failed").status == 409
    campaigns = served.installation.campaigns
    fed = {each.key: each for each in campaigns.feed(2, ())}
    campaigns.refuse(fed[TARGET], "image: ImagingError: diverged")
    campaigns.cancel("first")
    answer = post(served, "/api/batch/first/retry-failed")
    assert answer.status == 202, answer.body
    found = served.site.get(answer.headers["Location"]).json()
    assert [item["group"] for item in found["items"]] == [TARGET]
    assert found["params"] == {"quick": True}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"groups": [TARGET], "ms_paths": ["x"]},
        {"groups": [TARGET], "params": {"nothing": 1}},
        {"groups": [TARGET], "name": "a b"},
        {"filter": {"nothing": 1}},
        {"groups": ["x"] * 2001},
    ],
)
def test_what_cannot_be_meant_is_told_where(served: Served, body: dict[str, Any]) -> None:
    answer = post(served, "/api/batch/image", body)
    assert answer.status == 422
    assert answer.json()["errors"]


def test_reviews_over_the_api_stand_beside_the_checks(served: Served) -> None:
    path = f"/api/groups/{TARGET}/reviews"
    answer = post(served, path, {"verdict": "ERROR", "note": "stripes"})
    assert (answer.status, answer.json()["user"]) == (201, "local")
    told = served.site.get(path).json()
    assert (told["verdict"], told["items"][0]["verdict"]) == ("PASS", "ERROR")
    assert not told["items"][0]["agrees"]
    assert served.site.get("/api/groups?review=differs").json()["filtered"] == 1
    assert post(served, path, {"verdict": "good"}).status == 422


def test_reports_of_nights_over_the_api_say_what_their_pages_say(served: Served) -> None:
    day = TARGET[:10]
    assert served.site.get("/api/nights").json()["items"] == []
    assert served.site.get(f"/api/nights/{day}").status == 404
    assert served.site.get("/api/nights/yesterday").status == 422
    report, version = make_report(served.installation, day)
    (told,) = served.site.get("/api/nights").json()["items"]
    assert (told["date"], told["version"], told["numbers"]["n_groups"]) == (day, version.version, 2)
    document = served.site.get(told["links"]["self"]).json()
    assert (document["numbers"], document["states"]) == (told["numbers"], report.states)
    assert NightDocument.model_validate(document).groups == document["groups"]
    assert served.site.get(told["links"]["page"]).status == 200


def test_alarms_over_the_api_are_acknowledged_once(served: Served) -> None:
    with transaction(served.installation.engine) as session:
        full = Condition("disk", "/data", "/data", "1 % is free", "page")
        ((alarm,), _) = take_conditions(session, [full], [], now())
    (told,) = served.site.get("/api/alarms").json()["items"]
    assert (told["heading"], told["severity"], told["link"]) == ("the disk fills up: /data", "page", None)
    path = f"/api/alarms/{alarm.id}/acknowledge"
    answer = post(served, path, {"note": "a larger one is on its way"})
    assert (answer.status, answer.json()["acknowledged_by"]) == (200, "local")
    assert post(served, path, {}).status == 409
    assert post(served, "/api/alarms/999/acknowledge", {}).status == 404
    with transaction(served.installation.engine) as session:
        take_conditions(session, [], ["disk"], now())
    assert served.site.get("/api/alarms").json()["items"] == []
    assert len(served.site.get("/api/alarms?over=true").json()["items"]) == 1
