"""Runs jobs in this process, for a command that waits for them: the same jobs that the sensors start.

Belongs here: executing a job and putting its failure into words.  Does not belong
here: which groups, and in which order (``station/operations.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterEventType, DagsterInstance, Definitions, ExecuteInProcessResult

from contimg_assets.partitions import OBSERVATION_GROUP, add_keys
from contimg_assets.radio.interrupts import Interrupted, noted
from contimg_assets.resources.daemon import LOCATION
from contimg_assets.resources.dagster_runs import AGAIN_TAG, LEASE_TAG, DagsterRuns, arrival
from contimg_assets.station.make_again import Step
from contimg_assets.station.operations import RunResult

#: By this tag the web UI finds a job's runs: the daemon's have it from where they were asked for.  Its
#: time line wants that place itself, which a run in this process has none of.
REPOSITORY_TAG, REPOSITORY = ".dagster/repository", f"__repository__@{LOCATION}"


class ForegroundRuns(DagsterRuns):
    """Runs jobs one after the other in this process; the instance keeps them, so that the web UI shows them.

    Parameters
    ----------
    instance : DagsterInstance
        Of this home.
    definitions : Definitions
        Has the jobs.
    verbose : bool
        Let Dagster's log through.
    """

    def __init__(self, instance: DagsterInstance, definitions: Definitions, *, verbose: bool = False) -> None:
        super().__init__(instance)
        self.definitions = definitions
        level = "INFO" if verbose else "CRITICAL"
        self.run_config = {"loggers": {"console": {"config": {"log_level": level}}}}

    def announce(self, key: str, files: Mapping[int, Path], *, calibrator: bool) -> None:
        """Make a group's partition keys known, and that its files have come if it is new."""
        known_before = self.instance.has_dynamic_partition(OBSERVATION_GROUP, key)
        add_keys(self.instance, key, calibrator=calibrator)
        if files and not known_before:
            self.instance.report_runless_asset_event(arrival(key, files))

    def run(self, job: str, key: str, owner: str, step: Step | None = None) -> RunResult:
        """Run a job of a group to its end, under a command's lease; or only a step that is made again.

        Raises
        ------
        Interrupted
            If a signal came: Dagster keeps it to itself, and has ended the run.
        """
        result = None
        try:
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=key,
                raise_on_error=False,
                tags={
                    LEASE_TAG: owner,
                    REPOSITORY_TAG: REPOSITORY,
                    **({} if step is None else {AGAIN_TAG: "true"}),
                },
                run_config=self.run_config | _options(step),
                asset_selection=None if step is None else [AssetKey(name) for name in step.assets],
            )
        finally:
            number = noted()
            if number is not None:
                raise Interrupted(number)
        return RunResult(result.success, "" if result.success else failure_text(result))


def _options(step: Step | None) -> dict[str, Any]:
    """Run options of a step, as Dagster has them."""
    if step is None or not step.config:
        return {}
    return {"ops": {name: {"config": dict(config)} for name, config in step.config.items()}}


def failure_text(result: ExecuteInProcessResult) -> str:
    """What the failed steps and checks of a run said."""
    checks = [
        evaluation.description or evaluation.check_name
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity.value == "ERROR"
    ]
    if checks:
        return "last verdict is ERROR: " + "; ".join(checks)
    texts = []
    for event in result.all_events:
        if event.event_type == DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            texts.append(told or (data.error.message.strip() if data.error else "no message"))
    return "; ".join(texts) or f"run {result.run_id} failed"
