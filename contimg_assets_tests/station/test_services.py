"""Services say while they live which version they have loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from contimg_assets import __version__
from contimg_assets.settings import Settings
from contimg_assets.station import doctor, services
from contimg_assets.station.services import DAEMON, WEB, announce, running, serving


def test_a_service_is_shown_as_long_as_its_process_lives(tmp_path: Path) -> None:
    told = "import sys, pathlib; from contimg_assets.station.services import announce; "
    told += "announce(pathlib.Path(sys.argv[1]), 'worker')"
    subprocess.run([sys.executable, "-c", told, str(tmp_path)], check=True)
    assert running(tmp_path) == []
    with serving(tmp_path, WEB):
        (found,) = running(tmp_path)
        assert (found.service, found.version) == ("web", __version__)
        # What the ended one left went when the next one began.
        assert len(list((tmp_path / services.FOLDER).iterdir())) == 1
    assert running(tmp_path) == []


def test_the_doctor_names_services_on_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(tmp_path, DAEMON)
    monkeypatch.setattr(doctor, "__version__", "99.0")
    findings = {each.what: each for each in doctor._services(Settings(home=tmp_path).home)}
    assert findings["service daemon"].grade == "look"
    assert "99.0 is installed" in findings["service daemon"].advice
