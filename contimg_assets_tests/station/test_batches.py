"""Batches take groups that can have the job, refuse the others with reasons, and say what became of each."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from contimg_assets.radio.errors import CampaignError, SelectionError
from contimg_assets.settings import Settings
from contimg_assets.station.batches import batch_items, failed_groups, plan_batch, start_batch
from contimg_assets.station.campaign_items import ATTEMPTS
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.campaign_views import campaign_view
from contimg_assets.station.installation import Installation
from contimg_assets.station.job_requests import ApplyParameters, ImageParameters
from contimg_assets_tests.fake_stages import BAND_HZ, registration

FIRST, SECOND, THIRD, WAITS = (f"2026-01-15T{hour:02d}:00:00" for hour in (3, 4, 5, 6))
OWNER = "run 1"


@pytest.fixture
def station(empty_url: str, settings: Settings) -> Installation:
    """Three groups with images, and one that waits; products are rows only."""
    station = Installation(settings.model_copy(update={"database_url": empty_url}))
    for key in (FIRST, SECOND, THIRD, WAITS):
        station.records.register(registration(key, settings.home), ready=True)
    for key in (FIRST, SECOND, THIRD):
        station.records.begin(key, OWNER)
        for product in ("measurement_set", "flags", "calibrated_ms", "image", "image_qa"):
            make(station, key, product)
        station.records.complete(key)
    station.leases.release(OWNER)
    return station


def make(station: Installation, key: str, product: str, run: str = OWNER) -> None:
    count = len(station.records.performance(key))
    numbers = {"channel_low_hz": BAND_HZ[0], "channel_high_hz": BAND_HZ[1], "stage_seconds": 90.0}
    path = PurePosixPath(f"products/{key}/.versions/{product}-{count}")
    station.records.record_product(key, product, path, numbers, run=run)


def plan(station: Installation, *keys: str, busy: tuple[str, ...] = (), **options: Any):
    return plan_batch(station, "image", keys, ImageParameters(**options), busy=busy, slots=2, pool_limit=1)


def test_a_dry_run_says_who_is_taken_who_is_refused_and_what_it_takes(station: Installation) -> None:
    found = plan(station, FIRST, SECOND, WAITS, "2020-01-01T00:00:00", FIRST, busy=(SECOND,))
    assert found.accepted == [FIRST]
    refused = {each.group: each.reason for each in found.refused}
    assert refused.keys() == {SECOND, WAITS, "2020-01-01T00:00:00"}
    assert "has an unfinished job" in refused[SECOND]
    assert "convert it first" in refused[WAITS]
    assert "not registered" in refused["2020-01-01T00:00:00"]
    # Image and its quality, a minute and a half each, one after the other.
    assert found.estimate.group_s == 180.0
    assert found.estimate.n_groups == 1
    with pytest.raises(SelectionError, match="1 to 2000"):
        plan(station)
    with pytest.raises(CampaignError, match="no group can have this job"):
        start_batch(station, plan(station, WAITS))
    # Nothing was written.
    assert plan(station, FIRST, SECOND).accepted == [SECOND, FIRST]


def test_a_group_is_in_one_batch_at_a_time(station: Installation) -> None:
    name = start_batch(station, plan(station, FIRST, SECOND), "ann")
    again = plan(station, FIRST, THIRD)
    assert again.accepted == [THIRD]
    assert again.refused[0].reason == f"is in campaign {name}"
    station.campaigns.cancel(name)
    assert plan(station, FIRST).accepted == [FIRST]
    with pytest.raises(CampaignError, match="there is a campaign"):
        start_batch(station, plan(station, FIRST), "ann", name)


def test_what_was_asked_for_reaches_the_engine_and_each_end_is_noted(station: Installation) -> None:
    asked = plan(station, FIRST, SECOND, THIRD, options={"robust": 0.5})
    name = start_batch(station, asked, "ann")
    campaigns = station.campaigns
    fed = campaigns.feed(3, ())
    assert [(each.key, each.kind, dict(each.parameters)) for each in fed] == [
        (key, "image", {"options": {"robust": 0.5}}) for key in (THIRD, SECOND, FIRST)
    ]
    assert campaigns.settle([FIRST, SECOND, THIRD]) == []
    # One is made, one fails, one's run is still at work.
    make(station, THIRD, "image_qa", run="run of the batch")
    said = {(name, SECOND): "image: ImagingError: diverged"}
    ended = campaigns.settle([FIRST], lambda campaign, key: said.get((campaign, key)))
    assert sorted(ended) == [SECOND, THIRD]
    items = {item.group: item for item in batch_items(station, name)[0]}
    assert (items[THIRD].state, items[THIRD].run) == ("completed", "run of the batch")
    assert (items[SECOND].state, items[SECOND].failure) == ("failed", "image: ImagingError: diverged")
    assert (items[FIRST].state, failed_groups(station, name)) == ("running", [SECOND])
    view = campaign_view(station.engine, name)
    assert (view.kind, view.made_by, view.groups["completed"]) == ("image", "ann", 1)


def test_a_group_whose_run_never_begins_is_asked_for_again_and_then_given_up(station: Installation) -> None:
    name = start_batch(station, plan(station, FIRST))
    for _ in range(ATTEMPTS):
        assert [each.key for each in station.campaigns.feed(1, ())] == [FIRST]
        station.campaigns.settle(())
    assert station.campaigns.feed(1, ()) == []
    (item,) = batch_items(station, name)[0]
    assert (item.state, item.failure) == ("failed", f"its run ended before it began, {ATTEMPTS} times")
    assert campaign_view(station.engine, name).state == "done"


def test_what_came_up_since_the_plan_is_a_failure_with_its_reason(station: Installation) -> None:
    name = start_batch(station, plan(station, FIRST))
    (fed,) = station.campaigns.feed(1, ())
    station.campaigns.refuse(fed, "group is held by somebody")
    assert batch_items(station, name, state="failed")[0][0].failure == "group is held by somebody"


def test_groups_that_are_named_are_made_again_as_a_whole(station: Installation) -> None:
    wanted = Selection(keys=(FIRST, WAITS), everything=True)
    found = station.campaigns.plan(wanted, slots=1)
    assert (found.n_groups, sum(found.left_out.values())) == (1, 1)
    name = station.campaigns.create(found, None, "ann")
    view = campaign_view(station.engine, name)
    assert (view.kind, view.selection["keys"], view.n_groups) == ("remake", "2 groups", 1)


def test_no_calibration_no_application(station: Installation) -> None:
    found = plan_batch(station, "apply", [FIRST], ApplyParameters(), busy=(), slots=1, pool_limit=None)
    assert found.accepted == []
    assert "no valid calibration" in found.refused[0].reason
