"""Lets what happens and lasts become alarms, and starts the process that sends their messages.

Belongs here: when that is done.  Does not belong here: what an alarm is, and what is told
of it (``station/alarm_look.py``).
"""

import subprocess
import sys
import time

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from contimg_assets.resources.dagster_alarms import KINDS, dagster_conditions
from contimg_assets.sensors.requests import unusable
from contimg_assets.settings import get_settings
from contimg_assets.station.alarm_look import DIRECT_AGAIN, look
from contimg_assets.station.deliveries import due
from contimg_assets.station.installation import Installation


class Sender:
    """The process that sends what waits: one at a time, and nobody waits for it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._away: tuple[str, float] | None = None

    def start(self) -> None:
        """Start it, unless it is still at work."""
        if self.process is not None and self.process.poll() is None:
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "contimg_assets.cli", "notify", "send", "--waiting"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start_without_database(self, why: str) -> None:
        """Start it for what cannot be queued: once for each fault, and again while it lasts or was not sent.

        That is remembered here as well: where the home is full, the process cannot keep it.
        """
        sent = self.process is not None and self.process.poll() == 0
        known = self._away is not None and self._away[0] == why
        lately = self._away is not None and time.monotonic() - self._away[1] < DIRECT_AGAIN.total_seconds()
        if sent and known and lately:
            return
        self.start()
        self._away = (why, time.monotonic())

    def back(self) -> None:
        """The installation can be used again."""
        self._away = None


sender = Sender()


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Groups what failed by cause, looks for what is late, silent or full, and has people told, not too "
        "often; says so once when it is over."
    ),
)
def alarms(context: SensorEvaluationContext) -> SkipReason:
    settings = get_settings()
    away = unusable()
    if away is not None:
        sender.start_without_database(f"{away.kind} {away.subject}")
        return SkipReason("storage or database cannot be used: told without the database")
    sender.back()
    names = [each.name for each in context.repository_def.sensor_defs] if context.repository_def else []
    found = dagster_conditions(context.instance, names, settings.alarms.silent_minutes)
    station = Installation(settings)
    opened, cleared = look(station, found, KINDS)
    if due(station.engine):
        sender.start()
    return SkipReason(f"{len(opened)} alarms more, {len(cleared)} over")
