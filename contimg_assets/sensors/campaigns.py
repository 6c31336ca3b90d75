"""Feeds campaigns to the engine, as many groups at a time as keep it busy.

Belongs here: how far the engine is filled, asking for runs, partition keys.  Does
not belong here: which groups are next (``station/campaigns.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AddDynamicPartitionsRequest,
    AssetKey,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from contimg_assets.jobs import CAMPAIGN_PRIORITY, image_group, remake_job, solve_calibrator
from contimg_assets.partitions import calibrator_scan, observation_group
from contimg_assets.radio.errors import ContimgError
from contimg_assets.radio.group_key import key_time
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, KIND_TAG, DagsterRuns, slots_of
from contimg_assets.sensors.requests import PRIORITY_TAG, QUEUE_TAG, room_for, taken_keys, usable
from contimg_assets.settings import get_settings
from contimg_assets.station.batches import batch_kind
from contimg_assets.station.campaign_models import REMAKE
from contimg_assets.station.campaigns import Fed
from contimg_assets.station.installation import Installation
from contimg_assets.station.job_requests import PARAMETERS, plan_job

#: Groups in Dagster for each slot: one that works, one that is next, and one for the time between two ticks.
GROUPS_PER_SLOT = 3


@dataclass(frozen=True)
class Asked:
    """A run that a campaign asks for."""

    fed: Fed
    calibrator: bool = False
    """The run is of a calibrator scan."""
    job: str = remake_job.name
    assets: Sequence[str] = ()
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def request(self) -> RunRequest:
        """As Dagster has it."""
        fed = self.fed
        given = {name: {"config": dict(config)} for name, config in self.config.items() if config}
        kind = {} if fed.kind == REMAKE else {KIND_TAG: fed.kind}
        return RunRequest(
            # Every attempt is another run; the same one twice is not.
            run_key=f"{fed.campaign} {fed.key} {fed.attempt}",
            partition_key=fed.key,
            job_name=self.job,
            asset_selection=[AssetKey(name) for name in self.assets] or None,
            run_config={"ops": given} if given else {},
            tags={
                PRIORITY_TAG: str(CAMPAIGN_PRIORITY),
                QUEUE_TAG: "bulk",
                CAMPAIGN_TAG: fed.campaign,
                **kind,
            },
        )


def _asked(fed: Fed, station: Installation) -> Asked | None:
    """The run that a group is to have; None if it cannot have it any more, which is noted."""
    kind = batch_kind(fed.kind)
    if kind is None:
        return Asked(fed)
    try:
        plan = plan_job(station, kind, fed.key, PARAMETERS[kind].model_validate(fed.parameters))
    except ContimgError as error:
        station.campaigns.refuse(fed, str(error))
        return None
    return Asked(fed, plan.calibrator, plan.job, plan.assets, plan.config)


@sensor(
    jobs=[remake_job, solve_calibrator, image_group],
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
    ended = campaigns.settle(taken, DagsterRuns(context.instance).said)
    # Whoever else fills the engine, a new observation or a catch-up, comes first.
    filled = len(campaigns.running() | taken)
    room = min(GROUPS_PER_SLOT * slots_of(context.instance) - filled, ingest.starts_per_tick)
    fit, held_back = room_for(database, taken)
    room = min(room, fit)
    station = Installation(get_settings())
    found = [_asked(each, station) for each in campaigns.feed(max(0, room), taken)]
    asked = [each for each in found if each is not None]
    if not (asked or ended):
        return SkipReason(
            held_back or f"no campaign has a group to start ({filled} groups are in the engine)"
        )
    # The keys of old groups are in Dagster for as long as they are worked on, not for another hot window.
    hot = datetime.now(UTC) - timedelta(days=ingest.hot_window_days)
    cold = [key for key in ended if key_time(key) < hot and key not in {each.fed.key for each in asked}]
    partitions: list[AddDynamicPartitionsRequest | DeleteDynamicPartitionsRequest] = []
    if asked:
        partitions.append(observation_group.build_add_request([each.fed.key for each in asked]))
    scans = [each.fed.key for each in asked if each.calibrator]
    if scans:
        partitions.append(calibrator_scan.build_add_request(scans))
    if cold:
        partitions.append(observation_group.build_delete_request(cold))
    return SensorResult(run_requests=[each.request for each in asked], dynamic_partitions_requests=partitions)
