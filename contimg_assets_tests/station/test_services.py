"""Services say while they live which version and settings they have loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contimg_assets import __version__
from contimg_assets.settings import Settings
from contimg_assets.station import doctor, services
from contimg_assets.station.services import DAEMON, WEB, WORKER, announce, running, serving


def test_a_service_is_shown_as_long_as_its_process_lives(tmp_path: Path) -> None:
    told = "import sys, pathlib; from contimg_assets.station.services import announce; "
    told += "from contimg_assets.settings import Settings; "
    told += "announce(Settings(home=pathlib.Path(sys.argv[1])), 'worker')"
    subprocess.run([sys.executable, "-c", told, str(tmp_path)], check=True)
    assert running(tmp_path) == []
    with serving(Settings(home=tmp_path), WEB):
        (found,) = running(tmp_path)
        assert (found.service, found.version) == ("web", __version__)
        # What the ended one left went when the next one began.
        assert len(list((tmp_path / services.FOLDER).iterdir())) == 1
    assert running(tmp_path) == []


def test_the_doctor_names_services_on_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    announce(settings, DAEMON)
    (found,) = doctor._services(settings)
    assert (found.what, found.grade) == ("service daemon", "good")
    monkeypatch.setattr(doctor, "__version__", "99.0")
    (found,) = doctor._services(settings)
    assert found.grade == "look"
    assert "99.0 is installed" in found.advice


def test_the_doctor_names_services_on_other_settings(tmp_path: Path) -> None:
    url = "postgresql+psycopg2://contimg:swordfish@127.0.0.1/contimg"
    path = announce(Settings(home=tmp_path, threads=1, database_url=url), WORKER)
    assert "swordfish" not in path.read_text()
    (found,) = doctor._services(Settings(home=tmp_path, threads=2, database_url=url))
    assert found.grade == "look"
    assert "started with threads 1" in found.found
    assert "a worker after it was drained" in found.advice
    (found,) = doctor._services(Settings(home=tmp_path, threads=1, database_url=url))
    assert found.grade == "good"


def test_what_another_release_says_more_or_less_is_no_error(tmp_path: Path) -> None:
    path = announce(Settings(home=tmp_path), WEB)
    told = json.loads(path.read_text())
    del told["settings"]
    path.write_text(json.dumps({**told, "colour": "blue"}))
    (found,) = running(tmp_path)
    assert (found.service, found.settings) == ("web", {})
