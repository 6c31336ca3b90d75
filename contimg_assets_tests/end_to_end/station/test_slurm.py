"""Workers on two nodes of a Slurm cluster, as pilots: drained by their walltime, lost with their node."""

import re
from collections.abc import Iterator

import pytest

from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets_tests.end_to_end.station.checker import Expected, leases_of
from contimg_assets_tests.end_to_end.station.services import Station, wait_until
from contimg_assets_tests.end_to_end.station.slurm import Cluster, cluster
from contimg_assets_tests.end_to_end.station.stream import LONG_S, check, completed, observe

pytestmark = pytest.mark.long


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """Two nodes; ask for the station before them, so that it outlives them."""
    with cluster() as made:
        yield made


def runs_of(nodes: Cluster, job: str) -> int:
    """Runs that a pilot has ended well."""
    return len(re.findall(r"Task execute_job\[.*\] succeeded in", nodes.log(job)))


def test_a_pilot_drains_before_its_walltime_and_the_other_goes_on(two_slots: Station, nodes: Cluster) -> None:
    two_slots.environment["TINY_STAGE_S"] = "2"
    keys = observe(two_slots.incoming, 11)
    two_slots.start_daemon()
    long = nodes.submit(two_slots, "n2", minutes=60, drain_s=60)
    wait_until(lambda: runs_of(nodes, long) > 0, LONG_S, "the first pilot makes nothing")
    # Slurm may send the signal a minute early: two to three minutes after the start.
    short = nodes.submit(two_slots, "n1", minutes=4, drain_s=60)
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    wait_until(
        lambda: nodes.job(short).get("JobState") not in (None, "RUNNING", "COMPLETING"),
        LONG_S,
        "the pilot does not end",
    )
    ended = nodes.job(short)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("COMPLETED", "0:0", "0")
    assert "draining before the walltime" in nodes.log(short)
    assert runs_of(nodes, short) > 0
    assert runs_of(nodes, long) > 0
    assert nodes.job(long)["JobState"] == "RUNNING"
    # No run was cut short: no group went back.
    records = DatabaseResource().records()
    assert {[step.to_state for step in records.transitions(key)].count("pending") for key in keys} == {1}
    check(two_slots, Expected(keys))


def test_a_node_is_lost_and_the_controller_restarted(quick_to_bury: Station, nodes: Cluster) -> None:
    quick_to_bury.environment["TINY_STAGE_S"] = "2"
    keys = observe(quick_to_bury.incoming, 5)
    quick_to_bury.start_daemon()
    doomed = nodes.submit(quick_to_bury, "n1", minutes=60, drain_s=60)
    other = nodes.submit(quick_to_bury, "n2", minutes=60, drain_s=60)
    records = DatabaseResource().records()

    def both_hold_a_group() -> bool:
        owners = {owner for _, owner in leases_of(records)()}
        holders = {state.name for state in quick_to_bury.workers().states() if state.run in owners}
        return {name.partition("@")[0] for name in holders} == {f"slurm-{doomed}", f"slurm-{other}"}

    wait_until(both_hold_a_group, LONG_S, "the pilots got no runs")
    nodes.lose("n1", doomed)
    nodes.kill_controller()
    nodes.start_controller()
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    gone = [step for key in keys for step in records.transitions(key) if "no sign of life" in step.reason]
    assert len(gone) == 1
    assert nodes.job(other)["JobState"] == "RUNNING"
    check(quick_to_bury, Expected(keys))
