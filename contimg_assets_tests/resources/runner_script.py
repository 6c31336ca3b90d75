"""A run in a process of its own, for tests that end it: ``python -m … STAGE``."""

import sys

from dagster import AssetExecutionContext, DagsterInstance, MaterializeResult, asset, materialize

from contimg_assets.resources import stage_runner
from contimg_assets.resources.stage_runner import StageRunner


@asset
def product(context: AssetExecutionContext, stages: StageRunner) -> MaterializeResult:
    """Whatever the stage makes."""
    stages.run(context, [sys.argv[1]])
    return MaterializeResult()


if __name__ == "__main__":
    stage_runner.ENTRY_MODULE = "contimg_assets_tests.resources.stage_script"
    stage_runner.LOADS = False
    with DagsterInstance.ephemeral() as instance:
        materialize([product], resources={"stages": StageRunner()}, instance=instance)
