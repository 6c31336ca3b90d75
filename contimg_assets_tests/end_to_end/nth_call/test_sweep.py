"""Killed or refused at any system call, an operation leaves the old product or the new one, and no litter.

By hand, for one operation and every so many points:

    python -m contimg_assets_tests.end_to_end.nth_call.sweep publish --every 10
"""

import json
import subprocess
import sys
from collections import Counter

import pytest

from contimg_assets_tests.end_to_end.nth_call.operations import OPERATIONS

#: Fewer would mean that something is not traced any more.
POINTS = 200


def sweep(*arguments: str) -> list[dict]:
    """Sweep in a process of its own, which forks; what it says of each point."""
    command = [sys.executable, "-m", "contimg_assets_tests.end_to_end.nth_call.sweep", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def demand(told: list[dict]) -> None:
    """Nothing is violated, and faults were met."""
    wrong = [
        f"{each['operation']}, {each['point']}: {'; '.join(each['wrong'])}" for each in told if each["wrong"]
    ]
    assert not wrong, "\n".join(wrong)
    kills = [each["met"] for each in told if each["point"].startswith("KILL")]
    assert kills
    assert all(kills), "a process lived through its own end: the point was not reached"


def test_some_points_of_publication_registration_and_tidying_up() -> None:
    """A step that meets all kinds of faults."""
    demand(sweep("publish", "calibration", "leftovers", "--every", "53"))


@pytest.mark.long
def test_every_point_of_every_operation() -> None:
    told = sweep()
    counts = Counter(each["operation"] for each in told)
    print(dict(counts), sum(counts.values()), "points")
    demand(told)
    assert counts.keys() == OPERATIONS.keys()
    assert sum(counts.values()) >= POINTS
