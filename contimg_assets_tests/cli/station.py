"""A home and a folder of files for tests of the command line, and how its commands are called."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from contimg_assets.cli import calibration, history, operations, status
from contimg_assets.resources.instance import instance_configuration
from contimg_assets_tests.radio.subband_files import write_group

COMMANDS = {
    command.name: command
    for command in [*operations.commands, *status.commands, *calibration.commands, *history.commands]
}
NO_COMPUTE_LOGS = """
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def make_data(home: Path, *, target: bool) -> Path:
    """A folder with a calibrator scan, and perhaps a target that comes before it."""
    # Capturing each step's output takes several processes; these tests are of other things.
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text(instance_configuration() + NO_COMPUTE_LOGS)
    folder = home.parent / "data"
    folder.mkdir()
    if target:
        write_group(folder, jitter_s=25)
    write_group(folder, datetime(2026, 1, 15, 5, tzinfo=UTC))
    return folder


def contimg(name: str, *arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(COMMANDS[name], [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {group["group"]: group["status"] for group in report["groups"]}
