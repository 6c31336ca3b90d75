"""Feeds campaigns to the engine, as many groups at a time as keep it busy.

Belongs here: how far the engine is filled, asking for runs, partition keys.  Does
not belong here: which groups are next (``station/campaigns.py``).
"""

from datetime import UTC, datetime, timedelta

from dagster import (
    AddDynamicPartitionsRequest,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from contimg_assets.jobs import CAMPAIGN_PRIORITY, remake_job
from contimg_assets.partitions import observation_group
from contimg_assets.radio.group_key import key_time
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, slots_of
from contimg_assets.sensors.requests import PRIORITY_TAG, QUEUE_TAG, taken_keys, usable
from contimg_assets.settings import get_settings
from contimg_assets.station.campaigns import Fed

#: Groups in Dagster for each slot: one that works, one that is next, and one for the time between two ticks.
GROUPS_PER_SLOT = 3


def _request(fed: Fed) -> RunRequest:
    return RunRequest(
        # Every attempt is another run; the same one twice is not.
        run_key=f"{fed.campaign} {fed.key} {fed.attempt}",
        partition_key=fed.key,
        job_name=remake_job.name,
        tags={PRIORITY_TAG: str(CAMPAIGN_PRIORITY), QUEUE_TAG: "bulk", CAMPAIGN_TAG: fed.campaign},
    )


@sensor(
    job=remake_job,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Asks for groups of campaigns, a few at a time and after all others; notes how they ended.",
)
def campaign_groups(
    context: SensorEvaluationContext, database: DatabaseResource
) -> SensorResult | SkipReason:
    if not usable():
        return SkipReason("storage or database cannot be used: see the alerts")
    campaigns, ingest = database.campaigns(), get_settings().ingest
    taken = taken_keys(context.instance, database.leases())
    ended = campaigns.settle(taken)
    # Whoever else fills the engine, a new observation or a catch-up, comes first.
    filled = len(campaigns.running() | taken)
    room = min(GROUPS_PER_SLOT * slots_of(context.instance) - filled, ingest.starts_per_tick)
    fed = campaigns.feed(max(0, room), taken)
    if not (fed or ended):
        return SkipReason(f"no campaign has a group to start ({filled} groups are in the engine)")
    # The keys of old groups are in Dagster for as long as they are worked on, not for another hot window.
    hot = datetime.now(UTC) - timedelta(days=ingest.hot_window_days)
    cold = [key for key in ended if key_time(key) < hot and key not in {each.key for each in fed}]
    partitions: list[AddDynamicPartitionsRequest | DeleteDynamicPartitionsRequest] = []
    if fed:
        partitions.append(observation_group.build_add_request([each.key for each in fed]))
    if cold:
        partitions.append(observation_group.build_delete_request(cold))
    return SensorResult(run_requests=[_request(each) for each in fed], dynamic_partitions_requests=partitions)
