"""A running installation opens one port, on the loopback interface, while real stages work: CASA too."""

import subprocess
import time
from pathlib import Path

import pytest

from contimg_assets.resources.dagster_doctor import processes_of
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets_tests.web.site import Site
from contimg_assets_tests.web.test_server import PATIENCE_S, command, listening_sockets, started, wait_for

pytestmark = pytest.mark.long

#: The stage that CASA's tools are loaded in.
SOLVING = "contimg:solve"


def stages_of(processes: list[int]) -> set[str]:
    """Names of those processes that are still there."""
    names = set()
    for process in processes:
        try:
            names.add(Path(f"/proc/{process}/comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return names


def test_one_port_is_open_while_a_scan_is_solved(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the first file to the calibration tables, looked at ten times a second."""
    incoming = tmp_path / "incoming"
    monkeypatch.setenv("CONTIMG_INCOMING", str(incoming))
    for arguments in (
        ("simulate", str(incoming), "--preset", "tiny"),
        ("init",),
        ("catalogs", "import", str(incoming / "nvss.dat")),
    ):
        subprocess.run(command(*arguments), check=True, stdout=subprocess.DEVNULL)
    station = Installation(Settings(home=settings.home, incoming=incoming))
    seen: set[str] = set()
    working: set[str] = set()
    with started("ui", "--port", "0") as (process, told):
        site = Site(int(told["address"].removeprefix("http://127.0.0.1:")))
        wait_for(site, process)
        began = time.monotonic()
        while not station.registry.list():
            assert process.poll() is None
            assert time.monotonic() < began + 4 * PATIENCE_S, station.records.counts()
            processes = processes_of(settings.home)
            working |= stages_of(processes)
            seen |= listening_sockets(processes)
            # What CASA would open stays open while it works; looking more often would only take its time.
            time.sleep(0.1)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert SOLVING in working
    assert seen == {f"0100007F:{site.port:04X}"}
