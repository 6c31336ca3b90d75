"""The code location of the tests' station: everything real but the work of the stages.

Each stage is a process of its own, started, watched and ended as a real one; the small
files that it should have made are made after it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext

from contimg_assets.definitions import build_defs
from contimg_assets.resources import stage_runner
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets_tests.fake_stages import FakeStages, parsed

stage_runner.ENTRY_MODULE = "contimg_assets_tests.end_to_end.station.tiny_stage"
stage_runner.LOADS = False
#: Sensors look this often, s: minutes of waiting for ticks prove nothing.
TICK_S = 3


class StationStages(FakeStages):
    """A real process a stage, and then the files that it would have made."""

    def run(
        self, context: AssetExecutionContext, stage: Sequence[str], *arguments: str | Path
    ) -> dict[str, Any]:
        """Run the stage's process, then make its files."""
        timing = StageRunner.run(self, context, stage, *arguments)
        return {**timing, **self._make(" ".join(stage), context.partition_key, parsed(stage, arguments))}


defs = build_defs({"stages": StationStages()})
for _sensor in defs.sensors or ():
    _sensor._min_interval = TICK_S  # type: ignore[union-attr]
