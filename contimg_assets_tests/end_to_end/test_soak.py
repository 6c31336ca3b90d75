"""A night of groups with all that goes wrong: nothing is lost, nothing is made twice.

Real files, catalogue, sensors (two at once), jobs and worker processes, two of which
are killed with SIGKILL at random moments.  See ``soak_station.py``.
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

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import group_key
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.soak_station import CONTENT
from contimg_assets_tests.radio.subband_files import START, contents, file_name, first_time_jd, write

REPOSITORY = Path(__file__).parent.parent.parent
GROUP = timedelta(seconds=24 * telescope.INTEGRATION_S)
#: Shares of the files.
LATE, DUPLICATED, TRUNCATED, FOREIGN = 0.05, 0.02, 0.02, 0.01
JITTER_S = 60


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
            draw = rng.random()
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
def station_process(kind: str) -> Iterator[subprocess.Popen[str]]:
    """A sensor or worker in a process of its own, killed at the end."""
    command = [sys.executable, "-m", "contimg_assets_tests.end_to_end.soak_station", kind]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: Callable[[], object], processes: list[subprocess.Popen[str]], seconds: float) -> None:
    """Wait until something holds, while all of the processes live."""
    deadline = time.monotonic() + seconds
    while not what():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline, "nothing more happens"
        time.sleep(0.1)


def drop(files: list[Path], folder: Path) -> None:
    for path in files:
        path.rename(folder / path.name)


def kill_two(catalog: ProductCatalog, rng: random.Random, sensors: list[subprocess.Popen[str]]) -> None:
    """Two workers are killed at random moments of their work; a third one outlives them."""
    lost: set[str | None] = {None}

    def held() -> set[str | None]:
        return {group.owner for group in catalog.groups("in_progress")} - lost

    for _ in range(2):
        with station_process("worker") as doomed:
            assert doomed.stdout is not None
            assert doomed.stdout.readline() == "ready\n"
            while True:
                wait_for(held, [doomed, *sensors], 300)
                time.sleep(rng.random())
                if at_work := held():
                    break
        lost |= at_work


def check(plan: Plan, catalog: ProductCatalog, settings: Settings) -> None:
    """Every group and every file has come to what it must, once."""
    account = Arrivals(catalog.engine, settings.incoming_folder)
    made = {group.key: group for group in catalog.groups()}
    assert set(made) == set(plan.subbands)
    for key, subbands in plan.subbands.items():
        steps = [step.to_state for step in catalog.transitions(key)]
        conversions = [row for row in catalog.performance(key) if row.product == "measurement_set"]
        if not subbands:
            assert (made[key].state, conversions) == ("failed", [])
            assert "at least 12 are needed" in made[key].reason
            continue
        assert (made[key].state, steps.count("completed")) == ("completed", 1), steps
        deaths = sum("no sign of life" in step.reason for step in catalog.transitions(key))
        # Once; a worker that is killed between publishing and its end has its group made anew.
        assert 1 <= len(conversions) <= 1 + deaths
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
    catalog = CatalogResource().catalog()
    account = Arrivals(catalog.engine, settings.incoming_folder)
    n_early = sum(path.name in plan.outcomes for wave in plan.waves[:2] for path in wave)

    def done(n_files: int) -> bool:
        busy = catalog.groups("collecting", "pending", "in_progress")
        return not busy and sum(account.counts().values()) >= n_files

    with station_process("sensor") as first, station_process("sensor") as second:
        sensors = [first, second]
        drop(plan.waves[0], settings.incoming_folder)
        time.sleep(2)
        drop(plan.waves[1], settings.incoming_folder)
        kill_two(catalog, rng, sensors)
        with station_process("worker") as worker:
            wait_for(lambda: done(n_early), [worker, *sensors], 1800)
            drop(plan.waves[2], settings.incoming_folder)
            wait_for(lambda: done(len(plan.outcomes)), [worker, *sensors], 600)
    check(plan, catalog, settings)
    deaths = sum(
        "no sign of life" in step.reason for key in plan.subbands for step in catalog.transitions(key)
    )
    assert deaths >= 1, "no kill hit a group in progress: nothing was shown"
    assert list((settings.home / "products").glob("*/.versions/*.link")) == []


@pytest.fixture
def quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A station that waits seconds where a real one waits minutes."""
    times = {"SETTLE_S": "0.5", "TIMEOUT_S": "10", "HEARTBEAT_S": "0.5", "DEAD_AFTER_S": "8", "ATTEMPTS": "4"}
    for name, value in times.items():
        monkeypatch.setenv(f"CONTIMG_INGEST__{name}", value)
    get_settings.cache_clear()
    assert get_settings().home == home
    return get_settings()


def test_some_groups_two_sensors_and_two_killed_workers(quick: Settings) -> None:
    soak(10, quick, 1)


@pytest.mark.long
@pytest.mark.usefixtures("quick")
def test_a_night_of_288_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_INGEST__TIMEOUT_S", "60")
    get_settings.cache_clear()
    soak(288, get_settings(), 2)


@pytest.mark.long
@pytest.mark.usefixtures("quick")
def test_forty_groups_on_postgresql(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_DATABASE_URL", postgres_server.new_database())
    get_settings.cache_clear()
    soak(40, get_settings(), 3)
