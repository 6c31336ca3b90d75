"""Campaigns reach the engine a few groups at a time, after everything else, and note how each ended."""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SensorResult
from dagster._core.test_utils import create_run_for_test

from contimg_assets.definitions import build_defs
from contimg_assets.jobs import CAMPAIGN_PRIORITY, CATCH_UP_PRIORITY, LIVE_PRIORITY, remake_job
from contimg_assets.partitions import OBSERVATION_GROUP, PARTITION_TAG
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, KIND_TAG, TERMINATED, slots_of
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.sensors import campaigns as feeder
from contimg_assets.sensors.campaigns import GROUPS_PER_SLOT, campaign_groups
from contimg_assets.settings import Settings
from contimg_assets.station.batches import batch_items, plan_batch, start_batch
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.campaign_views import campaign_view
from contimg_assets.station.installation import Installation
from contimg_assets.station.job_requests import ImageParameters
from contimg_assets_tests.assets.test_chain import Station as Chain
from contimg_assets_tests.assets.test_sensors import tick
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, FakeStages, registration

KEYS = [f"2026-01-15T{hour:02d}:00:00" for hour in range(6, 16)]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def requests(result: object) -> list[RunRequest]:
    return list(result.run_requests or []) if isinstance(result, SensorResult) else []


def waiting(settings: Settings) -> str:
    """A campaign of groups that failed."""
    records = DatabaseResource().records()
    for key in KEYS:
        records.register(registration(key, settings.home), ready=True)
        records.begin(key, "run 1")
        records.fail(key, "no reason")
    DatabaseResource().leases().release("run 1")
    campaigns = DatabaseResource().campaigns()
    return campaigns.create(campaigns.plan(Selection(since="2026"), slots=1), "night")


def test_the_engine_is_filled_to_three_groups_a_slot_at_the_lowest_priority(
    settings: Settings, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(settings)
    monkeypatch.setattr(feeder, "slots_of", lambda _: 2)
    # A run of somebody else's counts.
    create_run_for_test(instance, status=DagsterRunStatus.STARTED, tags={PARTITION_TAG: TARGET})
    result = tick(campaign_groups, instance)
    asked = requests(result)
    newest = sorted(KEYS, reverse=True)[: 2 * GROUPS_PER_SLOT - 1]
    assert [request.partition_key for request in asked] == newest
    assert {request.job_name for request in asked} == {remake_job.name}
    first = asked[0]
    assert first.run_key == f"night {newest[0]} 1"
    assert first.tags["dagster/priority"] == str(CAMPAIGN_PRIORITY)
    assert CAMPAIGN_PRIORITY < CATCH_UP_PRIORITY < LIVE_PRIORITY
    assert (first.tags["dagster-celery/queue"], first.tags[CAMPAIGN_TAG]) == ("bulk", "night")
    assert isinstance(result, SensorResult)
    (added,) = list(result.dynamic_partitions_requests or [])
    assert list(added.partition_keys) == newest
    for request in asked:
        tags = {PARTITION_TAG: request.partition_key or ""}
        create_run_for_test(instance, status=DagsterRunStatus.STARTED, tags=tags)
    assert requests(tick(campaign_groups, instance)) == []


def test_slots_are_what_the_queue_lets_start(settings: Settings, instance: DagsterInstance) -> None:
    assert slots_of(instance) == 1
    folder = settings.home / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(instance_configuration())
    with DagsterInstance.from_config(str(folder)) as local:
        assert slots_of(local) == 4


def test_a_campaigns_run_makes_a_group_again_and_the_campaign_is_done(
    settings: Settings, instance: DagsterInstance
) -> None:
    chain = Chain(settings.home, instance)
    chain.ready_to_image()
    assert chain.run("image_group", TARGET).success
    campaigns = DatabaseResource().campaigns()
    plan = campaigns.plan(Selection(until=CALIBRATOR, everything=True), slots=1)
    name = campaigns.create(plan)
    (asked,) = requests(tick(campaign_groups, instance))
    tags = {**asked.tags, "dagster/sensor_name": "campaign_groups"}
    assert chain.run("convert_group", TARGET, tags=tags).success
    assert chain.records.group(TARGET).state == "in_progress"
    assert requests(tick(campaign_groups, instance)) == []
    assert chain.run("image_group", TARGET).success
    result = tick(campaign_groups, instance)
    view = campaign_view(chain.records.engine, name)
    assert (view.groups["completed"], view.completed["not judged"]) == (1, 0)
    # The key of a group that is older than the hot window leaves Dagster with it.
    assert isinstance(result, SensorResult)
    (retired,) = list(result.dynamic_partitions_requests or [])
    assert list(retired.partition_keys) == [TARGET]
    assert instance.has_dynamic_partition(OBSERVATION_GROUP, TARGET)
    tick(campaign_groups, instance)
    assert campaign_view(chain.records.engine, name).state == "done"


def test_a_batch_asks_for_its_one_job_with_what_was_asked_and_notes_how_it_ended(
    settings: Settings, instance: DagsterInstance
) -> None:
    chain = Chain(settings.home, instance)
    chain.ready_to_image()
    assert chain.run("image_group", TARGET).success
    station = Installation(settings)
    chosen: dict[str, Any] = {"options": {"robust": 0.5}}
    plan = plan_batch(
        station, "image", [TARGET], ImageParameters(**chosen), busy=(), slots=1, pool_limit=None
    )
    name = start_batch(station, plan, "ann")
    (asked,) = requests(tick(campaign_groups, instance))
    assert (asked.job_name, asked.run_config) == ("image_group", {"ops": {"image": {"config": chosen}}})
    assert {key.path[-1] for key in asked.asset_selection or []} == {"image", "image_qa"}
    assert (asked.tags[CAMPAIGN_TAG], asked.tags[KIND_TAG]) == (name, "image")
    definition = build_defs({"stages": FakeStages()}).resolve_job_def("image_group")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    done = definition.execute_in_process(
        instance=instance,
        partition_key=TARGET,
        asset_selection=list(asked.asset_selection or []),
        run_config={**dict(asked.run_config), **quiet},
        tags={**asked.tags, "dagster/sensor_name": "campaign_groups"},
    )
    assert done.success
    # The group was done and stays so: one product of it was made again.
    assert chain.records.group(TARGET).state == "completed"
    tick(campaign_groups, instance)
    (item,) = batch_items(station, name)[0]
    assert (item.state, item.run) == ("completed", done.run_id)


def test_a_batchs_run_that_failed_or_was_cancelled_says_so(
    settings: Settings, instance: DagsterInstance
) -> None:
    chain = Chain(settings.home, instance)
    chain.ready_to_image()
    assert chain.run("image_group", TARGET).success
    station = Installation(settings)
    for status, told in ((DagsterRunStatus.FAILURE, "made nothing"), (DagsterRunStatus.CANCELED, TERMINATED)):
        plan = plan_batch(station, "image", [TARGET], ImageParameters(), busy=(), slots=1, pool_limit=None)
        name = start_batch(station, plan)
        (asked,) = requests(tick(campaign_groups, instance))
        create_run_for_test(instance, status=status, tags={**asked.tags, PARTITION_TAG: TARGET})
        tick(campaign_groups, instance)
        (item,) = batch_items(station, name)[0]
        assert item.state == "failed"
        assert told in item.failure
