"""A campaign of a hundred thousand groups under a daemon at work: it is steered at once, and gives way."""

import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from dagster import RunRecord, RunsFilter

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import CAMPAIGN_TAG, UNFINISHED
from contimg_assets_tests.end_to_end.station.services import REPOSITORY, Station, wait_until
from contimg_assets_tests.end_to_end.station.stream import LONG_S, completed, drop, observe
from contimg_assets_tests.station.test_campaigns import many

pytestmark = pytest.mark.long
GROUPS, REAL = 100_000, 4
#: What a command may take of a processor, s: the time that it takes on a machine with nothing else to do.
COMMAND_S = 2.0
#: In which the engine looks twice whether a slot is free, on a machine that is busy with much else, s.
LOOKS_S = 15.0


def command(made: Station, *arguments: str) -> str:
    """Run a command of the station's; what it printed. It says what it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "contimg_assets.cli", *arguments],
        env={**os.environ, **made.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = f"contimg {' '.join(arguments[:2])}: {time.monotonic() - began:.2f} s, CPU {cpu_s:.2f} s"
    print(f"{told}, load {os.getloadavg()[0]:.1f}", flush=True)
    if arguments[0] == "campaign":
        assert cpu_s < COMMAND_S
    return done.stdout


def records_of(made: Station, tags: dict[str, str]) -> list[RunRecord]:
    """Runs with some tags, and when they were asked for, started and ended."""
    with made.instance() as instance:
        return list(instance.get_run_records(RunsFilter(tags=tags)))


def started(made: Station, tags: dict[str, str]) -> list[RunRecord]:
    """Those of them that have started."""
    return [record for record in records_of(made, tags) if record.start_time is not None]


def test_a_live_group_overtakes_a_campaign_of_a_hundred_thousand(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, REAL - 1)
    two_slots.environment["TINY_STAGE_S"] = "1"
    for name in ("one", "two"):
        two_slots.start_worker(name)
    two_slots.start_daemon()
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    many(DatabaseResource().records().engine, GROUPS)
    command(two_slots, "reprocess", "--until", "2026-06-01", "--all", "--name", "everything")
    campaign = {CAMPAIGN_TAG: "everything"}
    wait_until(lambda: len(started(two_slots, campaign)) >= 2, LONG_S, "the campaign does not begin")
    for what in ("show", "pause", "resume"):
        assert "everything" in command(two_slots, "campaign", what, "everything")
    live = drop(two_slots.incoming, datetime.now(UTC))
    tags = {PARTITION_TAG: live}
    wait_until(lambda: started(two_slots, tags), LONG_S, "the live group is not started")
    (first,) = started(two_slots, tags)[-1:]
    command(two_slots, "campaign", "cancel", "everything")
    wait_until(
        lambda: not [r for r in records_of(two_slots, campaign) if r.dagster_run.status in UNFINISHED],
        LONG_S,
        "the campaign's runs do not end",
    )
    asked, began = first.create_timestamp.timestamp(), first.start_time or 0.0
    runs = [record for record in started(two_slots, campaign) if record.end_time is not None]
    longest = max((run.end_time or 0.0) - (run.start_time or 0.0) for run in runs)
    between = [run for run in runs if asked < (run.start_time or 0.0) < began]
    print(
        f"the live group waited {began - asked:.1f} s for its run, while {len(between)} of the campaign's "
        f"started; the longest of those took {longest:.1f} s, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    # One may have been chosen for a slot just before.
    assert len(between) <= two_slots.slots
    assert began - asked <= longest + LOOKS_S
