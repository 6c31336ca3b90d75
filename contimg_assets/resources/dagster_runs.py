"""What Dagster's instance knows of groups: their unfinished runs, who owns those, and ending dead ones.

Belongs here: reading and ending runs, records of arrival.  Does not belong here:
which run is dead (``station/lease_judge.py``), or when one is asked for (``sensors/``).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from dagster import (
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    MetadataValue,
    RunsFilter,
)

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.radio.interrupts import noted

#: Names the lease under which a run works, if that is not its own: a foreground command's.
LEASE_TAG = "contimg/lease"
#: Says that a run makes a product of a completed group again, which retention removed.
AGAIN_TAG = "contimg/again"
#: Names the campaign that a run was asked for by; such a run makes a group again that is done.
CAMPAIGN_TAG = "contimg/campaign"
#: Says as which kind of job a run was asked for.
KIND_TAG = "contimg/kind"
#: Marks a run that found its group to be somebody else's, or not in a state to be worked on.
LEFT_ALONE_TAG = "contimg/left-alone"
#: Said of a group whose run was ended from the web UI or its API.
TERMINATED = "run terminated by a person"
#: Tag that Dagster puts on runs that a sensor asked for.
SENSOR_TAG = "dagster/sensor_name"
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def slots_of(instance: DagsterInstance) -> int:
    """Runs at once: what the instance's queue lets start; a launch without a queue waits for nothing."""
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None:
        return 1
    limit = queue.max_concurrent_runs
    # -1: no limit; then the machine is one.
    return limit if limit > 0 else os.cpu_count() or 1


def pool_limit_of(instance: DagsterInstance) -> int | None:
    """Steps of one pool at once, as the instance's file has it; None: no limit."""
    return instance.get_concurrency_config().pool_config.default_pool_limit


def lease_owner(run: DagsterRun) -> str:
    """Owner of the lease under which a run works: the run itself, or the command that started it."""
    return run.tags.get(LEASE_TAG, run.run_id)


def is_cancelled(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether a person has asked for a run's end."""
    known = instance.get_run_by_id(run.run_id)
    return known is not None and known.status in (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED)


def why_interrupted(instance: DagsterInstance | None, run: DagsterRun) -> str:
    """Why a run that was interrupted was: a person ended it, or a signal came."""
    if instance is not None and is_cancelled(instance, run):
        return TERMINATED
    number = noted()
    return f"interrupted by {number.name}" if number is not None else "interrupted"


def failures_of(instance: DagsterInstance, run_id: str) -> list[str]:
    """What the failed steps of a run said."""
    texts: list[str] = []
    for event in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        data = event.get_dagster_event().step_failure_data
        told = data.user_failure_data.description if data.user_failure_data else None
        texts.append(told or (data.error.message.strip() if data.error else "no message"))
    return texts


def arrival(key: str, files: Mapping[int, Path]) -> AssetMaterialization:
    """Dagster's record that a group's files have come."""
    return AssetMaterialization(
        "uvh5_subbands",
        partition=key,
        metadata={
            "n_subbands": len(files),
            "bytes": sum(path.stat().st_size for path in files.values()),
            "folder": MetadataValue.path(next(iter(files.values())).parent),
        },
    )


class DagsterRuns:
    """The runs of one instance, as the station's judge of leases asks for them.

    Parameters
    ----------
    instance : DagsterInstance
        Of this home.
    """

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance

    def _unfinished(self, tags: dict[str, str] | None = None) -> list[DagsterRun]:
        return list(self.instance.get_runs(filters=RunsFilter(statuses=UNFINISHED, tags=tags)))

    def unfinished_keys(self) -> set[str]:
        """Groups that have an unfinished run."""
        return {run.tags[PARTITION_TAG] for run in self._unfinished() if PARTITION_TAG in run.tags}

    def commands_with_runs(self) -> set[str]:
        """Foreground commands that have unfinished runs."""
        return {run.tags[LEASE_TAG] for run in self._unfinished() if LEASE_TAG in run.tags}

    def said(self, campaign: str, key: str) -> str | None:
        """Why the last run of a campaign for a group did not make what it should; None if none has ended.

        A run that was cancelled while it waited counts: a person did not want it.
        """
        wanted = RunsFilter(tags={CAMPAIGN_TAG: campaign, PARTITION_TAG: key})
        for run in self.instance.get_runs(filters=wanted, limit=1):
            if run.status is DagsterRunStatus.CANCELED:
                return TERMINATED
            if run.is_finished:
                return "; ".join(failures_of(self.instance, run.run_id)) or f"run {run.run_id} made nothing"
        return None

    def end(self, owner: str, message: str) -> None:
        """End the unfinished runs of an owner of leases that is dead.

        Until then they hold their slots, and their groups' other runs wait.
        """
        for run in [self.instance.get_run_by_id(owner), *self._unfinished({LEASE_TAG: owner})]:
            # Read anew: it may have ended since it was listed.
            known = self.instance.get_run_by_id(run.run_id) if run is not None else None
            if known is not None and not known.is_finished:
                self.instance.report_run_failed(known, message)
                self.instance.event_log_storage.free_concurrency_slots_for_run(known.run_id)
