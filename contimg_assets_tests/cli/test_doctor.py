"""``contimg doctor`` finds what is broken, says what to do, and changes nothing."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance

from contimg_assets.cli import main
from contimg_assets.resources.dagster_doctor import _address, _is_loopback, examine_dagster
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station import doctor
from contimg_assets_tests.conftest import PostgresServer


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever room there is on the disk of this machine is enough, and its speed too."""
    monkeypatch.setattr(doctor, "GROUP_BYTES", 1.0)
    monkeypatch.setattr(doctor, "LARGEST_STAGE_GIB", 0.0)


def examined(code: int) -> dict[str, dict[str, Any]]:
    """Findings of the command by what they are about."""
    done = CliRunner().invoke(main, ["doctor", "--json"])
    assert done.exit_code == code, done.output
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


def test_a_new_installation_works(settings: Settings) -> None:
    initialise(settings)
    settings.incoming_folder.mkdir()
    found = examined(0)
    assert {f["grade"] for f in found.values()} <= {"good", "look"}
    assert all(finding["advice"] for finding in found.values() if finding["grade"] != "good")
    assert f"revision {doctor.head()}" in found["station database"]["found"]
    assert found["Dagster's daemon"]["found"] == "has never run for this home"
    assert "home (environment)" in found["settings"]["found"]
    # What was written to learn the disk's speed is gone.
    assert not list(settings.home.glob(".doctor*"))


def test_an_empty_home_says_what_to_do_and_stays_empty(home: Path) -> None:
    found = examined(1)
    assert found["station database"]["grade"] == found["Dagster"]["grade"] == "bad"
    assert found["station database"]["advice"] == "contimg init"
    assert list(home.iterdir()) == []


def test_products_without_their_database_are_to_be_restored(home: Path) -> None:
    (home / "products" / "2026-01-15T030000").mkdir(parents=True)
    assert examined(1)["station database"]["advice"].startswith("restore it")


def test_a_file_that_is_no_database_is_told_in_one_line(settings: Settings) -> None:
    initialise(settings)
    path = settings.home / "catalogue.sqlite"
    for journal in settings.home.glob("catalogue.sqlite-*"):
        journal.unlink()
    path.write_bytes(b"no database at all, " * 1000)
    finding = examined(1)["station database"]
    assert finding["grade"] == "bad"
    assert "file is not a database" in finding["found"]
    assert "\n" not in finding["found"]


def test_a_server_that_is_away_is_told(
    settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(settings)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql+psycopg2://ada:swordfish@127.0.0.1:{port}/contimg"
        monkeypatch.setenv("CONTIMG_DATABASE_URL", url)
        get_settings.cache_clear()
        away = examined(1)["station database"]
    assert away["grade"] == "bad"
    assert "swordfish" not in away["found"]
    monkeypatch.setenv("CONTIMG_DATABASE_URL", postgres_server.new_schema())
    get_settings.cache_clear()
    empty = examined(0)["station database"]
    assert (empty["grade"], empty["advice"]) == (
        "look",
        f"contimg init brings it to revision {doctor.head()}",
    )


def test_a_full_disk_and_a_slow_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SLOW_BYTES_S", 1e15)
    monkeypatch.setattr(doctor, "GROUP_BYTES", 1e15)
    found = {finding.what: finding for finding in doctor.examine(settings)}
    assert found["home"].grade == "look"
    assert found["disk"].grade == "bad"


@pytest.mark.parametrize(
    ("field", "address", "loopback"),
    [
        ("0100007F:0BB8", "127.0.0.1:3000", True),
        ("00000000:0050", "0.0.0.0:80", False),
        ("0101A8C0:1F90", "192.168.1.1:8080", False),
        ("00000000000000000000000001000000:0BB8", "[::1]:3000", True),
        ("0000000000000000FFFF00000100007F:0FA0", "[::ffff:127.0.0.1]:4000", True),
        ("0000000000000000FFFF00000101A8C0:0FA0", "[::ffff:192.168.1.1]:4000", False),
    ],
)
def test_linux_table_of_sockets_is_read(field: str, address: str, loopback: bool) -> None:
    assert _address(field) == address
    assert _is_loopback(address) is loopback


def test_a_port_that_is_open_to_others_is_seen(settings: Settings) -> None:
    folder = initialise(settings)
    program = (
        "import socket, sys; s = socket.create_server(('0.0.0.0', 0)); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with (
        DagsterInstance.from_config(str(folder)) as instance,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as open_to_all,
    ):
        assert open_to_all.stdout is not None
        port = int(open_to_all.stdout.readline())
        ports = next(f for f in examine_dagster(instance, settings.home) if f.what == "ports")
        open_to_all.communicate("")
    assert ports.grade == "look"
    assert f"0.0.0.0:{port}" in ports.found
