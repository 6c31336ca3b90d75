"""Two workers share a database and a home; one machine is lost at a moment of chance, ten times over."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import (
    Expected,
    content_of,
    leases_of,
    processes_of,
    times,
    watch_publications,
)
from contimg_assets_tests.end_to_end.station.conftest import QUICK_S
from contimg_assets_tests.end_to_end.station.services import (
    Station,
    lose_machine,
    session_of,
    station,
    wait_until,
)
from contimg_assets_tests.end_to_end.station.stream import LONG_S, check, completed, observe

pytestmark = pytest.mark.long
GROUPS = 24
#: A group of the lost machine is taken up again within this.
TAKEN_UP = timedelta(seconds=90)


@pytest.fixture
def sharing(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    with station(home, postgres_server, slots=2, dead_after_s=QUICK_S) as made:
        yield made
    assert processes_of(home) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_machine_is_lost_at_a_moment_of_chance(sharing: Station, seed: int) -> None:
    rng = random.Random(seed)
    keys = observe(sharing.incoming, GROUPS - 1)
    sharing.environment["TINY_STAGE_S"] = "0.5"
    records, store = DatabaseResource().records(), Store(sharing.home)
    watch_publications(records.engine)
    for name in ("one", "two"):
        # A scratch folder of each machine's own.
        scratch = sharing.home.parent / f"scratch-{name}"
        scratch.mkdir()
        sharing.environment["CONTIMG_SCRATCH"] = str(scratch)
        sharing.start_worker(name)
    sharing.environment.pop("CONTIMG_SCRATCH")
    sharing.start_daemon()
    # At any number of groups done, and any moment after that.
    n_done, later_s = rng.randrange(1, GROUPS - 4), rng.uniform(0.0, 10.0)
    wait_until(
        lambda: len(records.groups("completed")) >= n_done, LONG_S, f"{n_done} groups are not completed"
    )
    time.sleep(later_s)
    done = {group.key for group in records.groups("completed")}
    before = {
        name: when for name, when in times(store).items() if name.split("/")[1] in {slug(key) for key in done}
    }
    name = rng.choice(("one", "two"))
    doomed = sharing.processes[name]
    owners = {state.run for state in sharing.workers().states() if state.name.startswith(f"{name}@")}
    held = [key for key, owner in leases_of(records)() if owner in owners]
    lose_machine(doomed)
    killed_at = time.time()
    print(f"seed {seed}: {name} lost after {len(done)} groups, with {held or 'nothing'}", flush=True)
    # A killed process ends when the machine has a moment for it.
    time.sleep(1)
    assert session_of(doomed.pid) == []
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    for key in held:
        freed = [
            step.at.timestamp() - killed_at
            for step in records.transitions(key)
            if "no sign of life" in step.reason or "has ended" in step.reason
        ]
        print(f"seed {seed}: {key} was free again after {freed} s", flush=True)
        assert all(seconds < TAKEN_UP.total_seconds() for seconds in freed)
    undisturbed = content_of(store, max(done)) if done else {}
    check(sharing, Expected(keys, content=undisturbed, finished=before))
