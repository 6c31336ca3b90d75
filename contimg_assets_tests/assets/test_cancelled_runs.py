"""The group of a run that a person ended goes on, also where the run could not say so itself."""

from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, build_run_status_sensor_context

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import TERMINATED
from contimg_assets.sensors.alerts import cancelled_runs
from contimg_assets.settings import Settings
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import TARGET, FakeStages, only_one_calibrator, registration


@pytest.fixture
def records(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> StationRecords:
    only_one_calibrator(monkeypatch)
    settings.incoming_folder.mkdir()
    return DatabaseResource().records()


def cancel(
    home: Path, records: StationRecords, *, begun: bool, told: bool = False, taken: bool = False
) -> None:
    """A run that was ended, and what the sensor makes of it.

    Parameters
    ----------
    begun : bool
        The run had taken its group.
    told : bool
        The run has put its group back itself.
    taken : bool
        Another run has taken the group since.
    """
    records.register(registration(TARGET, home), ready=True)
    with DagsterInstance.ephemeral() as instance:
        add_keys(instance, TARGET, calibrator=False)
        job = build_defs({"stages": FakeStages()}).resolve_job_def("convert_group")
        run = instance.create_run_for_job(job, tags={"dagster/partition": TARGET})
        if begun:
            records.begin(TARGET, run.run_id)
        if told:
            DatabaseResource().interruptions().put_back(TARGET, run.run_id, "ended by the run", "interrupted")
            DatabaseResource().leases().release(run.run_id)
        instance.report_run_canceling(run)
        event = instance.report_run_canceled(run)
        assert event.event_type is DagsterEventType.RUN_CANCELED
        if taken:
            assert DatabaseResource().interruptions().give_back(TARGET, run.run_id, "by hand", "interrupted")
            records.begin(TARGET, "a later run")
        finished = instance.get_run_by_id(run.run_id)
        assert finished is not None
        cancelled_runs(
            build_run_status_sensor_context(
                sensor_name="cancelled_runs",
                dagster_event=event,
                dagster_instance=instance,
                dagster_run=finished,
                resources={"database": DatabaseResource()},
            )
        )


def test_the_group_of_a_run_that_could_not_say_so_is_pending_and_no_attempt_is_counted(
    home: Path, records: StationRecords
) -> None:
    cancel(home, records, begun=True)
    group = records.group(TARGET)
    assert (group.state, group.reason, group.retries) == ("pending", TERMINATED, 1)
    assert DatabaseResource().leases().held() == {}


def test_a_group_that_was_put_back_by_its_run_is_left_as_it_is(home: Path, records: StationRecords) -> None:
    cancel(home, records, begun=True, told=True)
    assert (records.group(TARGET).state, records.group(TARGET).reason) == ("pending", "ended by the run")


def test_a_group_that_another_run_has_taken_since_is_left_to_it(home: Path, records: StationRecords) -> None:
    cancel(home, records, begun=True, taken=True)
    assert records.group(TARGET).state == "in_progress"
    assert DatabaseResource().leases().held()[TARGET].owner == "a later run"


def test_a_run_that_was_ended_before_it_began_lets_its_group_be_asked_for_again(
    home: Path, records: StationRecords
) -> None:
    cancel(home, records, begun=False)
    group = records.group(TARGET)
    # Another run key: Dagster would not start the same one twice.
    assert (group.state, group.reason, group.retries) == ("pending", TERMINATED, 1)
