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
from contimg_assets_tests.radio.subband_files import write_group
from contimg_assets_tests.station.sinks import WebSink, web_sink
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
    done = subprocess.run(
        [program("amtool"), "check-config", str(DEPLOY / "prometheus" / "alertmanager.yml")],
        capture_output=True,
        text=True,
    )
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


def fail_groups(settings: Settings) -> None:
    """Five groups fail, which is more than an hour may have."""
    records = Installation(settings).records
    for minute in range(5):
        key = f"2026-01-16T03:{minute:02d}:00"
        records.register(registration(key, settings.home), ready=True)
        records.begin(key, "run")
        records.fail(key, "image: ImagingError: CLEAN diverged")


def configured(folder: Path, contimg: int, manager: int, sink: WebSink) -> list[Path]:
    """The files of ``deploy/`` but for addresses, and without their waits."""
    prometheus, alertmanager = (
        yaml.safe_load((DEPLOY / "prometheus" / f"{name}.yml").read_text())
        for name in ("prometheus", "alertmanager")
    )
    prometheus["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    prometheus["rule_files"] = [str(RULES)]
    prometheus["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{contimg}"]
    prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{manager}"]
    alertmanager["route"]["group_wait"] = "0s"
    for receiver in alertmanager["receivers"]:
        (hook,) = receiver["webhook_configs"]
        hook["url"] = f"http://127.0.0.1:{sink.port}/{receiver['name']}"
    files = [folder / "prometheus.yml", folder / "alertmanager.yml"]
    for path, content in zip(files, (prometheus, alertmanager), strict=True):
        path.write_text(yaml.safe_dump(content))
    return files


@pytest.mark.long
def test_a_real_prometheus_answers_every_panel_and_an_alarm_reaches_whoever_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    """The installation runs with its daemon; Prometheus and its alertmanager by the files of deploy/."""
    initialise(settings)
    fill(settings)
    # One file of a group comes, and no other.
    settings.incoming_folder.mkdir(exist_ok=True)
    write_group(settings.incoming_folder, subbands=(0,))
    port, manager_port = free_port(), free_port()
    url, manager = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{manager_port}"
    with started("ui", "--port", "0") as (process, told), web_sink() as sink:
        site = Site(int(told["address"].removeprefix("http://127.0.0.1:")))
        wait_for(site, process)
        prometheus_file, alertmanager_file = configured(tmp_path, site.port, manager_port, sink)
        alertmanager = [
            program("prometheus-alertmanager"),
            f"--config.file={alertmanager_file}",
            f"--storage.path={tmp_path / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{manager_port}",
            "--cluster.listen-address=",
        ]
        prometheus = [
            program("prometheus"),
            f"--config.file={prometheus_file}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(alertmanager, f"{manager}/-/ready"), running(prometheus, f"{url}/-/ready"):
            until(lambda: ask(url, "contimg_sensor_tick_timestamp_seconds"))
            until(lambda: ask(url, "contimg_daemon_heartbeat_timestamp_seconds"))
            queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
            until(lambda: ask(url, "contimg_last_arrival_timestamp_seconds"))
            assert [query for query in queries if not ask(url, query)] == []

            def told_of() -> dict[str, dict[str, str]]:
                return {
                    alert["labels"]["alertname"]: alert["annotations"]
                    for message in list(sink.messages)
                    for alert in message["alerts"]
                }

            until(lambda: "Watchdog" in told_of())
            assert "GroupsFail" not in told_of()
            fail_groups(settings)
            until(lambda: "GroupsFail" in told_of())
            assert "groups failed within an hour" in told_of()["GroupsFail"]["summary"]
            assert ask(url, 'ALERTS{alertname="GroupsFail", alertstate="firing"}')
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
