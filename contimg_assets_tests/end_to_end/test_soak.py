"""A night of groups with all that goes wrong: nothing is lost, nothing is made twice.

Real files, database, sensors, leases, jobs and worker processes, which work two at a
time; two are killed with SIGKILL, one in the middle of a conversion and one between a
publication and the end of its run.  See ``soak_station.py``.

Nothing depends on how fast the machine is: processes wait for one another's signs, and
files only come while nobody looks, or while whoever looks waits for them for a day.

The default run has the same engine with real services instead (``station/test_smoke.py``).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import group_key
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.soak_station import CONTENT, sign
from contimg_assets_tests.fake_stages import solutions, write_tables
from contimg_assets_tests.radio.subband_files import START, contents, file_name, first_time_jd, write

pytestmark = pytest.mark.long
REPOSITORY = Path(__file__).parent.parent.parent
GROUP = timedelta(seconds=24 * telescope.INTEGRATION_S)
#: Shares of the files.
LATE, DUPLICATED, TRUNCATED, FOREIGN = 0.05, 0.02, 0.02, 0.01
JITTER_S = 60
#: Only a worker that never comes to its end makes the test wait so long, s.
PATIENCE_S = 3600.0
DAY_S = 86400.0
Worker = subprocess.Popen[bytes]
#: Dagster's storage for several processes at once; no compute logs, whose capture takes processes of its own.
INSTANCE = """
telemetry: {{enabled: false}}
storage: {{postgres: {{postgres_url: "{url}"}}}}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


@dataclass
class Plan:
    """What is dropped when, and what must come of it."""

    waves: tuple[list[Path], list[Path], list[Path]] = field(default_factory=lambda: ([], [], []))
    """Files (in a folder aside): at once; soon; when every group is done."""
    subbands: dict[str, set[int]] = field(default_factory=dict)
    """Of each group, the subbands that it must be made of; none if it must fail."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """What must become of each file, by name."""


def plan_night(folder: Path, n_groups: int, rng: random.Random) -> Plan:
    """Write the files of a night into ``folder``, and say what must come of them."""
    plan = Plan()
    for number in range(n_groups):
        start = START + number * GROUP
        stamps = rng.sample(range(-JITTER_S, JITTER_S + 1), telescope.N_SUBBANDS + 1)
        key = group_key(first_time_jd(start), telescope.INTEGRATION_S)
        in_time: dict[int, str] = {}
        late: dict[int, str] = {}
        # One group in forty never gets enough files, another one only afterwards.
        n_there = {7: 5, 23: 11}.get(number % 40, telescope.N_SUBBANDS)
        for k in rng.sample(range(telescope.N_SUBBANDS), telescope.N_SUBBANDS):
            path = folder / file_name(k, start + timedelta(seconds=stamps[k]))
            if n_there <= len(in_time) and n_there == 5:
                continue
            write(path, contents(k, start=start, n_times=24, order=(30, 4)))
            if n_there <= len(in_time):
                plan.waves[2].append(path)
                late[k] = path.name
                continue
            # The first two come whole and at once: for the two workers that are killed.
            draw = rng.random() if number > 1 else 1.0
            if draw < LATE / 2:
                plan.waves[2].append(path)
                late[k] = path.name
                continue
            plan.waves[1 if draw < LATE else 0].append(path)
            if draw < LATE + TRUNCATED:
                if draw >= LATE:
                    os.truncate(path, rng.randrange(path.stat().st_size))
                    plan.outcomes[path.name] = "refused"
                    continue
            elif draw < LATE + TRUNCATED + DUPLICATED:
                same = draw < LATE + TRUNCATED + DUPLICATED / 2
                twin = folder / file_name(k, start + timedelta(seconds=stamps[-1] + 61))
                write(twin, contents(k, start=start, n_times=24, order=(30, 4), seed=0 if same else 1))
                plan.waves[0].append(twin)
                first, second = sorted((path.name, twin.name))
                plan.outcomes |= {first: "used", second: "duplicate"} if same else {}
                if not same:
                    plan.outcomes |= {path.name: "refused", twin.name: "refused"}
                    continue
            in_time[k] = path.name
        enough = len(in_time) >= telescope.MIN_SUBBANDS
        # Files of a group that was made are late for ever; one that failed for lack of them takes them.
        used = in_time if enough else in_time | late
        plan.outcomes |= dict.fromkeys(late.values(), "late" if enough else "used")
        plan.outcomes |= {name: plan.outcomes.get(name, "used") for name in in_time.values()}
        plan.subbands[key] = set(used) if len(used) >= telescope.MIN_SUBBANDS else set()
    for number in range(round(FOREIGN * telescope.N_SUBBANDS * n_groups) + 1):
        stem = file_name(number % 16, START + timedelta(seconds=number))
        name = rng.choice(
            [f".{stem}.x{number}", f"{stem[:-5]}_incomplete.hdf5", f"{number}_spl_{stem}", f"{number}.txt"]
        )
        (folder / name).write_bytes(b"foreign")
        plan.waves[0].append(folder / name)
    for wave in plan.waves:
        rng.shuffle(wave)
    return plan


@contextmanager
def worker(name: str, partner: str = "", *, hang: str = "", timeout_s: float = 1.0) -> Iterator[Worker]:
    """A worker in a process of its own, killed at the end if it has not ended.

    Parameters
    ----------
    name, partner : str
        Names of this one and of the one that it works beside.
    hang : str
        Stage in which it stops for ever.
    timeout_s : float
        Time for which groups wait for files that are missing.
    """
    module = "contimg_assets_tests.end_to_end.soak_station"
    command = [sys.executable, "-m", module, name, partner, *([hang] if hang else [])]
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "CONTIMG_INGEST__TIMEOUT_S": str(timeout_s),
    }
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: Callable[[], object], processes: list[Worker]) -> None:
    """Wait until something holds, while all of the processes live."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline, "nothing more happens"
        time.sleep(0.1)


def drop(files: list[Path], folder: Path) -> None:
    for path in files:
        path.rename(folder / path.name)


def kill_two(settings: Settings, plan: Plan) -> dict[str, int]:
    """Two workers begin, each has a group of its own, and both are killed.

    Returns
    -------
    dict
        How many conversions of each of their groups were published and must be made again: none.
    """
    leases = DatabaseResource().leases()
    with (
        worker("first", "second", hang="convert", timeout_s=DAY_S) as first,
        worker("second", "first", hang="qa ms", timeout_s=DAY_S) as second,
    ):
        wait_for(lambda: sign("first hangs").exists() and sign("second hangs").exists(), [first, second])
        held = {lease.pid: lease.key for lease in leases.held().values()}
        keys = [sign(f"{name} hangs").read_text() for name in ("first", "second")]
        assert held == {first.pid: keys[0], second.pid: keys[1]}
        assert keys[0] != keys[1]
        drop(plan.waves[1], settings.incoming_folder)
    # The one was killed before it had published anything, the other one after that: what it published stands.
    return dict.fromkeys(keys, 0)


def check(plan: Plan, records: StationRecords, settings: Settings, wasted: dict[str, int]) -> None:
    """Every group and every file has come to what it must, once."""
    account = Arrivals(records.engine, settings.incoming_folder)
    made = {group.key: group for group in records.groups()}
    assert set(made) == set(plan.subbands)
    for key, subbands in plan.subbands.items():
        steps = [step.to_state for step in records.transitions(key)]
        conversions = [row for row in records.performance(key) if row.product == "measurement_set"]
        if not subbands:
            assert (made[key].state, conversions) == ("failed", [])
            assert "at least 12 are needed" in made[key].reason
            continue
        assert (made[key].state, steps.count("completed")) == ("completed", 1), steps
        deaths = sum(" has ended (attempt 1 of 3)" in step.reason for step in records.transitions(key))
        assert deaths == (key in wasted), steps
        assert len(conversions) == 1 + wasted.get(key, 0)
        (ms,) = Store(settings.home).path(key, "measurement_set").iterdir()
        assert set(json.loads((ms / CONTENT).read_text())) == subbands
    found = {}
    for key in [*plan.subbands, None]:
        rows = account.of_group(key) if key else [f for f in account.not_used(10**6) if f.group_key is None]
        found |= {file.name: file.outcome for file in rows}
        assert all(file.reason for file in rows if file.outcome != "used")
    assert found == plan.outcomes


def soak(n_groups: int, settings: Settings, seed: int) -> None:
    """Drop a night's files on a station and hold what comes of it against the plan."""
    rng = random.Random(seed)
    aside = settings.home / "aside"
    aside.mkdir()
    settings.incoming_folder.mkdir()
    plan = plan_night(aside, n_groups, rng)
    records = DatabaseResource().records()
    account = Arrivals(records.engine, settings.incoming_folder)
    n_early = sum(path.name in plan.outcomes for wave in plan.waves[:2] for path in wave)
    calibrate_night(n_groups, settings)

    def done(n_files: int) -> bool:
        busy = records.groups("collecting", "pending", "in_progress")
        return not busy and sum(account.counts().values()) >= n_files

    drop(plan.waves[0], settings.incoming_folder)
    wasted = kill_two(settings, plan)
    with worker("third", "fourth") as third, worker("fourth", "third") as fourth:
        wait_for(lambda: done(n_early), [third, fourth])
        end(third, fourth)
    drop(plan.waves[2], settings.incoming_folder)
    with worker("last") as last:
        wait_for(lambda: done(len(plan.outcomes)), [last])
        end(last)
    check(plan, records, settings, wasted)
    assert DatabaseResource().leases().held() == {}
    assert list((settings.home / "products").glob("*/.versions/*.link")) == []


def end(*workers: Worker) -> None:
    """Let workers end when nothing is left to do."""
    sign("stop").touch()
    assert [process.wait(PATIENCE_S) for process in workers] == [0] * len(workers)
    sign("stop").unlink()


def calibrate_night(n_groups: int, settings: Settings) -> None:
    """Enter a calibration that holds for the whole night."""
    middle = (first_time_jd(START + n_groups * GROUP / 2)) - 2400000.5
    folder = settings.home / "solved"
    found = solutions("2026-01-15T00:00:00", mid_mjd=middle, tables=write_tables(folder))
    registry = DatabaseResource().registry()
    registry.conclude(registry.register(found, folder), [])


@pytest.fixture
def quick(home: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer) -> Settings:
    """A station that hardly waits, with an instance for several processes."""
    monkeypatch.setenv("CONTIMG_INGEST__SETTLE_S", "0.1")
    (home / "dagster").mkdir()
    url = postgres_server.new_database()
    (home / "dagster" / "dagster.yaml").write_text(INSTANCE.format(url=url))
    with DagsterInstance.from_config(str(home / "dagster")):  # makes its tables, once
        pass
    (home / "signs").mkdir()
    get_settings.cache_clear()
    assert get_settings().home == home
    return get_settings()


def test_some_groups_and_two_killed_workers(quick: Settings) -> None:
    soak(8, quick, 1)


def test_a_night_of_288_groups(quick: Settings) -> None:
    soak(288, quick, 2)


@pytest.mark.usefixtures("quick")
def test_forty_groups_on_postgresql(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_DATABASE_URL", postgres_server.new_database())
    get_settings.cache_clear()
    soak(40, get_settings(), 3)
