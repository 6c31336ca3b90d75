"""Services say while they live which version and settings they have loaded."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contimg_assets import __version__
from contimg_assets.radio.errors import DatabaseError
from contimg_assets.settings import Settings
from contimg_assets.station import database, doctor, services
from contimg_assets.station.services import DAEMON, WEB, WORKER, announce, running, serving
from contimg_assets_tests.station.release_database import migrate


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


def test_one_that_nobody_here_can_see_is_shown_until_it_is_silent(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    marked = announce(settings, WORKER)
    elsewhere = marked.with_name("worker-of-a-container")
    marked.rename(elsewhere)
    assert [each.service for each in running(tmp_path)] == ["worker"]
    long_ago = time.time() - services.SILENT_S - 1
    os.utime(elsewhere, (long_ago, long_ago))
    assert running(tmp_path) == []
    announce(settings, WEB)
    assert not elsewhere.exists()


def test_a_service_touches_its_file_until_it_serves_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "BEAT_S", 0.01)
    ended = threading.Event()
    path = announce(Settings(home=tmp_path), WEB, ended)
    os.utime(path, (0, 0))
    while path.stat().st_mtime == 0:
        time.sleep(0.01)
    ended.set()


def test_the_schema_is_not_changed_under_services_of_an_older_release(home: Path, empty_url: str) -> None:
    engine = database.create(empty_url)
    migrate(engine, "0011")
    engine.dispose()
    path = announce(Settings(home=home), WORKER)
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "schema": "0011", "version": "0.0.9"}))
    with pytest.raises(
        DatabaseError, match=rf"found the schema 0011, .* worker {os.getpid()} on .* \(0\.0\.9\)"
    ):
        database.engine_for(empty_url)
    path.unlink()
    # One of this release is in nobody's way.
    announce(Settings(home=home), WEB)
    assert database.revision(database.engine_for(empty_url)) == database.head()
