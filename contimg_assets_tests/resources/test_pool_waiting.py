"""A run that waits for a place in a pool sleeps, and takes the place soon after it is free."""

import threading
import time
from pathlib import Path

import pytest
from dagster import DagsterInstance, in_process_executor, job, op
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

from contimg_assets.resources.pool_waiting import LOOK_S, wait_quietly

#: The place is taken by somebody else for so long, s.
TAKEN_S = 3.0


@op(pool="imaging")
def in_pool() -> None:
    pass


@job(executor_def=in_process_executor)
def waits() -> None:
    in_pool()


@pytest.fixture
def instance(tmp_path: Path) -> DagsterInstance:
    made = DagsterInstance.local_temp(str(tmp_path))
    made.event_log_storage.set_concurrency_slots("imaging", 1)
    return made


def cpu_of_waiting(instance: DagsterInstance) -> float:
    """CPU time of a thread that runs the job while another run has the only place, s."""
    slots = instance.event_log_storage
    assert slots.claim_concurrency_slot("imaging", "another run", "its step").is_claimed
    freed = threading.Timer(TAKEN_S, lambda: slots.free_concurrency_slot_for_step("another run", "its step"))
    freed.start()
    before = time.thread_time()
    assert waits.execute_in_process(instance=instance).success
    freed.join()
    return time.thread_time() - before


def test_a_run_that_waits_sleeps(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Dagster's own way in the same test: should that be mended, this test says so."""
    name = "interval_to_next_pending_claim_check"
    monkeypatch.setattr(InstanceConcurrencyContext, name, lambda _: 0.0)
    turning = cpu_of_waiting(instance)
    wait_quietly()
    assert cpu_of_waiting(instance) < turning / 2


def test_a_place_is_asked_for_often(instance: DagsterInstance) -> None:
    """Also after many looks in vain, when Dagster would wait for fifteen seconds."""
    wait_quietly()
    run = instance.create_run_for_job(waits)
    with InstanceConcurrencyContext(instance, run) as context:
        slots = instance.event_log_storage
        assert slots.claim_concurrency_slot("imaging", "another run", "its step").is_claimed
        context._pending_claim_counts["in_pool"] = 100
        assert not context.claim("imaging", "in_pool")
        assert 0 < context.interval_to_next_pending_claim_check() <= LOOK_S
