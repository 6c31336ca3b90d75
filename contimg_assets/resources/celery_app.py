"""What a worker of a station runs: ``celery -A contimg_assets.resources.celery_app worker``.

Belongs here: Celery's settings and the commands that a worker answers.  Does
not belong here: how runs are handed over (Dagster's ``CeleryRunLauncher``, in
``deploy/celery/dagster.yaml``), or who asks workers (``workers.py``).

Dagster's own application (``dagster_celery.app``) reads a module
``dagster_celery_config`` if it happens to be importable, and takes RabbitMQ's
defaults in silence if not.  This one is of the package: with the installation
come its settings, and without an address it does not start.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from celery.worker.control import control_command, inspect_command
from celery.worker.state import active_requests
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task
from kombu.entity import Queue

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import get_settings
from contimg_assets.station.services import WORKER, announce

#: Variable with the address of the station's Redis.
URL_VARIABLE = "CONTIMG_REDIS_URL"
#: Queues: live groups, and those of a catch-up.  A worker takes from the first before the second.
QUEUES = ("live", "bulk")
DAY_S = 86_400

SETTINGS: dict[str, Any] = {
    "worker_concurrency": 1,
    # A worker takes a run when it is free, none in advance: it would wait there while another worker idles.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # A run that was taken is never handed out again by Redis: whether its worker lives, the lease says.
    "task_acks_late": False,
    "task_track_started": True,
    # A result that is gone reads as "unknown", for which Dagster fails the run: longer than any run.
    "result_expires": 7 * DAY_S,
    "result_backend_always_retry": True,
    # A fresh process after so many runs: libraries leak.
    "worker_max_tasks_per_child": 20,
    # A worker that lost its connection goes on with the run in hand, and tries for ever to come back.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        # In order, not in turn.
        "queue_order_strategy": "priority",
        # Between taking a run and beginning it lie milliseconds. What a worker took and never began (it was
        # killed just then) goes back into the queue after this long, s.
        "visibility_timeout": 300,
    },
    # Dagster writes its own logs of a run.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def make_celery(url: str) -> Celery:
    """Celery's application with the station's settings, for workers and for whoever asks them.

    Parameters
    ----------
    url : str
        Of Redis, ``redis://host:port/number``: both broker and keeper of results.
    """
    app = make_app()
    app.conf.update(SETTINGS, broker_url=url, result_backend=url)
    app.conf.task_queues = [Queue(name) for name in QUEUES]
    return app


def redis_url() -> str:
    """Address of the station's Redis.

    Raises
    ------
    MissingInputError
        If the environment does not give it.
    """
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise MissingInputError(f"{URL_VARIABLE} is not set: this home has no workers (see deploy/README.md)")
    return url


#: Queues that this worker no longer takes from, until it is resumed; in the order in which it did.
_drained: list[str] = []


@inspect_command(name="contimg_state")
def report_state(state: Any) -> dict[str, Any]:
    """What the worker takes from, and the runs in its hands."""
    return {
        "queues": [queue.name for queue in state.consumer.task_consumer.queues],
        "drained": bool(_drained),
        "tasks": [
            {"id": task.id, "since": task.time_start, "arguments": task.kwargs} for task in active_requests
        ],
    }


@control_command(name="contimg_drain")
def drain(state: Any) -> dict[str, Any]:
    """Take no more runs; the one in hand goes on."""
    for queue in [queue.name for queue in state.consumer.task_consumer.queues]:
        state.consumer.cancel_task_queue(queue)
        _drained.append(queue)
    return report_state(state)


@control_command(name="contimg_resume")
def resume(state: Any) -> dict[str, Any]:
    """Take runs again, from the queues that it took from before."""
    for queue in _drained:
        state.consumer.add_task_queue(queue)
    _drained.clear()
    return report_state(state)


@worker_ready.connect
def _say_version(**_: Any) -> None:
    """A worker goes on with the code and settings that it loaded: `contimg doctor` shows which."""
    announce(get_settings(), WORKER)


def __getattr__(name: str) -> Celery:
    # Made when `celery -A` asks for it, not when the module is imported: only a worker needs the address.
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = make_celery(redis_url())
    create_execute_job_task(app)
    create_resume_job_task(app)
    return app
