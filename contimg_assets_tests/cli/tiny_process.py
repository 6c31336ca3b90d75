"""``contimg`` with stages that are real processes, one of which is slow: for tests that break it off.

``python -m contimg_assets_tests.cli.tiny_process STAGE process DIR``: the stage of that name takes as long
as nobody waits, the first time; every stage that begins is noted in ``home/calls.jsonl``.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext

from contimg_assets import definitions
from contimg_assets.cli import main
from contimg_assets.definitions import build_defs
from contimg_assets.settings import get_settings
from contimg_assets_tests.end_to_end.station.definitions import StationStages
from contimg_assets_tests.fake_stages import calls, only_one_calibrator

LONG_S = "3600"


class OneSlow(StationStages):
    """A real process a stage."""

    slow: str = ""

    def run(
        self, context: AssetExecutionContext, stage: Sequence[str], *arguments: str | Path
    ) -> dict[str, Any]:
        """Note the stage, then run it."""
        name = " ".join(stage)
        with (get_settings().home / "calls.jsonl").open("a") as handle:
            handle.write(json.dumps({"stage": name, "key": context.partition_key, "at": time.time()}) + "\n")
        first = [call["stage"] for call in calls()].count(name) == 1
        os.environ["TINY_STAGE_S"] = LONG_S if name == self.slow and first else "0"
        return super().run(context, stage, *arguments)


if __name__ == "__main__":
    only_one_calibrator(pytest.MonkeyPatch())
    overrides = {"stages": OneSlow(slow=sys.argv[1])}
    definitions.build_defs = lambda: build_defs(overrides)
    main(sys.argv[2:])
