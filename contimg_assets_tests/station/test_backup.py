"""A backup is whole whatever is written meanwhile, and is gone back to without overwriting what lives."""

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from contimg_assets.radio.errors import BackupError, DatabaseError
from contimg_assets.settings import Settings
from contimg_assets.station import database, reconcile
from contimg_assets.station.backup import (
    DAGSTER,
    FILES,
    LAST,
    MANIFEST,
    PARTS,
    STATION,
    backups,
    last_backup,
    make,
    read_manifest,
)
from contimg_assets.station.columns import now
from contimg_assets.station.database_copies import _server
from contimg_assets.station.doctor import _backup as doctor_says
from contimg_assets.station.installation import Installation
from contimg_assets.station.metrics import _last_backup
from contimg_assets.station.models import GroupTransition, ObservationGroup
from contimg_assets.station.publication import publish
from contimg_assets.station.restore import check, restore
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    TARGET,
    record_verdict,
    registration,
    solutions,
    write_tables,
)

JUDGED = {"status": "WARN", "value": 1.6, "soft": 1.5, "hard": 2.0, "limits_version": "1"}


class NoDagster:
    """In the place of Dagster's databases, which have tests of their own."""

    def copy(self, folder: Path) -> str:
        folder.mkdir()
        (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        return "sqlite"

    def refusal(self, folder: Path) -> str | None:
        return None if folder.is_dir() else "nothing there"

    def load(self, folder: Path) -> str:
        return f"{folder}: nothing to do"


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest) -> Iterator[tuple[str | None, str | None]]:
    """Addresses of two empty station databases; None: the file in the home."""
    if request.param == "sqlite":
        yield None, None
    else:
        server = request.getfixturevalue("postgres_server")
        yield server.new_database(), server.new_database()
        database.engine_for.cache_clear()


@pytest.fixture
def old(settings: Settings, urls: tuple[str | None, str | None]) -> Settings:
    """Settings of a home with a group, its products, verdict and calibration set, and small files."""
    old = settings.model_copy(update={"database_url": urls[0]})
    fill(old)
    return old


def fill(settings: Settings) -> None:
    """Make what a night leaves, with small files."""
    station = Installation(settings)
    records, store, home = station.records, station.store, settings.home
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, home / "incoming"), ready=True)
        records.begin(key, "a run")
    tables = home / "solved"
    set_id = station.registry.register({**solutions(CALIBRATOR), "tables": write_tables(tables)}, tables)
    assert set_id.startswith("20260115T050000-")
    shutil.rmtree(tables)
    for product in ("flags", "image", "image"):
        with store.staging(TARGET, product) as staging:
            (staging / product).mkdir()
            (staging / product / "data").write_text(product)
            publish(records, store, staging / product, TARGET, product, {"rms_ratio": 1.6}, run="a run")
    record_verdict(records, TARGET, "image", "rms_ratio", **JUDGED)
    for key in (TARGET, CALIBRATOR):
        records.complete(key)
        station.leases.release("a run", key)
    (home / "contimg.toml").write_text("[imaging]\nrobust = 0.5\n")
    (home / "tokens.json").write_text("{}")
    (home / "tokens.json").chmod(0o600)


def moved(old: Settings, urls: tuple[str | None, str | None], home: Path) -> Settings:
    """Settings of another place, where nothing is yet."""
    return old.model_copy(update={"home": home, "database_url": urls[1]})


def test_all_comes_back_in_another_place(
    old: Settings, urls: tuple[str | None, str | None], tmp_path: Path
) -> None:
    path, manifest, _ = make(old, tmp_path / "backups", NoDagster(), products=("flags", "image"))
    assert (manifest.n_groups, manifest.newest_group) == (2, CALIBRATOR)
    assert (path.stat().st_mode & 0o777, path.parent) == (0o700, tmp_path / "backups")
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing half-made lies about"
    newest = last_backup(old.home)
    assert newest is not None
    assert newest.folder == str(path)
    there = moved(old, urls, tmp_path / "new" / "home")
    done = restore(there, path, NoDagster(), PARTS)
    assert not done.kept
    before, after = Installation(old), Installation(there)
    for station in (before, after):
        assert [g.key for g in station.records.groups("completed")] == [CALIBRATOR, TARGET]
        assert station.records.verdicts(TARGET, "image").keys() <= {"rms_ratio"}
        assert [item.status for item in station.registry.verify()] == ["ok"]
    assert (there.home / "contimg.toml").read_text() == (old.home / "contimg.toml").read_text()
    assert (there.home / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert not (there.home / LAST).exists()
    image = after.store.path(TARGET, "image")
    assert (image / "data").read_text() == "image", "links are made anew"
    # The superseded version was not in the backup, and its row is all that it lacks.
    amiss = reconcile.examine(after, hashes=True)
    assert [(each.kind, each.product, each.current) for each in amiss] == [("missing", "image", False)]
    assert reconcile.put_right(after, amiss) == ["1 versions marked lost"]
    assert reconcile.examine(after, hashes=True) == []


def test_what_lives_is_not_overwritten_and_what_is_there_stays(
    old: Settings, urls: tuple[str | None, str | None], tmp_path: Path
) -> None:
    path, _, _ = make(old, tmp_path / "backups", NoDagster())
    with pytest.raises(BackupError, match=r"is in use: it has groups"):
        restore(old, path, NoDagster(), PARTS)
    there = moved(old, urls, tmp_path / "new")
    there.home.mkdir()
    (there.home / "contimg.toml").write_text("threads = 1\n")
    # A service may have made an empty database already.
    database.upgrade(there.sqlalchemy_url)
    done = restore(there, path, NoDagster(), PARTS)
    assert done.kept == [there.home / "contimg.toml"]
    assert (there.home / "contimg.toml").read_text() == "threads = 1\n"
    assert Installation(there).records.find(TARGET) is not None


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "no manifest"])
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_written(
    settings: Settings, tmp_path: Path, harm: str
) -> None:
    fill(settings)
    path, _, _ = make(settings, tmp_path / "backups", NoDagster())
    copy = path / STATION / "catalogue.sqlite"
    if harm == "cut":
        copy.write_bytes(copy.read_bytes()[:-1])
    elif harm == "changed":
        copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    elif harm == "gone":
        copy.unlink()
    else:
        (path / MANIFEST).unlink()
    there = settings.model_copy(update={"home": tmp_path / "new"})
    with pytest.raises(BackupError, match="expected manifest.json" if harm == "no manifest" else "not whole"):
        restore(there, path, NoDagster(), PARTS)
    assert not there.home.exists()


def test_a_manifest_cannot_name_files_elsewhere(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    path, _, _ = make(settings, tmp_path / "backups", NoDagster())
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][f"{FILES}/../../contimg.toml"] = {"bytes": 1, "sha256": "0" * 64}
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="expected one below"):
        read_manifest(path)


def test_the_copy_is_of_one_moment(
    old: Settings, urls: tuple[str | None, str | None], tmp_path: Path
) -> None:
    """Groups are registered all the while, each in one transaction: the copy has all of one or nothing."""
    stop, records, before = threading.Event(), Installation(old).records, {TARGET, CALIBRATOR}
    written: list[str] = []

    def write() -> None:
        while not stop.is_set() and len(written) < 24 * 60:
            key = f"2027-01-01T{len(written) // 60:02d}:{len(written) % 60:02d}:00"
            records.register(registration(key, old.home), ready=True)
            written.append(key)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        path, _, _ = make(old, tmp_path / "backups", NoDagster())
    finally:
        stop.set()
        writer.join()
    there = moved(old, urls, tmp_path / "new")
    restore(there, path, NoDagster(), PARTS)
    with database.reading(Installation(there).engine) as session:
        groups = set(session.scalars(select(ObservationGroup.key)))
        begun = session.scalars(select(GroupTransition.key).where(GroupTransition.to_state == "pending"))
        assert groups == set(begun)
    assert before <= groups <= {*written, *before}


def test_the_oldest_go_and_those_of_others_stay(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    folder = tmp_path / "backups"
    first, _, _ = make(settings, folder, NoDagster())
    for name, home in (("contimg-20250101T000000Z", settings.home), ("contimg-20250102T000000Z", "/other")):
        shutil.copytree(first, folder / name)
        manifest = json.loads((first / MANIFEST).read_text()) | {"home": str(home)}
        (folder / name / MANIFEST).write_text(json.dumps(manifest))
    first.rename(folder / "contimg-20250103T000000Z")
    (folder / "contimg-20250104T000000Z").mkdir()
    second, _, removed = make(settings, folder, NoDagster(), keep=2)
    assert [path.name for path in removed] == ["contimg-20250101T000000Z"]
    left = ["contimg-20250102T000000Z", "contimg-20250103T000000Z", second.name]
    assert [path.name for path in backups(folder)] == left


def test_places_where_no_backup_can_be(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    with pytest.raises(BackupError, match="is below the home"):
        make(settings, settings.home / "backups", NoDagster())
    database.checkpoint()  # or all of it would stand in the journal beside the file
    (settings.home / "catalogue.sqlite").write_bytes(b"no database at all" * 100)
    database.reading_engine_for.cache_clear()
    with pytest.raises(Exception, match="not a database"):
        make(settings, tmp_path / "backups", NoDagster())
    assert list((tmp_path / "backups").glob("*")) == []


def test_another_kind_of_database_and_a_newer_schema_are_refused(settings: Settings, tmp_path: Path) -> None:
    fill(settings)
    path, _, _ = make(settings, tmp_path / "backups", NoDagster())
    there = settings.model_copy(
        update={"home": tmp_path / "new", "database_url": "postgresql+psycopg2://x@/y"}
    )
    with pytest.raises(BackupError, match="is sqlite, found postgresql"):
        check(there, path, NoDagster(), [STATION])
    manifest = json.loads((path / MANIFEST).read_text()) | {"schema_revision": "9999"}
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="schema 9999, expected"):
        check(settings.model_copy(update={"home": tmp_path / "new"}), path, NoDagster(), [STATION])
    assert check(there, path, NoDagster(), [DAGSTER, FILES]).n_groups == 2


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    url = make_url("postgresql+psycopg2://station:secret@127.0.0.1:1/contimg")
    with pytest.raises(DatabaseError, match=r"station:\*\*\*@127.0.0.1:1/contimg") as told:
        _server(url, None)
    assert "secret" not in str(told.value)
    assert _server(url, "db:5432") == ("db", 5432)


def test_its_age_is_told(settings: Settings) -> None:
    """By the doctor, and as a time to Prometheus; before the first there is none."""
    assert (doctor_says(settings).grade, _last_backup(settings.home).samples) == ("look", [])
    for hours, grade in ((25.0, "good"), (27.0, "look")):
        at = now() - timedelta(hours=hours)
        note = {"at": at.isoformat(), "folder": "/mnt/contimg-x"}
        (settings.home / LAST).write_text(json.dumps(note))
        said = doctor_says(settings)
        assert (said.grade, said.found) == (grade, f"{hours:.1f} h old, /mnt/contimg-x")
        (sample,) = _last_backup(settings.home).samples
        assert (sample.name, sample.value) == ("contimg_last_backup_timestamp_seconds", at.timestamp())
    (settings.home / LAST).write_text("half a no")
    assert (doctor_says(settings).grade, _last_backup(settings.home).samples) == ("look", [])
