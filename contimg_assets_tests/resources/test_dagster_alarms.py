"""A daemon or a sensor that is silent is an alarm, by what Dagster's own instance keeps."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from contimg_assets.resources.dagster_alarms import dagster_conditions
from contimg_assets.station.alerts import PAGE

NAMES = ("incoming_groups", "dead_workers")
LIMIT_MIN = 30.0


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def beat(instance: DagsterInstance, minutes_ago: float, kind: str = "SENSOR") -> None:
    at = time.time() - 60 * minutes_ago
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, kind, str(uuid.uuid4()), []))


def look(
    instance: DagsterInstance,
    name: str,
    minutes_ago: float,
    status: InstigatorStatus = InstigatorStatus.RUNNING,
) -> None:
    """A sensor is on or off, and last looked then."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="x"), location_name="contimg")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    data = SensorInstigatorData(sensor_type=None)
    state = InstigatorState(origin, InstigatorType.SENSOR, status, data)
    instance.add_instigator_state(state)
    at = time.time() - 60 * minutes_ago
    instance.create_tick(
        TickData(
            instigator_origin_id=state.instigator_origin_id,
            instigator_name=name,
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED,
            timestamp=at,
            selector_id=state.selector_id,
        )
    )


def test_one_that_never_ran_or_is_at_work_is_no_alarm(instance: DagsterInstance) -> None:
    assert dagster_conditions(instance, NAMES, LIMIT_MIN) == []
    beat(instance, 0.5)
    look(instance, NAMES[0], 1)
    assert dagster_conditions(instance, NAMES, LIMIT_MIN) == []


def test_a_silent_daemon_is_one_alarm_that_wants_somebody_now(instance: DagsterInstance) -> None:
    beat(instance, 0.1)
    # One of its parts is enough, and the sensors that cannot look are no news.
    beat(instance, 10, "QUEUED_RUN_COORDINATOR")
    look(instance, NAMES[0], 600)
    (found,) = dagster_conditions(instance, NAMES, LIMIT_MIN)
    assert (found.kind, found.severity) == ("daemon_silent", PAGE)
    assert "10 min ago" in found.message


def test_a_silent_sensor_is_an_alarm_unless_it_was_switched_off_or_is_gone(instance: DagsterInstance) -> None:
    beat(instance, 0.1)
    look(instance, NAMES[0], LIMIT_MIN + 5)
    look(instance, NAMES[1], LIMIT_MIN + 5, InstigatorStatus.STOPPED)
    look(instance, "of_an_earlier_release", 10_000)
    (found,) = dagster_conditions(instance, NAMES, LIMIT_MIN)
    assert (found.kind, found.cause) == ("sensor_silent", NAMES[0])
    assert found.severity != PAGE
