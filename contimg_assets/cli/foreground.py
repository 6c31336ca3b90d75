"""Processing in the foreground, through the same Dagster jobs that the sensors start.

Belongs here: which groups of a folder are taken, the order of their runs, and
what became of each.  Does not belong here: printing (``operations.py``), or
what the jobs make (``jobs.py``).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, ExecuteInProcessResult, RunsFilter

from contimg_assets.definitions import build_defs
from contimg_assets.jobs import convert_group, image_group, solve_calibrator
from contimg_assets.partitions import OBSERVATION_GROUP, PARTITION_TAG, add_keys
from contimg_assets.radio.errors import VerdictError
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.grouping import FileGroup, find_groups, group_files, list_names
from contimg_assets.radio.uvh5 import file_stamp
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.sensors.incoming import arrival
from contimg_assets.sensors.requests import UNFINISHED
from contimg_assets.settings import Settings
from contimg_assets.station.claims import Claims
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.registration import register

#: Marks runs of foreground commands: one that is unfinished while nobody claims its group is dead.
DRIVER_TAG = {"contimg/driver": "foreground"}
#: What became of a group.  The last two make the command fail.
COMPLETED, SKIPPED, WAITING, BUSY = "completed", "skipped", "waiting", "busy"
FAILED, REJECTED = "failed", "rejected"
BAD_OUTCOMES = (FAILED, REJECTED)


@dataclass
class Outcome:
    """What became of one group of a folder."""

    key: str
    """Group, or the first file's name where none could be told."""
    status: str
    reason: str = ""
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """Files of it that could not be used, each with the reason."""
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether the command fails because of it."""
        return self.status in BAD_OUTCOMES


#: Told of each run: group, what is being done, and of how many runs it is which.
Progress = Callable[[str, str, int, int], None]


class Foreground:
    """Runs groups one after the other in this process.

    Parameters
    ----------
    settings : Settings
        Of this process.
    instance : DagsterInstance
        Keeps the runs, so that the web UI shows them.
    progress : Progress
        Told before each run.
    verbose : bool
        Let Dagster's log through.
    """

    def __init__(
        self, settings: Settings, instance: DagsterInstance, progress: Progress, *, verbose: bool = False
    ) -> None:
        self.settings = settings
        self.instance = instance
        self.progress = progress
        self.catalog: ProductCatalog = CatalogResource().catalog()
        self.workers = CatalogResource().workers()
        self.claims = Claims(settings.home)
        self.defs = build_defs()
        level = "INFO" if verbose else "CRITICAL"
        self.run_config = {"loggers": {"console": {"config": {"log_level": level}}}}

    # -- which groups -----------------------------------------------------------------------

    def survey(self, folder: Path) -> tuple[dict[str, FileGroup], list[Outcome]]:
        """Register what is ready in a folder.

        Parameters
        ----------
        folder : Path
            Files of any number of groups.  Taken as it stands: a group of 12 to
            15 subbands does not wait for the rest, unless this is the folder
            where files still arrive.

        Returns
        -------
        tuple
            The groups to process, and the outcomes of the others.
        """
        ready: dict[str, FileGroup] = {}
        outcomes: list[Outcome] = []
        for found in find_groups(folder, cluster_s=self.settings.ingest.cluster_s):
            known = self.catalog.find(found.key) if found.key else None
            if known is not None and known.state == "completed":
                outcomes.append(self._done_before(known.key, found))
                continue
            outcome = self._enter(folder, found, ready)
            if outcome is not None:
                outcomes.append(outcome)
        return ready, outcomes

    def _done_before(self, key: str, found: FileGroup) -> Outcome:
        try:
            self.catalog.refuse_errors(key, "image_qa")
        except VerdictError as error:
            return Outcome(key, FAILED, f"completed before, but {error}", found.bad)
        return Outcome(key, SKIPPED, "completed before", found.bad)

    def _enter(self, folder: Path, found: FileGroup, ready: dict[str, FileGroup]) -> Outcome | None:
        """Register one group; an outcome if it cannot be processed."""
        # Only now are the data looked through: it is the whole folder's volume.
        paths = [*found.files.values(), *found.duplicates, *(path for path, _ in found.bad)]
        groups = group_files(paths, cluster_s=self.settings.ingest.cluster_s, check_contents=True)
        group = next((g for g in groups if g.key == found.key), found)
        name = group.key or (group.bad[0][0].name if group.bad else "no group")
        if group.key is None or group.header is None:
            return Outcome(name, REJECTED, group.reason, group.bad)
        if group.status == "bad":
            register(group, self.settings, self.catalog)
            return Outcome(name, REJECTED, group.reason, group.bad)
        waited_s = self._waited(folder, list(group.files.values()))
        if not register(group, self.settings, self.catalog, waited_s=waited_s):
            timeout = self.settings.ingest.timeout_s
            return Outcome(
                name, WAITING, f"{group.reason}; taken {timeout:g} s after the last file", group.bad
            )
        row = self.catalog.group(group.key)
        known_before = self.instance.has_dynamic_partition(OBSERVATION_GROUP, group.key)
        add_keys(self.instance, group.key, calibrator=row.calibrator_name is not None)
        if not known_before:
            self.instance.report_runless_asset_event(arrival(group.key, group.files))
        ready[group.key] = group
        return None

    def _waited(self, folder: Path, files: list[Path]) -> float | None:
        if folder.resolve() != self.settings.incoming_folder.resolve():
            return None
        return time.time() - max(path.stat().st_mtime for path in files)

    @contextmanager
    def _claimed(self, keys: list[str], *reopened: str) -> Iterator[tuple[list[str], list[Outcome]]]:
        """Hold groups that nobody else works on, after tidying up behind processes that died."""
        with self.claims.claim(keys) as ours:
            others = self.claims.held() - ours
            self._bury_dead_runs(others)
            free: list[str] = []
            busy: list[Outcome] = []
            running = {run.tags.get(PARTITION_TAG) for run in self._unfinished()}
            for key in keys:
                if key not in ours or key in running:
                    busy.append(Outcome(key, BUSY, "another process works on it"))
                    continue
                self.workers.died(key, self.catalog.group(key).owner, "interrupted")
                if self.catalog.group(key).state in reopened:
                    self.catalog.reopen(key, "processed again on request")
                free.append(key)
            yield free, busy

    def _unfinished(self, tags: dict[str, str] | None = None):
        return self.instance.get_runs(filters=RunsFilter(statuses=UNFINISHED, tags=tags))

    def _bury_dead_runs(self, held: set[str]) -> None:
        for run in self._unfinished(DRIVER_TAG):
            if run.tags.get(PARTITION_TAG) not in held:
                self.instance.report_run_failed(run, "The foreground process of this run ended.")
                self.instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)

    # -- running them -----------------------------------------------------------------------

    def process(self, folder: Path) -> list[Outcome]:
        """Process every ready group of a folder, calibrators first.

        Returns
        -------
        list of Outcome
            One for each group in the folder, in order of time.
        """
        ready, outcomes = self.survey(folder)
        with self._claimed(sorted(ready), "failed") as (keys, busy):
            for key in keys:  # those that were reopened: their files may be others now
                register(ready[key], self.settings, self.catalog)
            done = self._run_all(keys)
        for outcome in done:
            outcome.refused = ready[outcome.key].bad
        return sorted([*outcomes, *busy, *done], key=lambda outcome: outcome.key)

    def reprocess(self, key: str, *, keep_flags: bool = False) -> list[Outcome]:
        """Make everything of one group again, from its files on: those that came late are taken too.

        With ``keep_flags``, its Measurement Set and present flags stay, and what follows is made of them.
        """
        row = self.catalog.group(key)
        add_keys(self.instance, key, calibrator=row.calibrator_name is not None)
        if keep_flags:
            with self._claimed([key]) as (keys, busy):
                return [*busy, *self._run_all(keys, convert=False)]
        with self._claimed([key], "completed", "failed") as (keys, busy):
            for free in keys:
                self._look_again(free)
            return [*busy, *self._run_all(keys)]

    def _look_again(self, key: str) -> None:
        """Register a pending group anew, from what lies beside its files now."""
        cluster_s = self.settings.ingest.cluster_s
        near: list[Path] = []
        for folder in {Path(path).parent for path in self.catalog.group(key).files.values()}:
            for name in list_names(folder) if folder.is_dir() else ():
                stamp = file_stamp(name)
                if stamp and abs((stamp[0] - key_time(key)).total_seconds()) <= cluster_s:
                    near.append(folder / name)
        for group in group_files(near, cluster_s=cluster_s):
            if group.key == key and group.status != "bad":
                register(group, self.settings, self.catalog)

    def _run_all(self, keys: list[str], *, convert: bool = True) -> list[Outcome]:
        calibrators = [key for key in keys if self.catalog.group(key).calibrator_name is not None]
        steps: list[tuple[str, str]] = []
        for key in calibrators:
            steps += [(key, convert_group.name)] if convert else []
            steps.append((key, solve_calibrator.name))
        for key in keys:
            steps += [(key, convert_group.name)] if convert and key not in calibrators else []
            steps.append((key, image_group.name))
        outcomes = {key: Outcome(key, COMPLETED) for key in keys}
        for number, (key, job) in enumerate(steps):
            if outcomes[key].bad:
                continue
            self.progress(key, job, number, len(steps))
            started = time.monotonic()
            result = self.defs.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                partition_key=key,
                raise_on_error=False,
                tags=DRIVER_TAG,
                run_config=self.run_config,
            )
            outcomes[key].seconds += time.monotonic() - started
            if not result.success:
                outcomes[key].status = FAILED
                outcomes[key].reason = self._settle(key, job, result)
        return [outcomes[key] for key in keys]

    def _settle(self, key: str, job: str, result: ExecuteInProcessResult) -> str:
        """See to it that a group whose run failed says why, and return that."""
        group = self.catalog.group(key)
        if group.state == "failed":
            return group.reason
        reason = f"{job}: {_failure_text(result)}"
        # An image that its checks condemn is made all the same, so such a group is completed.
        if group.state == "in_progress":
            self.catalog.fail(key, reason)
        return reason


def _failure_text(result: ExecuteInProcessResult) -> str:
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
