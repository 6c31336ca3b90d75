"""The workers of a station: who there is, what each does, and which runs none of them will ever begin.

Belongs here: asking workers and Redis through Celery's control interface.
Does not belong here: what a worker answers (``celery_app.py``), or what becomes
of a group whose worker died (``station/leases.py``, ``sensors/workers.py``).
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from contimg_assets.radio.errors import StateError
from contimg_assets.resources.celery_app import QUEUES, make_celery, redis_url

#: Time that workers have to answer, s.
ANSWER_S = 3.0
#: Runs that nobody seems to have are looked for again after this long, s: longer than the launcher waits
#: between two attempts to hand a run over.
SECOND_LOOK_S = 10.0


@dataclass(frozen=True)
class WorkerState:
    """One worker, as it answered."""

    name: str
    """Such as ``contimg-1@host``."""
    host: str
    queues: list[str]
    """That it takes from, first first; none while it is drained."""
    drained: bool
    run: str | None
    """Dagster's run in hand."""
    task: str | None
    """Celery's task of that run."""
    since: datetime | None
    """When it took that run, by its own clock."""


class StationWorkers:
    """All workers of one Redis.

    Parameters
    ----------
    app : Celery
        From :func:`control_app`.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app

    def states(self) -> list[WorkerState]:
        """Every worker that answers, by name.

        Raises
        ------
        StateError
            If Redis does not answer.
        """
        return sorted(self._ask("contimg_state", None), key=lambda state: state.name)

    def drain(self, name: str) -> WorkerState:
        """Let a worker take no more runs; the one in hand goes on to its end.

        Parameters
        ----------
        name : str
            As shown, or what of it stands before the ``@`` if only one is called so.

        Returns
        -------
        WorkerState
            After that.

        Raises
        ------
        StateError
            If Redis or the worker does not answer.
        """
        return self._tell("contimg_drain", name)

    def resume(self, name: str) -> WorkerState:
        """Let a drained worker take runs again; see :meth:`drain`."""
        return self._tell("contimg_resume", name)

    def held(self, queues: Iterable[str] = QUEUES) -> set[str]:
        """Tasks that wait in Redis, or that a worker has.

        Parameters
        ----------
        queues : iterable of str
            Where to look for those that wait.
        """
        # Those that wait before those in hand: a task that moves in between is seen.
        with _plainly(self.app):
            waiting = set(self._waiting(queues))
        return waiting | {state.task for state in self.states() if state.task is not None}

    def _waiting(self, queues: Iterable[str]) -> Iterator[str]:
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            for queue in queues:
                for priority in channel.priority_steps:
                    for message in channel.client.lrange(channel._q_for_pri(queue, priority), 0, -1):
                        yield json.loads(message)["headers"]["id"]
            # Taken by a worker that has not begun: Redis hands it out again if that worker is gone.
            for message in channel.client.hvals(channel.unacked_key):
                yield json.loads(message)[0]["headers"]["id"]

    def _tell(self, command: str, name: str) -> WorkerState:
        known = [state.name for state in self.states()]
        meant = [full for full in known if name in (full, full.partition("@")[0])]
        if len(meant) != 1:
            there = ", ".join(known) or "none"
            raise StateError(f"{len(meant)} workers called {name} answer; there are: {there}")
        answers = self._ask(command, meant)
        if not answers:
            raise StateError(f"worker {meant[0]} does not answer any more")
        return answers[0]

    def _ask(self, command: str, names: list[str] | None) -> list[WorkerState]:
        with _plainly(self.app):
            replies = self.app.control.broadcast(command, destination=names, reply=True, timeout=ANSWER_S)
        return [_state(name, answer) for reply in replies or [] for name, answer in reply.items()]


def control_app() -> Celery:
    """Celery's application for asking: unlike a worker it gives up soon when Redis is away.

    Raises
    ------
    MissingInputError
        If the environment does not say where Redis is.
    """
    app = make_celery(redis_url())
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        **{"max_retries": 1, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 0.5},
    }
    return app


@contextmanager
def _plainly(app: Celery) -> Iterator[None]:
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        where = app.connection_for_read().as_uri()
        raise StateError(f"Redis at {where} does not answer: {error}") from error


def _state(name: str, answer: dict[str, Any]) -> WorkerState:
    if "error" in answer:
        raise StateError(f"worker {name}: {answer['error']}: is it of another version?")
    task = next(iter(answer["tasks"]), None)
    arguments = next(iter(task["arguments"].values()), {}) if task else {}
    return WorkerState(
        name=name,
        host=name.partition("@")[2],
        queues=answer["queues"],
        drained=answer["drained"],
        # Dagster packs it by its old name.
        run=arguments.get("pipeline_run_id"),
        task=task["id"] if task else None,
        since=datetime.fromtimestamp(task["since"], UTC) if task and task["since"] else None,
    )


def lost_runs(
    instance: DagsterInstance, workers: StationWorkers, owners: set[str], older_than_s: float
) -> list[DagsterRun]:
    """Runs that were handed over and that nobody has: neither Redis nor a worker.

    A worker that is killed while it works is found by its group's lease.  This is
    what no lease can tell: it was killed between taking a run and taking the
    group, or the run never reached Redis.  Celery and Dagster would call it
    started for ever.

    Parameters
    ----------
    instance : DagsterInstance
        With Dagster's ``CeleryRunLauncher``.
    workers : StationWorkers
        Who may have them.
    owners : set of str
        Runs that hold a group: their lease tells of them.
    older_than_s : float
        A run that has changed within this time is left alone, s.

    Returns
    -------
    list of DagsterRun
        Those of them that were not there in two looks.

    Raises
    ------
    StateError
        If Redis does not answer: nothing can be said then.
    """
    missing = _missing(instance, workers, owners, older_than_s)
    if not missing:
        return []
    time.sleep(SECOND_LOOK_S)
    again = _missing(instance, workers, owners, older_than_s)
    return [run for run_id, run in again.items() if run_id in missing]


def _missing(
    instance: DagsterInstance, workers: StationWorkers, owners: set[str], older_than_s: float
) -> dict[str, DagsterRun]:
    begun = RunsFilter(
        statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED],
        updated_before=datetime.fromtimestamp(time.time() - older_than_s, UTC),
    )
    runs = [run for run in instance.get_runs(begun) if run.run_id not in owners]
    if not runs:
        return {}
    queues = {
        *QUEUES,
        *(run.tags[DAGSTER_CELERY_QUEUE_TAG] for run in runs if DAGSTER_CELERY_QUEUE_TAG in run.tags),
    }
    held = workers.held(queues)
    return {run.run_id: run for run in runs if run.tags.get(DAGSTER_CELERY_TASK_ID_TAG) not in held}
