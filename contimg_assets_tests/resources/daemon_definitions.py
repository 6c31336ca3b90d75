"""A code location with one sensor, which notes when it is asked and by whom."""

import os
import time
from pathlib import Path

from dagster import DefaultSensorStatus, Definitions, SensorEvaluationContext, SkipReason, job, op, sensor

#: Time between two ticks, s.
INTERVAL_S = 5
TICKS = "ticks.txt"


@op
def nothing() -> None:
    pass


@job
def never() -> None:
    nothing()


@sensor(job=never, minimum_interval_seconds=INTERVAL_S, default_status=DefaultSensorStatus.RUNNING)
def noted(_context: SensorEvaluationContext) -> SkipReason:
    with (Path(os.environ["CONTIMG_HOME"]) / TICKS).open("a") as handle:
        handle.write(f"{time.time()}\n")
    return SkipReason("noted")


defs = Definitions(jobs=[never], sensors=[noted])
