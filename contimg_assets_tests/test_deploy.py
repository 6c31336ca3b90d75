"""The files of ``deploy/`` are what their programs accept, and agree with the package."""

import grp
import gzip
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance
from dagster_celery.launcher import CeleryRunLauncher

from contimg_assets.resources.celery_app import QUEUES, SETTINGS, URL_VARIABLE
from contimg_assets.resources.instance import instance_configuration
from contimg_assets.sensors.requests import QUEUE_TAG

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = DEPLOY / "celery" / "systemd"
BINARIES = "/opt/contimg/.venv/bin"
#: Of systemd's score from 0 (safe) to 10, in tenths.
EXPOSURE = 40


def station_file() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "celery" / "dagster.yaml").read_text())


def test_the_stations_instance_differs_where_workers_demand_it() -> None:
    local, station = yaml.safe_load(instance_configuration()), station_file()
    differing = {name for name in local.keys() | station.keys() if local.get(name) != station.get(name)}
    assert differing == {"storage", "run_launcher", "run_monitoring", "concurrency", "run_queue"}
    assert "pools" not in station["concurrency"]
    # What waits for a worker is not failed for it.
    assert station["run_monitoring"]["start_timeout_seconds"] > 30 * 86_400


def test_addresses_travel_by_name_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "redis://:swordfish@127.0.0.1:1/0")
    folder = home / "dagster"
    folder.mkdir()
    # Without PostgreSQL: a storage would be opened.
    configured = {name: value for name, value in station_file().items() if name != "storage"}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(configured))
    with DagsterInstance.from_config(str(folder)) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, CeleryRunLauncher)
        assert launcher.default_queue in QUEUES
        assert "swordfish" not in str(instance.get_ref().to_dict())


def test_workers_take_runs_one_by_one_and_results_outlive_them() -> None:
    assert SETTINGS["worker_disable_prefetch"] is True
    assert SETTINGS["task_acks_late"] is False
    assert SETTINGS["result_expires"] >= 86_400
    assert QUEUE_TAG == "dagster-celery/queue"


def test_redis_keeps_what_it_was_given() -> None:
    lines = (DEPLOY / "celery" / "redis.conf").read_text().splitlines()
    settings = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["bind"] == "127.0.0.1"
    assert settings["maxmemory-policy"] == "noeviction"


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with programs that are there; the worker's as its first instance."""
    assert shutil.which("systemd-analyze"), "no systemd-analyze: install Debian's package systemd"
    copies = []
    for unit in sorted(UNITS.glob("*.service")):
        text = unit.read_text()
        assert f"ExecStart={BINARIES}/" in text
        copies.append(tmp_path / unit.name.replace("@", "@1"))
        copies[-1].write_text(re.sub(rf"{BINARIES}/[\w-]+", "/bin/true", text))
    return copies


def test_systemd_accepts_the_units_and_finds_them_closed(units: list[Path]) -> None:
    assert len(units) == 5
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in verified.stderr.splitlines() if "contimg" in line]
    assert about_ours == []
    for unit in units:
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert judged.returncode == 0, judged.stdout.splitlines()[-1:]


def test_memory_of_each_service_is_limited_and_a_worker_may_end_its_run(units: list[Path]) -> None:
    for unit in units:
        assert re.search(r"^MemoryMax=\dG$", unit.read_text(), re.MULTILINE), unit.name
    (worker,) = (unit.read_text() for unit in units if "worker" in unit.name)
    assert "KillMode=mixed" in worker
    assert "TimeoutStopSec=30min" in worker


def test_containers_run_what_the_units_run() -> None:
    services = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())["services"]
    for name in ("code", "daemon", "web"):
        unit = (UNITS / f"contimg-{name}.service").read_text()
        assert f"ExecStart={BINARIES}/{' '.join(services[name]['command'])}\n" in unit
    unit = (UNITS / "contimg-worker@.service").read_text().replace("%%", "%")
    for number in ("1", "2"):
        assert f"ExecStart={BINARIES}/{' '.join(services[f'worker-{number}']['command'])}\n" in unit.replace(
            "%i", number
        )
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges"]


def rotation(folder: Path, *options: str) -> list[str]:
    """The command that rotates a home's logs by the file of ``deploy/``, with states of its own."""
    program = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")
    if program is None:
        pytest.skip("NOT TESTED: no logrotate; install Debian's package")
    text = (DEPLOY / "logrotate").read_text().replace("/data/contimg", str(folder))
    copy = folder / "logrotate"
    user = pwd.getpwuid(os.geteuid())
    copy.write_text(
        text.replace("su contimg contimg", f"su {user.pw_name} {grp.getgrgid(user.pw_gid).gr_name}")
    )
    copy.chmod(0o644)
    return [program, *options, "--state", str(folder / "state"), str(copy)]


def test_logrotate_accepts_its_file(tmp_path: Path) -> None:
    done = subprocess.run(rotation(tmp_path, "--debug"), capture_output=True, text=True, check=False)
    assert (done.returncode, "error:" in done.stderr) == (0, False), done.stderr


CASA_WRITES = """
import os, subprocess, sys
from pathlib import Path
from contimg_assets.radio import casa
casa.configure(Path(sys.argv[1]) / "casa")
import casatools
from casatasks import casalog
for name in ("first", "second", "third"):
    casalog.post(name)
    if name != "third":
        subprocess.run(sys.argv[2:], check=True)
print(os.environ["CONTIMG_CASA_LOG"])
"""


@pytest.mark.long
def test_logrotate_cuts_the_file_that_casa_has_open(tmp_path: Path) -> None:
    """CASA goes on at the beginning of the file that was cut, and nothing of it is lost."""
    (tmp_path / "logs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CASA_WRITES, str(tmp_path), *rotation(tmp_path, "--force")],
        capture_output=True,
        text=True,
        check=True,
    )
    log = Path(done.stdout.split()[-1])
    newest, before = log.read_bytes(), log.with_name(f"{log.name}.1").read_bytes()
    oldest = gzip.decompress(log.with_name(f"{log.name}.2.gz").read_bytes())
    assert b"\0" not in newest
    found = [
        [name for name in (b"first", b"second", b"third") if name in text]
        for text in (oldest, before, newest)
    ]
    assert found == [[b"first"], [b"second"], [b"third"]]


def test_the_pilot_is_a_script_that_the_shell_accepts() -> None:
    subprocess.run(["bash", "-n", str(DEPLOY / "slurm" / "pilot.sh")], check=True)
