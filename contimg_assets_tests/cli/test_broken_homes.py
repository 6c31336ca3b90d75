"""A disk full or read-only, a database damaged, lost or away: one line, and the right exit code."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contimg_assets import definitions
from contimg_assets.cli import main
from contimg_assets.definitions import build_defs
from contimg_assets.settings import get_settings
from contimg_assets.station import database
from contimg_assets_tests.cli.station import contimg, make_data, outcomes
from contimg_assets_tests.fake_stages import CALIBRATOR, FakeStages, only_one_calibrator
from contimg_assets_tests.mounts import full, read_only, small_disk

READERS = [["status"], ["products"], ["history", CALIBRATOR], ["registry", "list"], ["pointing"]]


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one completed group, to be copied."""
    home = tmp_path_factory.mktemp("processed") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        only_one_calibrator(patch)
        patch.setattr(definitions, "build_defs", lambda: build_defs({"stages": FakeStages()}))
        get_settings.cache_clear()
        assert outcomes(contimg("process", make_data(home, target=False))) == {CALIBRATOR: "completed"}
    forget()
    return home


def forget() -> None:
    """Let this process open its homes anew, as another would."""
    get_settings.cache_clear()
    database.engine_for.cache_clear()
    database.reading_engine_for.cache_clear()


def call(*arguments: str | Path) -> Result:
    forget()
    try:
        return CliRunner().invoke(main, [*map(str, arguments)])
    finally:
        forget()


def refused(result: Result, *told: str) -> None:
    """Ended with exit code 3 and one line that says all of this."""
    assert result.exit_code == 3, result.output
    (line,) = result.stderr.strip().splitlines()
    for words in told:
        assert words in line


@pytest.fixture
def copied(processed: Path, home: Path) -> Path:
    """A home of the test's own: a copy of its database file alone, and of its products."""
    shutil.copy(processed / "catalogue.sqlite", home / "catalogue.sqlite")
    shutil.copytree(processed / "products", home / "products", symlinks=True)
    shutil.copytree(processed / "calibration", home / "calibration")
    return home


def test_the_file_alone_is_the_whole_database(copied: Path) -> None:
    result = call("status", "--json")
    assert json.loads(result.stdout)["counts"]["completed"] == 1
    assert copied.is_dir()


def test_who_only_looks_needs_no_home_that_can_be_written(
    processed: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(home.parent / "disk", 64) as disk:
        shutil.copytree(processed, disk / "home", symlinks=True)
        monkeypatch.setenv("CONTIMG_HOME", str(disk / "home"))
        monkeypatch.setenv("DAGSTER_HOME", str(disk / "home" / "dagster"))
        forget()
        with read_only(disk):
            for command in READERS:
                assert call(*command).exit_code == 0, command
            refused(call("process", home), str(disk / "home"), "read-only file system")
        with full(disk):
            for command in READERS:
                assert call(*command).exit_code == 0, command
        forget()


@pytest.mark.parametrize("damage", ["noise", "cut"])
def test_a_damaged_database_is_named(copied: Path, damage: str) -> None:
    path = copied / "catalogue.sqlite"
    if damage == "noise":
        path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    else:
        path.write_bytes(path.read_bytes()[:20_000])
    words = "file is not a database" if damage == "noise" else "malformed"
    for command in (["status"], ["history", CALIBRATOR], ["process", copied.parent]):
        refused(call(*command), str(path), words)


@pytest.mark.parametrize("loss", ["missing", "empty", "no group"])
def test_a_lost_database_beside_products_is_an_alarm(copied: Path, loss: str) -> None:
    path = copied / "catalogue.sqlite"
    path.unlink()
    if loss == "empty":
        path.touch()
    if loss == "no group":
        database.upgrade(f"sqlite:///{path}")
    words = {"missing": "is missing", "empty": "is empty", "no group": "knows no group"}[loss]
    for command in (["status"], ["products"], ["process", copied.parent], ["init"]):
        refused(call(*command), str(path), words, "products of 1 groups")
    assert path.exists() == (loss != "missing")


def test_a_database_that_is_away_is_named_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql+psycopg2://me:secret@/contimg?host={home / 'nobody'}"
    monkeypatch.setenv("CONTIMG_DATABASE_URL", url)
    result = call("status")
    refused(result, "postgresql+psycopg2://me:***@/contimg", "connection")
    assert "secret" not in result.output


def test_dagsters_own_database_is_named_when_it_is_that(copied: Path, processed: Path) -> None:
    shutil.copytree(processed / "dagster", copied / "dagster")
    for path in (copied / "dagster").rglob("*.db"):
        path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    refused(call("register", copied.parent), str(copied / "dagster"), "file is not a database")
    with sqlite3.connect(copied / "catalogue.sqlite") as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
