"""Running a stage as a process of its own, and what it cost.  Shared by the benchmarks."""

import os
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end.

    Raises
    ------
    SystemExit
        If it fails.
    """
    began = time.monotonic()
    silence = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawnp(command[0], command, os.environ | environment, file_actions=silence)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def contimg(*arguments: object, **environment: str) -> Cost:
    """Run a ``contimg`` command."""
    return run([sys.executable, "-m", "contimg_assets.cli", *map(str, arguments)], environment)
