"""Sends the traces of groups that were done to a collector, where one is named.

Belongs here: when, and what is done if the collector does not take them.  Does not belong here: what a trace
is (``station/group_traces.py``).
"""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from contimg_assets.radio.errors import StateError
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.sensors.requests import usable
from contimg_assets.settings import get_settings
from contimg_assets.station.group_traces import finished_since, newest_transition, trace_of
from contimg_assets.station.trace_export import export

#: Groups of one look: more than a station makes between two, and few enough for a tick.
_AT_ONCE = 50


@sensor(
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description="Sends the traces of groups that were done to the collector of the setting traces.endpoint.",
)
def group_traces(context: SensorEvaluationContext, database: DatabaseResource) -> SkipReason:
    endpoint = get_settings().traces.endpoint
    if endpoint is None or not usable():
        return SkipReason("no collector is named, or storage or database cannot be used")
    engine = database.records().engine
    if context.cursor is None:
        # What was done before is history.
        context.update_cursor(str(newest_transition(engine)))
        return SkipReason("begins with the next group")
    found = finished_since(engine, int(context.cursor), _AT_ONCE)
    if not found:
        return SkipReason("no group was done")
    try:
        export([trace_of(engine, key, number) for number, key in found], endpoint)
    except StateError as error:
        # The same are sent at the next look.
        return SkipReason(str(error))
    context.update_cursor(str(found[-1][0]))
    return SkipReason(f"traces of {len(found)} groups were sent")
