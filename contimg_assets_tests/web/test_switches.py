"""Sensors and pools of a real Dagster instance, switched and changed from the System page."""

from urllib.parse import urlencode

import pytest

from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets_tests.web.conftest import Served

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _send(served: Served, path: str, **fields: str) -> int:
    return served.site.ask("POST", path, FORM, urlencode(fields)).status


def test_a_sensor_is_switched_off_and_on_again(served: Served) -> None:
    assert _send(served, "/system/sensors", sensor="images_due", to="off") == 303
    (action,), _ = OperatorActions(served.installation.engine).recent(1)
    assert (action.target, "images_due" in action.content) == ("/system/sensors", True)
    page = served.site.get("/system").body.decode()
    assert "Switch on images due" in page
    assert "Switch off failed runs" in page
    assert _send(served, "/system/sensors", sensor="images_due", to="on") == 303
    assert "Switch off images due" in served.site.get("/system").body.decode()


def test_a_pool_is_given_more_steps(served: Served) -> None:
    before = served.orchestrator.pools()
    assert set(before) == {"conversion", "calibration", "imaging"}
    assert _send(served, "/system/pools", pool="imaging", limit="3") == 303
    try:
        assert served.orchestrator.pools() == {**before, "imaging": 3}
    finally:
        assert _send(served, "/system/pools", pool="imaging", limit=str(before["imaging"])) == 303


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/system/sensors", {"sensor": "none", "to": "on"}, 404),
        ("/system/sensors", {"sensor": "images_due", "to": "maybe"}, 422),
        ("/system/pools", {"pool": "none", "limit": "1"}, 404),
        ("/system/pools", {"pool": "imaging", "limit": "0"}, 422),
        ("/system/pools", {"pool": "imaging", "limit": "٣"}, 422),
        ("/system/pools", {"pool": "imaging", "limit": "1000"}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(
    served: Served, path: str, fields: dict[str, str], status: int
) -> None:
    assert _send(served, path, **fields) == status
