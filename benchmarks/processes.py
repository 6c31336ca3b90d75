"""Running a stage as a process of its own, and what it cost.  Shared by the benchmarks."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def below(root: int, parents: Mapping[int, int]) -> set[int]:
    """A process's children and theirs, of processes by their parents."""

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == root:
                return True
        return False

    return {pid for pid in parents if descends(pid)}


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
