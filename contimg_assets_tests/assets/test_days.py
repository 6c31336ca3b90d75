"""The sensor of sidereal days asks for the daily job once for what is due, and the job makes it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SensorResult, SkipReason
from dagster._core.test_utils import create_run_for_test

from contimg_assets.definitions import build_defs
from contimg_assets.jobs import CATCH_UP_PRIORITY
from contimg_assets.partitions import SIDEREAL_DAY, SKY_TILE
from contimg_assets.radio.sidereal_day import span
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors import days
from contimg_assets.sensors.days import days_due
from contimg_assets.settings import Settings
from contimg_assets.station.operations import DAY
from contimg_assets_tests.assets.test_sensors import tick
from contimg_assets_tests.station.survey_home import SurveyHome, small_home

DAYS = ["2026-01-30", "2026-01-31"]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def home(settings: Settings) -> SurveyHome:
    """Groups of two days, each measured and done."""
    made = small_home(DatabaseResource().records().engine, settings.home)
    for day in DAYS:
        for key in made.observe(day):
            made.records.begin(key, "run")
            made.records.complete(key)
    return made


class _Clock(datetime):
    """Says the time that a test says."""

    at = datetime(2026, 6, 1, tzinfo=UTC)

    @classmethod
    def now(cls, _zone: object = None) -> datetime:  # type: ignore[override]
        return cls.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[_Clock]:
    monkeypatch.setattr(days, "datetime", _Clock)
    monkeypatch.setattr(_Clock, "at", span(DAYS[1])[1] + timedelta(minutes=1))
    return _Clock


def asked(instance: DagsterInstance) -> RunRequest | None:
    """What one look asks for."""
    result = tick(days_due, instance)
    if isinstance(result, SkipReason):
        return None
    assert isinstance(result, SensorResult)
    (request,) = result.run_requests or []
    (added,) = list(result.dynamic_partitions_requests or [])
    assert list(added.partition_keys) == [request.partition_key]
    return request


def test_days_follow_one_another_and_are_asked_for_once(
    home: SurveyHome, instance: DagsterInstance, clock: type[_Clock]
) -> None:
    first = asked(instance)
    assert first is not None
    assert first.partition_key == DAYS[0]
    assert first.tags["dagster/priority"] == str(CATCH_UP_PRIORITY)
    # The same state of the day has the same key, for which Dagster starts one run; another day has another.
    again = asked(instance)
    assert again is not None
    assert again.run_key == first.run_key
    clock.at += timedelta(days=1)
    tomorrow = asked(instance)
    assert tomorrow is not None
    assert tomorrow.run_key != first.run_key
    home.measure(DAYS[0], home.days[DAYS[0]].groups[0])
    changed = asked(instance)
    assert changed is not None
    assert changed.run_key not in (first.run_key, tomorrow.run_key)
    # While a day is made no other is: both write files of the same tiles.
    for status in (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING):
        run = create_run_for_test(instance, job_name=DAY, status=status)
        assert asked(instance) is None
        instance.delete_run(run.run_id)
    assert asked(instance) is not None


@pytest.mark.usefixtures("clock")
def test_the_job_makes_what_was_asked_for_until_nothing_is_due(
    home: SurveyHome, instance: DagsterInstance
) -> None:
    definition = build_defs().resolve_job_def(DAY)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    made = []
    while (request := asked(instance)) is not None:
        day = str(request.partition_key)
        instance.add_dynamic_partitions(SIDEREAL_DAY, [day])
        assert definition.execute_in_process(
            instance=instance, partition_key=day, run_config=quiet, tags=dict(request.tags)
        ).success
        made.append(day)
        assert len(made) <= len(DAYS)
    assert made == DAYS
    # Tiles that were touched are known to Dagster.
    tiles = set(instance.get_dynamic_partitions(SKY_TILE))
    assert tiles == {path.name for path in home.store.products.glob("hp4-*")}
    # A group that is condemned later makes its day due again.
    home.condemn(home.days[DAYS[0]].groups[1])
    request = asked(instance)
    assert request is not None
    assert request.partition_key == DAYS[0]


@pytest.mark.usefixtures("home")
def test_nothing_is_asked_for_before_the_day_is_over(instance: DagsterInstance, clock: type[_Clock]) -> None:
    clock.at = span(DAYS[0])[1] - timedelta(seconds=1)
    assert asked(instance) is None
    clock.at = span(DAYS[0])[1] + timedelta(seconds=1)
    request = asked(instance)
    assert request is not None
    assert request.partition_key == DAYS[0]
