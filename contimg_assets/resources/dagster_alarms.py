"""What lasts and is an alarm, of what Dagster knows: a daemon or a sensor that is silent.

Belongs here: reading Dagster's instance.  Does not belong here: what the station database
tells (``station/alarm_rules.py``), or what is done about an alarm (``station/alarms.py``).
"""

import time
from collections.abc import Collection

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus

from contimg_assets.resources.dagster_metrics import SILENT_S, sensor_ticks
from contimg_assets.station.alarms import Condition
from contimg_assets.station.alerts import PAGE

DAEMON, SENSOR = KINDS = ("daemon_silent", "sensor_silent")


def dagster_conditions(
    instance: DagsterInstance, sensors: Collection[str], silent_minutes: float
) -> list[Condition]:
    """What of Dagster is silent.

    Parameters
    ----------
    instance : DagsterInstance
    sensors : collection of str
        Names of those that there are: states of others are left over from earlier releases.
    silent_minutes : float
        Time without a look from which a sensor is silent.
    """
    at = time.time()
    statuses = instance.get_daemon_statuses().values()
    beats = [each.last_heartbeat.timestamp for each in statuses if each.last_heartbeat is not None]
    silent_s = at - min(beats) if beats else 0.0
    if silent_s > SILENT_S:
        message = f"its last sign of life was {silent_s / 60:.0f} min ago; nothing begins by itself"
        # While it is silent all sensors are, which is no news.
        return [Condition(DAEMON, "", "daemon", message, PAGE)]
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    off = {each.instigator_name for each in states if each.status is InstigatorStatus.STOPPED}
    found = []
    for name, last in sorted(sensor_ticks(instance).items()):
        minutes = (at - last) / 60
        if name in sensors and name not in off and minutes > silent_minutes:
            message = f"it last looked {minutes:.0f} min ago; its page in Dagster tells why"
            found.append(Condition(SENSOR, name, name, message))
    return found
