"""A station under faults without a pause: ``make test-long``, or by hand for as long as one likes.

pytest -m long contimg_assets_tests/end_to_end/station/test_nemesis.py --seed 7 --minutes 30
"""

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import (
    Expected,
    content_of,
    processes_of,
    times,
    watch_publications,
)
from contimg_assets_tests.end_to_end.station.nemesis import Nemesis, room, schedule
from contimg_assets_tests.end_to_end.station.services import Station, station, wait_until
from contimg_assets_tests.end_to_end.station.stream import (
    LENGTH,
    LONG_S,
    SCAN,
    TARGETS,
    check,
    completed,
    drop,
    states,
)

pytestmark = pytest.mark.long
#: Groups at work at a time; a new one comes when one is done.
AT_WORK = 3
#: After the last fault everything is done within this, s.
PATIENCE_S = LONG_S
#: A worker without a sign of life for so long is dead, s: more than a fault lasts.
DEAD_AFTER_S = 15.0
HOME_MIB = 96


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """The home on a file system of its own that can be filled, where this user may mount one."""
    if not room(home):
        print("not root: no file system of its own, so the disk is never full")
        yield home
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={HOME_MIB}m", "tmpfs", str(home)], check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


@pytest.fixture
def hunted(small_disk: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    with station(small_disk, postgres_server, slots=2, dead_after_s=DEAD_AFTER_S) as made:
        # As often as faults come: a group that is given up shows nothing of what comes after.
        made.environment["CONTIMG_INGEST__ATTEMPTS"] = "1000"
        # One scan for all: half an hour makes more than twelve hours of groups.
        made.environment["CONTIMG_CALIBRATION__VALIDITY_HOURS"] = "36"
        yield made
    assert processes_of(small_disk) == []


def test_nothing_is_lost_and_nothing_is_made_twice(hunted: Station, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("seed") or random.randrange(1 << 30)
    minutes = float(request.config.getoption("minutes") or 0.0)
    print(f"nemesis: --seed {seed} --minutes {minutes}", flush=True)
    hunted.environment["TINY_STAGE_S"] = "1"
    nemesis = Nemesis(hunted)
    nemesis.start_workers()
    hunted.start_daemon()
    keys = {drop(hunted.incoming, SCAN), drop(hunted.incoming, TARGETS)}
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed before the first fault")
    records, store = DatabaseResource().records(), Store(hunted.home)
    watch_publications(records.engine)
    undisturbed, finished = content_of(store, max(keys)), times(store)
    nemesis.began = time.monotonic()
    n_faults = 0
    for fault in schedule(seed):
        if time.monotonic() - nemesis.began > 60 * minutes:
            break
        busy = [key for key, state in states().items() if state not in ("completed", "failed")]
        if len(busy) < AT_WORK and len(keys - states().keys()) < AT_WORK:
            keys.add(drop(hunted.incoming, TARGETS + (len(keys) - 1) * LENGTH))
        n_faults += nemesis.do(fault)
        time.sleep(fault.rest_s)
    print(f"{n_faults} faults over {len(keys)} groups", flush=True)
    wait_until(
        lambda: states().keys() == keys and set(states().values()) <= {"completed", "failed"},
        PATIENCE_S,
        f"not every group is done: {states()}",
    )
    failed = [group for group in records.groups("failed")]
    for group in failed:
        print(f"{group.key} failed: {group.reason}", flush=True)
        assert group.reason, f"group {group.key} failed without a reason"
        # What a person does then.
        records.reopen(group.key, "tried again after the faults")
    wait_until(
        lambda: states() == dict.fromkeys(keys, "completed"),
        PATIENCE_S,
        f"what had failed does not become well: {states()}",
    )
    check(hunted, Expected(keys, content=undisturbed, finished=finished))
