"""What operators do on the pages, done by programs: marks of antennas, sensors, pools, whole batches."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from contimg_assets.station.antenna_marks import AntennaMarks
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.database import transaction
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET
from contimg_assets_tests.web.conftest import Served
from contimg_assets_tests.web.site import JSON, Answer

ELSEWHERE = {**JSON, "Origin": "http://evil.example"}


def post(served: Served, path: str, body: dict[str, Any] | None = None) -> Answer:
    return served.site.ask("POST", path, JSON, json.dumps(body or {}))


@pytest.fixture
def no_batches(served: Served) -> Iterator[None]:
    yield
    with transaction(served.installation.engine) as session:
        session.execute(delete(CampaignGroup))
        session.execute(delete(Campaign))


def test_an_antenna_is_marked_and_the_mark_ended(served: Served) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    told = post(served, "/api/antennas/103/marks", {"reason": "moved", "since": since.isoformat()})
    assert told.status == 201, told.body
    made = told.json()
    assert (made["antenna"], made["reason"], made["until"], made["user"]) == ("103", "moved", None, "local")
    marks = AntennaMarks(served.installation.settings.home)
    assert marks.during(TARGET) == {"103": "moved"}
    assert [each["id"] for each in served.site.get("/api/antennas/marks?antenna=103").json()["items"]] == [
        made["id"]
    ]
    assert served.site.get("/api/antennas/marks?antenna=102").json() == {"items": []}
    ended = post(served, f"/api/antennas/marks/{made['id']}/end").json()
    assert datetime.now(UTC) - datetime.fromisoformat(ended["until"]) < timedelta(minutes=10)
    (action, *_), _ = OperatorActions(served.installation.engine).recent(1)
    assert (action.target, action.user) == (f"/api/antennas/marks/{made['id']}/end", "local")


def test_a_sensor_and_a_pool_are_changed(served: Served) -> None:
    known = {each["name"]: each["running"] for each in served.site.get("/api/sensors").json()["items"]}
    assert known["images_due"]
    assert post(served, "/api/sensors/images_due", {"running": False}).json()["running"] is False
    assert post(served, "/api/sensors/images_due", {"running": True}).json()["running"] is True
    before = {each["name"]: each["limit"] for each in served.site.get("/api/pools").json()["items"]}
    assert set(before) == {"conversion", "calibration", "imaging"}
    assert post(served, "/api/pools/imaging", {"limit": 3}).json() == {"name": "imaging", "limit": 3}
    assert served.orchestrator.pools()["imaging"] == 3
    assert post(served, "/api/pools/imaging", {"limit": before["imaging"]}).status == 200


@pytest.mark.usefixtures("no_batches")
def test_groups_are_made_again_as_a_whole_and_the_batch_is_held(served: Served) -> None:
    body = {"calibration_set": served.set_id, "dry_run": True}
    dry = post(served, "/api/batch/remake", body)
    assert dry.status == 200, dry.body
    told = dry.json()
    assert (told["id"], told["n_groups"], sum(told["taken"].values())) == (None, 2, 2)
    assert served.site.get("/api/batch").json()["total"] == 0
    started = post(served, "/api/batch/remake", {"groups": [TARGET, CALIBRATOR], "name": "again"})
    assert (started.status, started.headers["Location"]) == (202, "/api/batch/again")
    states = [
        post(served, f"/api/batch/again/{change}").json()["status"]
        for change in ("pause", "resume", "cancel")
    ]
    assert states == ["paused", "running", "cancelled"]
    assert post(served, "/api/batch/again/pause").status == 409


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/api/antennas/999/marks", {"reason": "moved"}, 422, "expected a name from"),
        ("/api/antennas/103/marks", {"reason": " "}, 422, "reason"),
        ("/api/antennas/103/marks", {"reason": "x", "since": "2026-01-01T00:00:00"}, 422, "timezone"),
        ("/api/antennas/103/marks", {"reason": "x", "since": "1900-01-01T00:00:00Z"}, 422, "since"),
        ("/api/antennas/marks/0123456789ab/end", {}, 404, "found no mark"),
        ("/api/sensors/none", {"running": True}, 404, "found no sensor 'none'"),
        ("/api/sensors/images_due", {"running": "maybe"}, 422, "running"),
        ("/api/pools/none", {"limit": 1}, 404, "found no pool 'none'"),
        ("/api/pools/imaging", {"limit": 0}, 422, "limit"),
        ("/api/batch/remake", {}, 422, "one of groups and calibration_set"),
        ("/api/batch/remake", {"calibration_set": "none"}, 422, "none"),
        ("/api/batch/none/pause", {}, 404, "no batch none"),
    ],
)
def test_what_makes_no_sense_is_refused(
    served: Served, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    answer = post(served, path, body)
    assert (answer.status, told in answer.json()["detail"]) == (status, True), answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/api/antennas/103/marks",
        "/api/sensors/images_due",
        "/api/pools/imaging",
        "/api/batch/remake",
        "/api/batch/again/pause",
    ],
)
def test_pages_of_other_origins_change_nothing(served: Served, path: str) -> None:
    assert served.site.ask("POST", path, ELSEWHERE, "{}").status == 403


def test_every_route_is_in_the_documentation(served: Served) -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    schema = served.site.get("/api/openapi.json").json()
    known = {f"{method.upper()} {path}" for path, methods in schema["paths"].items() for method in methods}
    assert {route for route in known if f"| `{route}` |" not in text} == set()
