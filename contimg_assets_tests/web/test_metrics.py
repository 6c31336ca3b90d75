"""``/metrics`` as Prometheus takes it, and the files of ``deploy/`` that build on it."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    TARGET,
    record_verdict,
    registration,
    solutions,
    write_tables,
)
from contimg_assets_tests.web.site import Site
from contimg_assets_tests.web.test_server import PATIENCE_S, started, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "contimg.json").read_text())
RULES = DEPLOY / "prometheus" / "rules.yml"


def program(name: str) -> str:
    """A program of Debian's packages prometheus and prometheus-alertmanager."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"no {name}: install Debian's packages prometheus and prometheus-alertmanager")
    return found


def fill(settings: Settings) -> None:
    """A night of two groups, one with a verdict of each kind."""
    station = Installation(settings)
    records = station.records
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, settings.home), ready=True)
        records.begin(key, "run")
        numbers = {"rms_mjy_beam": 0.3, "n_sources": 12, "stage_seconds": 30.0, "peak_memory_mb": 900.0}
        records.record_product(key, "image", PurePosixPath(f"{key}/image-1"), numbers)
        quality = {"rms_ratio": 1.1, "flux_ratio": 1.01, "astrometric_offset_arcsec": 0.2}
        records.record_product(key, "image_qa", PurePosixPath(f"{key}/qa-1"), quality)
        status = "WARN" if key == TARGET else "PASS"
        limits = {"value": 1.1, "soft": 1.0, "hard": 2.0, "limits_version": "1"}
        record_verdict(records, key, "image_qa", "rms_ratio", status=status, **limits)
        records.complete(key)
    solved = settings.home / "solved"
    station.registry.conclude(
        station.registry.register(solutions(CALIBRATOR, tables=write_tables(solved)), solved), []
    )


def test_the_text_is_what_prometheus_wants(settings: Settings) -> None:
    """promtool's lint: names, units, kinds and help of every metric."""
    initialise(settings)
    fill(settings)
    printed = CliRunner().invoke(main, ["metrics"])
    assert printed.exit_code == 0
    assert 'contimg_groups{state="completed"} 2.0' in printed.output
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=printed.output, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.long
def test_rules_hold_and_fire_when_they_should() -> None:
    for command in (
        ["check", "config", DEPLOY / "prometheus" / "prometheus.yml"],
        ["check", "rules", "--lint=all", "--lint-fatal", RULES],
        ["test", "rules", DEPLOY / "prometheus" / "rules_test.yml"],
    ):
        done = subprocess.run([program("promtool"), *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested_or_named_here() -> None:
    """A new rule comes with a test; these are one comparison with one figure each."""
    plain = {
        *("GroupsWait", "ManyErrors", "NoiseRises", "FluxScaleOff", "WorkerSilent", "DatabaseGrows"),
        "Watchdog",
    }
    rules = {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    assert {rule for rule in rules if rule not in tested} == plain


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], ready: str) -> Iterator[None]:
    """A service for the length of the block, from when an address of it answers."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answered(ready))
            yield
        finally:
            process.terminate()


def answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(true: Any) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + PATIENCE_S
        time.sleep(0.5)


def ask(url: str, query: str) -> list[Any]:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
        return json.load(answer)["data"]["result"]


@pytest.mark.long
def test_a_real_prometheus_answers_every_panel_and_an_alarm_reaches_the_alertmanager(
    settings: Settings, tmp_path: Path
) -> None:
    """The installation runs with its daemon; Prometheus reads it by the file of deploy/ but for ports."""
    initialise(settings)
    fill(settings)
    settings.incoming_folder.mkdir(exist_ok=True)
    port, manager_port = free_port(), free_port()
    url, manager = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{manager_port}"
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with started("ui", "--port", "0") as (process, told):
        site = Site(int(told["address"].removeprefix("http://127.0.0.1:")))
        wait_for(site, process)
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
        config["rule_files"] = [str(RULES)]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{site.port}"]
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{manager_port}"]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        alertmanager = [
            program("prometheus-alertmanager"),
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{manager_port}",
            "--cluster.listen-address=",
        ]
        prometheus = [
            program("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(alertmanager, f"{manager}/-/ready"), running(prometheus, f"{url}/-/ready"):
            until(lambda: ask(url, "contimg_sensor_tick_timestamp_seconds"))
            until(lambda: ask(url, "contimg_daemon_heartbeat_timestamp_seconds"))
            queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
            unanswered = [query for query in queries if not ask(url, query)]
            # No file has arrived by the account of files: what was registered here has none.
            assert unanswered == ["time() - contimg_last_arrival_timestamp_seconds"]

            def alarmed() -> bool:
                with urllib.request.urlopen(f"{manager}/api/v2/alerts") as answer:
                    return any(alert["labels"]["alertname"] == "Watchdog" for alert in json.load(answer))

            until(alarmed)
