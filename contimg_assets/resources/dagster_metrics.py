"""What Dagster's instance says of its runs, sensors and daemons, as metrics of Prometheus.

Belongs here: reading the instance.  Does not belong here: what the station
knows (``station/metrics.py``).

A daemon that is dead leaves a sensor's state as it was, so times are told, not states.
"""

from collections.abc import Iterable, Iterator

from dagster import DagsterInstance, RunsFilter
from dagster._core.definitions.run_request import InstigatorType
from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contimg_assets.resources.dagster_runs import UNFINISHED
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.metrics import station_metrics

#: A daemon or sensor that has been silent for this long does not work, s.
SILENT_S = 180.0


class InstallationCollector(Collector):
    """Everything that is told of an installation, read when Prometheus asks.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    """

    def __init__(self, settings: Settings, instance: DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance

    def collect(self) -> Iterable[Metric]:
        """The present values."""
        yield from station_metrics(Installation(self.settings).engine, self.settings)
        yield from dagster_metrics(self.instance)


def dagster_metrics(instance: DagsterInstance) -> Iterator[Metric]:
    """Metrics of Dagster's part.

    Yields
    ------
    Metric
        Runs, slots, and when sensors and daemons last were at work.
    """
    yield from _runs(instance)
    yield _sensors(instance)
    beats = GaugeMetricFamily(
        "contimg_daemon_heartbeat_timestamp_seconds",
        "Last sign of life of each of Dagster's daemons, Unix time.",
        labels=["daemon"],
    )
    for name, status in sorted(instance.get_daemon_statuses().items()):
        if status.last_heartbeat is not None:
            beats.add_metric([name], status.last_heartbeat.timestamp)
    yield beats


def _runs(instance: DagsterInstance) -> Iterator[Metric]:
    family = GaugeMetricFamily("contimg_runs", "Dagster's unfinished runs by status.", labels=["status"])
    for status in UNFINISHED:
        family.add_metric([status.value.lower()], instance.get_runs_count(RunsFilter(statuses=[status])))
    yield family
    oldest = GaugeMetricFamily(
        "contimg_oldest_unfinished_run_timestamp_seconds",
        "When the oldest unfinished run was asked for, Unix time.",
    )
    records = instance.get_run_records(RunsFilter(statuses=UNFINISHED), limit=1, ascending=True)
    if records:
        oldest.add_metric([], records[0].create_timestamp.timestamp())
    yield oldest
    slots = GaugeMetricFamily("contimg_run_slots", "Runs that may go on at a time.")
    limit = instance.get_concurrency_config().run_queue_config
    if limit is not None and limit.max_concurrent_runs >= 0:
        slots.add_metric([], limit.max_concurrent_runs)
    yield slots


def _sensors(instance: DagsterInstance) -> Metric:
    family = GaugeMetricFamily(
        "contimg_sensor_tick_timestamp_seconds", "When a sensor last looked, Unix time.", labels=["sensor"]
    )
    for name, at in sorted(sensor_ticks(instance).items()):
        family.add_metric([name], at)
    return family


def sensor_ticks(instance: DagsterInstance) -> dict[str, float]:
    """When each sensor last looked, Unix time; those that never did are left out."""
    ticks: dict[str, float] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
            # A code location that was moved leaves states of its old place behind.
            ticks[state.instigator_name] = max(tick.timestamp, ticks.get(state.instigator_name, 0.0))
    return ticks
