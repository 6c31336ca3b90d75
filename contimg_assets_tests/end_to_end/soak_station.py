"""One worker of a station for the soak test: ``python -m … NAME [HANG]``.

It does what Dagster's daemon and a run worker do: it evaluates the real sensors
on an instance that it shares with the others, acts on what they return, and runs
what they ask for, through the real jobs, assets, leases and database.  Only the stages behind
the jobs are small: the converting one reads every file through the real reader and
writes down which it read.

In its first conversion it waits until its partner is in one too, so that both
work at once.  With HANG (the name of a stage) it then stops for ever in that stage.
It ends when the file ``stop`` is there and nothing is left to do.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from dagster import (
    AddDynamicPartitionsRequest,
    AssetExecutionContext,
    DagsterInstance,
    Failure,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorResult,
    build_sensor_context,
)

from contimg_assets.definitions import build_defs
from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.uvh5 import check_data, read_header
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.sensors.workers import dead_workers
from contimg_assets.settings import get_settings
from contimg_assets_tests.fake_stages import BAND_HZ, FakeStages

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CONTENT = "subbands.json"
SENSORS = (dead_workers, incoming_groups, calibrator_scans, images_due)
#: Tags by which Dagster's daemon knows what it has started.
SENSOR_TAG, RUN_KEY_TAG = "dagster/sensor_name", "dagster/run_key"


def sign(name: str) -> Path:
    """A file by which processes of the test tell one another how far they are."""
    return get_settings().home / "signs" / name


def wait_for_sign(name: str) -> None:
    """Wait for another process; the test ends this one if that never comes."""
    while not sign(name).exists():
        time.sleep(0.05)


class TinyStages(FakeStages):
    """Stages that read the files, and compute nothing."""

    name: str
    partner: str
    hang: str

    def run(
        self, context: AssetExecutionContext, stage: Sequence[str], *arguments: str | Path
    ) -> dict[str, Any]:
        """Make what the stage would."""
        step = " ".join(stage)
        if step == "convert" and self.partner:
            sign(f"{self.name} converts").touch()
            wait_for_sign(f"{self.partner} converts")
        if step == self.hang:
            sign(f"{self.name} hangs").write_text(context.partition_key)
            wait_for_sign("the end of the world")
        return self._convert(arguments) if step == "convert" else super().run(context, stage, *arguments)

    def _convert(self, arguments: Sequence[str | Path]) -> dict[str, Any]:
        *files, output = map(Path, arguments)
        output.mkdir()
        read = []
        try:
            for file in files:
                header = read_header(file)
                check_data(file, header)
                read.append(header.subband)
        except BadSubbandFileError as error:
            raise Failure(description=str(error), allow_retries=False) from error
        (output / CONTENT).write_text(json.dumps(sorted(read)))
        return {"writer": "tiny", "channel_low_hz": BAND_HZ[0], "channel_high_hz": BAND_HZ[1]}


def evaluate(sensor: SensorDefinition, instance: DagsterInstance) -> list[RunRequest]:
    """Evaluate a sensor, and do what the daemon does with its result; the runs that it asks for."""
    context = build_sensor_context(
        instance=instance,
        resources={"database": DatabaseResource(), "storage": StoreResource(), "alerts": NotifierResource()},
    )
    result = sensor(context)
    if not isinstance(result, SensorResult):
        return []
    for request in result.dynamic_partitions_requests or []:
        assert isinstance(request, AddDynamicPartitionsRequest)
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    for event in result.asset_events:
        instance.report_runless_asset_event(event)
    return [
        request
        for request in result.run_requests or []
        if not instance.get_runs(
            filters=RunsFilter(tags={SENSOR_TAG: sensor.name, RUN_KEY_TAG: str(request.run_key)})
        )
    ]


def work(stages: TinyStages, instance: DagsterInstance) -> None:
    """Evaluate the sensors and run one of the runs that they ask for, again and again."""
    defs = build_defs({"stages": stages})
    while True:
        last = sign("stop").exists()
        asked = [(sensor, request) for sensor in SENSORS for request in evaluate(sensor, instance)]
        if not asked and last:
            return
        if not asked:
            time.sleep(0.2)
            continue
        sensor, request = random.choice(asked)
        defs.resolve_job_def(str(request.job_name)).execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            raise_on_error=False,
            tags={**request.tags, SENSOR_TAG: sensor.name, RUN_KEY_TAG: str(request.run_key)},
            run_config=QUIET,
        )


def without_calibrators() -> None:
    """Let no group hold a calibrator: the night has its calibration."""
    module = ModuleType("contimg_assets.radio.calibration.calibrators")
    cast(Any, module).find_calibrator = lambda *_: None
    sys.modules[module.__name__] = module


def main(name: str, partner: str, hang: Iterable[str]) -> None:
    """Work until there is no more to do and the test says so."""
    without_calibrators()
    stages = TinyStages(name=name, partner=partner, hang=next(iter(hang), ""))
    with DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        work(stages, instance)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
