"""A station under faults: machines lost, Redis lost, many runs at once.  Minutes long: ``make test-long``."""

import os
import signal
import time
from datetime import timedelta

import pytest

from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.workers import WorkerState
from contimg_assets.station.store import Store
from contimg_assets_tests.end_to_end.station.checker import (
    Expected,
    content_of,
    is_stage,
    leases_of,
    processes_of,
    times,
)
from contimg_assets_tests.end_to_end.station.conftest import QUICK_S
from contimg_assets_tests.end_to_end.station.services import (
    Station,
    children_of,
    command_of,
    lose_machine,
    session_of,
    wait_until,
)
from contimg_assets_tests.end_to_end.station.stream import LONG_S, check, completed, observe

pytestmark = pytest.mark.long
#: A group of a lost machine is taken up again within this: as long as a lease may be silent, a tick, and a
#: machine that is busy with much else.
TAKEN_UP = timedelta(seconds=90)


def with_a_run(made: Station, name: str) -> WorkerState:
    """Wait until a worker has a run whose group it holds, and a stage at work; what it has."""
    records = DatabaseResource().records()
    found: list[WorkerState] = []

    def at_work() -> bool:
        owners = {owner for _, owner in leases_of(records)()}
        states = [state for state in made.workers().states() if state.name.startswith(f"{name}@")]
        found[:] = [state for state in states if state.run in owners]
        return bool(found) and any(is_stage(told) for told in processes_of(made.home))

    wait_until(at_work, LONG_S, f"worker {name} got no run")
    return found[0]


def test_two_workers_make_every_group_once(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 4)
    for name in ("one", "two"):
        two_slots.start_worker(name)
    two_slots.start_daemon()
    at_work: set[str] = set()

    def done() -> bool:
        at_work.update(state.name for state in two_slots.workers().states() if state.run)
        return completed(keys)

    wait_until(done, LONG_S, "not every group is completed")
    assert len(at_work) == 2, "one worker did everything: nothing was shown"
    check(two_slots, Expected(keys))


def test_a_machine_is_lost_in_the_middle_of_a_run(quick_to_bury: Station) -> None:
    keys = observe(quick_to_bury.incoming, 3)
    # Long enough to be hit.
    quick_to_bury.environment["TINY_STAGE_S"] = "3"
    doomed = quick_to_bury.start_worker("one")
    quick_to_bury.start_worker("two")
    quick_to_bury.start_daemon()
    held = with_a_run(quick_to_bury, "one")
    records = DatabaseResource().records()
    (key,) = [group for group, owner in leases_of(records)() if owner == held.run]
    # Another run may be just publishing.
    done = {slug(group.key) for group in records.groups("completed")}
    finished = {
        name: when for name, when in times(Store(quick_to_bury.home)).items() if name.split("/")[1] in done
    }
    lost = session_of(doomed.pid)
    assert len(lost) > 3, "worker, its child, and a stage with its program are a machine's at least"
    lose_machine(doomed)
    killed_at = time.time()
    time.sleep(1)
    assert session_of(doomed.pid) == []
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    (freed,) = [step for step in records.transitions(key) if "no sign of life" in step.reason]
    assert freed.at.timestamp() - killed_at < TAKEN_UP.total_seconds()
    check(quick_to_bury, Expected(keys, finished=finished))


def test_redis_is_killed_and_comes_back(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 3)
    two_slots.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        two_slots.start_worker(name)
    two_slots.start_daemon()
    with_a_run(two_slots, "one")
    two_slots.kill("redis")
    # The runs in hand end meanwhile, and others would be handed over.
    time.sleep(20)
    two_slots.start_redis()
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    records = DatabaseResource().records()
    for key in keys:
        steps = [step.to_state for step in records.transitions(key)]
        assert steps.count("pending") == 1, f"group {key} went back: {' > '.join(steps)}"
    check(two_slots, Expected(keys))


def test_the_process_of_a_run_is_killed(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 2)
    two_slots.environment["TINY_STAGE_S"] = "5"
    worker = two_slots.start_worker("one")
    two_slots.start_daemon()
    held = with_a_run(two_slots, "one")
    records = DatabaseResource().records()
    (key,) = [group for group, owner in leases_of(records)() if owner == held.run]
    (run,) = children_of(worker.pid)
    stages = [pid for pid in session_of(worker.pid) if is_stage(command_of(pid))]
    os.kill(run, signal.SIGKILL)
    time.sleep(1)
    assert [pid for pid in stages if is_stage(command_of(pid))] == []
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    assert [step.to_state for step in records.transitions(key)].count("pending") == 2
    check(two_slots, Expected(keys))


def test_daemon_and_code_server_are_killed_and_started_again(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 3)
    two_slots.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        two_slots.start_worker(name)
    two_slots.start_daemon()
    with_a_run(two_slots, "one")
    two_slots.kill("daemon")
    two_slots.kill("code")
    two_slots.start_code_server()
    two_slots.start_daemon()
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    # Runs are no children of either: none was ended. One that was just being handed over may have been lost.
    records = DatabaseResource().records()
    reasons = [
        step.reason for key in keys for step in records.transitions(key) if step.from_state == "in_progress"
    ]
    back = [reason for reason in reasons if "attempt" in reason]
    assert [reason for reason in back if "neither Redis nor a worker has it" not in reason] == []
    check(two_slots, Expected(keys))


def test_a_worker_is_paused_for_longer_than_its_lease(quick_to_bury: Station) -> None:
    keys = observe(quick_to_bury.incoming, 3)
    quick_to_bury.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        quick_to_bury.start_worker(name)
    quick_to_bury.start_daemon()
    with_a_run(quick_to_bury, "one")
    # It is not dead: its group is taken from it, and its run must publish nothing when it goes on.
    stopped = session_of(quick_to_bury.processes["one"].pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2 * QUICK_S)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(quick_to_bury, Expected(keys))


def test_eight_runs_at_once_need_ten_connections(eight_slots: Station) -> None:
    keys = observe(eight_slots.incoming, 9)
    eight_slots.environment["TINY_STAGE_S"] = "5"
    eight_slots.start_worker("one", runs=8)
    eight_slots.start_daemon()
    most_runs = most_connections = 0

    def done() -> bool:
        nonlocal most_runs, most_connections
        most_connections = max(most_connections, eight_slots.connections())
        most_runs = max(most_runs, len(leases_of(DatabaseResource().records())()))
        return completed(keys)

    wait_until(done, LONG_S, "not every group is completed")
    print(f"{most_connections} connections at most, {most_runs} runs at once", flush=True)
    assert most_runs == 8
    assert most_connections <= 10
    check(eight_slots, Expected(keys))
    store = Store(eight_slots.home)
    assert {len(content_of(store, key)) for key in keys} == {3}
