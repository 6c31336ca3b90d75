"""What is asked of Dagster: runs started and ended, runs and their logs read, whether its daemon lives.

Belongs here: every GraphQL document that we send ourselves, and every use of Dagster's
instance by the web.  Does not belong here: which runs may be started
(``station/requests.py``), or documents that clients send (``dagster_documents.py``).

Runs are started and ended through Dagster's own documents, in this process, since these
check the config and the user's role; runs are read from the instance, which is public.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_graphql.schema import create_schema
from starlette.requests import HTTPConnection

from contimg_assets.assets.publishing import CALIBRATION, CONVERSION, IMAGING
from contimg_assets.partitions import PARTITION_TAG, add_keys
from contimg_assets.resources.dagster_runs import UNFINISHED, DagsterRuns, pool_limit_of, slots_of
from contimg_assets.web.problems import ProblemError

LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}"""
TERMINATE = """mutation Terminate($runId: String!) {
  terminateRun(runId: $runId, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunSuccess { run { runId } }
    ... on TerminateRunFailure { message }
    ... on Error { message }
  }
}"""
# Without a time, Dagster finds no tick once its code server has been started anew: it looks ticks up by where
# that server was when the sensor was first seen.
SENSORS = """query Sensors($repository: RepositorySelector!) {
  sensorsOrError(repositorySelector: $repository) {
    __typename
    ... on Sensors {
      results { name sensorState { id status ticks(limit: 1, afterTimestamp: 1) { status timestamp } } }
    }
    ... on Error { message }
  }
}"""
START_SENSOR = """mutation StartSensor($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { __typename ... on Error { message } }
}"""
STOP_SENSOR = """mutation StopSensor($id: String!) {
  stopSensor(id: $id) { __typename ... on Error { message } }
}"""
SET_POOL = """mutation SetPool($pool: String!, $limit: Int!) {
  setConcurrencyLimit(concurrencyKey: $pool, limit: $limit)
}"""
DOCUMENTS = (LAUNCH, TERMINATE, SENSORS, START_SENSOR, STOP_SENSOR, SET_POOL)
#: Steps of one pool at once, at most: beyond, a typing error.
MOST_STEPS = 64
#: Classes of memory that stages may need.
POOLS = (CONVERSION, CALIBRATION, IMAGING)
#: As Dagster names what our definitions are in.
REPOSITORY = "__repository__"


@lru_cache(maxsize=1)
def _schema() -> Any:
    return create_schema()


@dataclass(frozen=True)
class Launch:
    """A run that is to be started."""

    job: str
    key: str
    """Group, which is registered."""
    calibrator: bool
    """It is also a key of calibrator scans."""
    assets: tuple[str, ...] = ()
    """Only these of the job's; none: all."""
    config: Mapping[str, Mapping[str, Any]] | None = None
    """Run options by asset."""
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class LogPart:
    """What has been added to a run's log."""

    stdout: bytes
    stderr: bytes


class Capacity(TypedDict):
    """How much goes on at once."""

    slots: int
    """Runs."""
    pool_limit: int | None
    """Stages of one class of memory; None: as many as there are runs."""


class Orchestrator:
    """Dagster of this installation.

    Parameters
    ----------
    instance : DagsterInstance
    workspace : WorkspaceProcessContext
        Leads to the code location.
    location : str
        Its name.
    """

    def __init__(self, instance: DagsterInstance, workspace: WorkspaceProcessContext, location: str) -> None:
        self.instance = instance
        self.workspace = workspace
        self.repository = {"repositoryName": REPOSITORY, "repositoryLocationName": location}

    # -- asking for work --------------------------------------------------------------------

    def launch(self, wanted: Launch, source: HTTPConnection) -> str:
        """Have a run started; its identity.

        Raises
        ------
        ProblemError
            422 if its config is wrong, 502 if Dagster answers what it should not.
        """
        # A key that Dagster does not know passes a launch, and fails in the run.
        add_keys(self.instance, wanted.key, calibrator=wanted.calibrator)
        selector: dict[str, Any] = {"jobName": wanted.job, **self.repository}
        if wanted.assets:
            selector["assetSelection"] = [{"path": [name]} for name in wanted.assets]
        given = {name: config for name, config in (wanted.config or {}).items() if config}
        config = {"ops": {name: {"config": dict(config)} for name, config in given.items()}} if given else {}
        tags = {**(wanted.tags or {}), PARTITION_TAG: wanted.key}
        params = {
            "selector": selector,
            "runConfigData": config,
            "mode": "default",
            "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
        }
        answer = self._ask(LAUNCH, {"params": params}, source)["launchRun"]
        if answer["__typename"] == "LaunchRunSuccess":
            return answer["run"]["runId"]
        if answer["__typename"] == "RunConfigValidationInvalid":
            raise ProblemError(422, "; ".join(error["message"] for error in answer["errors"]))
        raise self._unexpected(answer)

    def cancel(self, run_id: str, source: HTTPConnection) -> None:
        """Have a run ended; its stage too.

        Raises
        ------
        ProblemError
            404 if there is none, 409 if it cannot be ended, 502 as for :meth:`launch`.
        """
        answer = self._ask(TERMINATE, {"runId": run_id}, source)["terminateRun"]
        kind = answer["__typename"]
        if kind == "RunNotFoundError":
            raise ProblemError(404, f"there is no job {run_id}")
        if kind == "TerminateRunFailure":
            raise ProblemError(409, f"job {run_id} cannot be cancelled: {answer['message']}")
        if kind != "TerminateRunSuccess":
            raise self._unexpected(answer)

    def _ask(self, document: str, variables: Mapping[str, Any], source: HTTPConnection) -> dict[str, Any]:
        with self.workspace.create_request_context(source) as context:
            # Some of its resolvers are coroutines. This is a thread of the pool, which has no loop.
            result = asyncio.run(
                _schema().execute_async(document, variable_values=dict(variables), context_value=context)
            )
        if result.errors or result.data is None:
            told = "; ".join(error.message for error in result.errors or [])
            raise ProblemError(502, f"Dagster failed at this: {told or 'no answer'}")
        return result.data

    @staticmethod
    def _unexpected(answer: Mapping[str, Any]) -> ProblemError:
        return ProblemError(502, f"Dagster answers {answer['__typename']}: {answer.get('message', '')}")

    # -- reading ----------------------------------------------------------------------------

    def runs(
        self, wanted: RunsFilter, limit: int, cursor: str | None = None
    ) -> tuple[Sequence[RunRecord], int]:
        """Runs, newest first, after the one that the cursor names; and how many there are."""
        records = self.instance.get_run_records(wanted, limit=limit, cursor=cursor)
        return records, self.instance.get_runs_count(wanted)

    def run(self, run_id: str) -> RunRecord:
        """One run.

        Raises
        ------
        ProblemError
            404 if there is none.
        """
        record = self.instance.get_run_record_by_id(run_id)
        if record is None:
            raise ProblemError(404, f"there is no job {run_id}; jobs are named by the identity of their run")
        return record

    def unfinished_of(self, key: str) -> Sequence[RunRecord]:
        """Runs of a group that wait or work."""
        wanted = RunsFilter(statuses=UNFINISHED, tags={PARTITION_TAG: key})
        return self.instance.get_run_records(wanted, limit=5)

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """What has become of the steps of a run, in the order in which they began."""
        found = self.instance.get_run_step_stats(run_id)
        return [
            {
                "step": step.step_key,
                "status": step.status.value.lower() if step.status else "waiting",
                "started": _time(step.start_time),
                "finished": _time(step.end_time),
                "attempts": len(step.attempts_list),
            }
            for step in sorted(found, key=lambda step: step.start_time or float("inf"))
        ]

    def log_key(self, run_id: str) -> Sequence[str] | None:
        """Where the output of a run is kept; None while it has none: our runs are one process each."""
        events = self.instance.all_logs(run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        for event in events:
            data = event.get_dagster_event().logs_captured_data
            return self.instance.compute_log_manager.build_log_key_for_run(run_id, data.file_key)
        return None

    def log_part(self, key: Sequence[str], stdout: int, stderr: int, limit: int) -> LogPart:
        """What a log holds from two offsets on, ``limit`` bytes of each at most."""
        data = self.instance.compute_log_manager.get_log_data(key, f"{stdout}:{stderr}", limit)
        return LogPart(data.stdout or b"", data.stderr or b"")

    def log_size(self, key: Sequence[str], stream: str) -> int:
        """Bytes of a log; 0 where it is kept in no file."""
        kept = self.instance.compute_log_manager.get_log_metadata(key)
        location = kept.stdout_location if stream == "stdout" else kept.stderr_location
        path = Path(location or "")
        return path.stat().st_size if location and path.is_file() else 0

    def daemon(self) -> tuple[bool, float | None]:
        """Whether Dagster's daemon lives, and the age of its oldest needed heartbeat, s."""
        statuses = self.instance.get_daemon_statuses()
        needed = [status for status in statuses.values() if status.required]
        beats = [status.last_heartbeat.timestamp for status in needed if status.last_heartbeat]
        alive = bool(needed) and all(status.healthy for status in needed)
        return alive, datetime.now(UTC).timestamp() - min(beats) if beats else None

    def sensors(self, source: HTTPConnection) -> list[dict[str, Any]]:
        """Each sensor, whether it is switched on, and its last tick."""
        found = []
        for sensor in self._sensors(source):
            state = sensor["sensorState"]
            tick = (state["ticks"] or [None])[0]
            found.append(
                {
                    "name": sensor["name"],
                    "running": state["status"] == "RUNNING",
                    "last_tick": _time(tick["timestamp"]) if tick else None,
                    "last_tick_status": tick["status"].lower() if tick else None,
                }
            )
        return found

    def _sensors(self, source: HTTPConnection) -> list[dict[str, Any]]:
        answer = self._ask(SENSORS, {"repository": self.repository}, source)["sensorsOrError"]
        if answer["__typename"] != "Sensors":
            raise self._unexpected(answer)
        return answer["results"]

    def switch_sensor(self, name: str, on: bool, source: HTTPConnection) -> None:
        """Switch a sensor on or off, for good.

        Raises
        ------
        ProblemError
            404 if there is none of that name, 502 as for :meth:`launch`.
        """
        known = {sensor["name"]: sensor["sensorState"]["id"] for sensor in self._sensors(source)}
        if name not in known:
            raise ProblemError(404, f"found no sensor {name[:64]!r}; there are {', '.join(sorted(known))}")
        if on:
            selector = {**self.repository, "sensorName": name}
            answer = self._ask(START_SENSOR, {"sensor": selector}, source)["startSensor"]
        else:
            answer = self._ask(STOP_SENSOR, {"id": known[name]}, source)["stopSensor"]
        if answer["__typename"] not in ("Sensor", "StopSensorMutationResult"):
            raise self._unexpected(answer)

    def pools(self) -> dict[str, int | None]:
        """How many steps of each class of memory may work at once; None: as many as there are runs."""
        given = {pool.name: pool.limit for pool in self.instance.event_log_storage.get_pool_limits()}
        return {name: given.get(name, pool_limit_of(self.instance)) for name in POOLS}

    def set_pool(self, name: str, limit: int, source: HTTPConnection) -> None:
        """Let so many steps of a pool work at once, from the next one on.

        Raises
        ------
        ProblemError
            404 if there is no such pool, 422 if the number makes no sense.
        """
        if name not in POOLS:
            raise ProblemError(404, f"found no pool {name[:64]!r}; there are {', '.join(POOLS)}")
        if not 1 <= limit <= MOST_STEPS:
            raise ProblemError(422, f"limit: found {limit}; expected 1 to {MOST_STEPS}")
        self._ask(SET_POOL, {"pool": name, "limit": limit}, source)

    def busy_keys(self) -> set[str]:
        """Groups that have a run that waits or works."""
        return DagsterRuns(self.instance).unfinished_keys()

    def capacity(self) -> Capacity:
        """How much goes on at once."""
        return Capacity(slots=slots_of(self.instance), pool_limit=pool_limit_of(self.instance))


def status_word(status: DagsterRunStatus) -> str:
    """A run's status as the API has it."""
    words = {
        DagsterRunStatus.QUEUED: "queued",
        DagsterRunStatus.NOT_STARTED: "queued",
        DagsterRunStatus.STARTING: "running",
        DagsterRunStatus.STARTED: "running",
        DagsterRunStatus.CANCELING: "cancelling",
        DagsterRunStatus.SUCCESS: "done",
        DagsterRunStatus.FAILURE: "failed",
        DagsterRunStatus.CANCELED: "cancelled",
    }
    return words.get(status, status.value.lower())


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
