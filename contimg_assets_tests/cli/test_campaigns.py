"""``contimg reprocess`` of many groups and ``contimg campaign``, as they are typed."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration


@pytest.fixture
def home_with_failed(settings: Settings) -> Settings:
    """Two groups that failed."""
    initialise(settings)
    records = Installation(settings).records
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, settings.home), ready=True)
        records.begin(key, "run 1")
        records.fail(key, "image: ImagingError: no data")
    return settings


def contimg(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code == code, result.output
    return result.output


def as_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    return json.loads(contimg(*arguments, "--json", code=code))


@pytest.mark.usefixtures("home_with_failed")
def test_a_campaign_is_told_made_listed_shown_paused_resumed_and_cancelled() -> None:
    asked = ("reprocess", "--since", "2026-01-15", "--until", "2026-01-16")
    told = contimg(*asked, "--dry-run")
    assert told.splitlines()[:2] == [
        "2 groups to be made again, 0 of them calibrator scans",
        "        2  failed before",
    ]
    assert "time: not known" in told
    assert "GB are free" in told
    assert "no campaign has been made here" in contimg("campaign", "list")
    assert as_json(*asked, "--dry-run")["campaign"] is None
    made = contimg(*asked, "--name", "night")
    # Not all of it: the free disk that it tells of is others' too.
    assert made.splitlines()[:2] == told.splitlines()[:2]
    assert made.splitlines()[-1].startswith("night: its groups wait for the daemon")
    assert "nothing to do" in contimg(*asked)
    shown = as_json("campaign", "show", "night")
    assert (shown["state"], shown["left"], shown["reasons"]) == ("running", 2, {"failed before": 2})
    assert "2 groups: 2 waiting" in contimg("campaign", "show", "night")
    for act, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert f"night: {state}" in contimg("campaign", act, "night")
    (listed,) = as_json("campaign", "list")["campaigns"]
    assert (listed["name"], listed["state"], listed["groups"]["cancelled"]) == ("night", "cancelled", 2)
    assert "night" in contimg("campaign", "list")


@pytest.mark.usefixtures("home_with_failed")
def test_what_cannot_be_meant_is_refused() -> None:
    assert "found nothing that groups are selected by" in contimg("reprocess", code=3)
    assert "found no campaign" in contimg("campaign", "pause", "day", code=3)
    assert "--keep-flags is for --group" in contimg("reprocess", "--keep-flags", "--outdated", code=2)
    assert "--group is one group" in contimg("reprocess", "--group", TARGET, "--outdated", code=2)
    assert "expected 2026-01-15" in contimg("reprocess", "--since", "yesterday", code=2)
