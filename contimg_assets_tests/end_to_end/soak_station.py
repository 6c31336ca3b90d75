"""The processes of a station for the soak test: ``python -m … sensor`` and ``python -m … worker``.

The real folder, catalogue, jobs and assets; only the stages behind the jobs are
small: the converting one reads every file through the real reader and writes
down which it read.  Both run until they are killed.
"""

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, DagsterInstance, Failure

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.uvh5 import check_data, read_header
from contimg_assets.resources.dagster_resources import CatalogResource, NotifierResource
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.settings import get_settings
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets_tests.fake_stages import BAND_HZ, GOOD

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CONTENT = "subbands.json"


class TinyStages(StageRunner):
    """Stages that read the files, and compute nothing."""

    def run(
        self,
        context: AssetExecutionContext,  # noqa: ARG002
        stage: Sequence[str],
        *arguments: str | Path,
    ) -> dict[str, Any]:
        """Make what the stage would."""
        name = " ".join(stage)
        output = Path(arguments[1])
        if name != "convert":
            output.mkdir(parents=True)
            return GOOD.get(name, {})
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


def sensor() -> None:
    """Look at the folder again and again, and hand the groups of dead workers back."""
    catalog, workers = CatalogResource().catalog(), CatalogResource().workers()
    folder = IncomingFolder(get_settings().incoming_folder, catalog, NotifierResource().notifier())
    while True:
        folder.look(time.time())
        for group in workers.dead():
            workers.died(group.key, group.owner, "no sign of life")
        time.sleep(0.2)


def worker() -> None:
    """Convert one pending group after the other, as a run that a sensor has asked for."""
    catalog = CatalogResource().catalog()
    job = build_defs({"stages": TinyStages()}).resolve_job_def("convert_group")
    with DagsterInstance.ephemeral() as instance:
        print("ready", flush=True)
        while True:
            for group in catalog.due("flags", "image", "in_progress"):
                if group.owner is None:
                    catalog.complete(group.key)  # in place of calibration and imaging
            pending = catalog.groups("pending")
            if not pending:
                time.sleep(0.2)
                continue
            key = random.choice(pending).key
            add_keys(instance, key, calibrator=False)
            job.execute_in_process(
                instance=instance,
                partition_key=key,
                raise_on_error=False,
                tags={"dagster/sensor_name": "incoming_groups"},
                run_config=QUIET,
            )


if __name__ == "__main__":
    {"sensor": sensor, "worker": worker}[sys.argv[1]]()
