"""The schema can be made by any number of processes at once, and is what the models say."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from contimg_assets.radio.errors import DatabaseError
from contimg_assets.settings import IngestOptions, Settings
from contimg_assets.station import campaign_models, database, review_models, space_models, survey_models
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import Base, GroupTransition
from contimg_assets.station.products import StationRecords

#: Newest revision of the schema.
HEAD = "0012"
REPOSITORY = Path(__file__).parent.parent.parent


def test_migrations_make_exactly_the_models(engine: Engine) -> None:
    assert campaign_models.Campaign.metadata is Base.metadata
    assert review_models.GroupReview.metadata is Base.metadata
    assert survey_models.SurveySource.metadata is Base.metadata
    assert space_models.SpaceGuard.metadata is Base.metadata
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_upgrading_again_changes_nothing(empty_url: str) -> None:
    database.upgrade(empty_url)
    database.upgrade(empty_url)
    assert database.revision(database.create(empty_url)) == HEAD


def test_processes_that_start_at_once_on_an_empty_database_all_succeed(empty_url: str) -> None:
    program = f"from contimg_assets.station.database import upgrade; upgrade({empty_url!r})"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outcomes = [(process.communicate()[1], process.returncode) for process in processes]
    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    assert database.revision(database.create(empty_url)) == HEAD


def test_a_group_that_was_held_before_leases_is_nobodys_and_keeps_its_history(empty_url: str) -> None:
    engine = database.create(empty_url)
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.execution_options(contimg_writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(
            text(
                "INSERT INTO observation_group (key, state, reason, n_subbands, missing_subbands, "
                "declination_deg, mid_mjd, files, antennas, owner, heartbeat, retries, created, updated) "
                "VALUES ('2026-01-15T03:00:00', 'in_progress', 'started', 16, '[]', 54.57, 61055.1, '{}', "
                "'[]', 'run 1', '2026-01-15 03:06:00', 0, '2026-01-15 03:06:00', '2026-01-15 03:06:00')"
            )
        )
        connection.execute(
            text(
                'INSERT INTO group_transition (key, "to", reason, at) VALUES '
                "('2026-01-15T03:00:00', 'in_progress', 'started', '2026-01-15 03:06:00')"
            )
        )
    engine.dispose()
    database.upgrade(empty_url)
    records, leases = StationRecords(engine), Leases(engine, IngestOptions())
    assert records.group("2026-01-15T03:00:00").state == "in_progress"
    assert [step.reason for step in records.transitions("2026-01-15T03:00:00")] == ["started"]
    assert leases.held() == {}
    leases.hold("2026-01-15T03:00:00", "run 2")
    assert leases.held()["2026-01-15T03:00:00"].owner == "run 2"


def test_foreign_keys_are_enforced(engine: Engine) -> None:
    with pytest.raises(IntegrityError), database.transaction(engine) as session:
        session.add(GroupTransition(key="2026-01-01T00:00:00", to_state="pending", reason=""))


def test_sqlite_readers_and_writers_do_not_block_each_other(tmp_path: Path) -> None:
    engine = database.create(f"sqlite:///{tmp_path / 'new' / 'c.sqlite'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == database.SQLITE_BUSY_MS
    with database.transaction(engine) as session:
        session.execute(text("CREATE TABLE t (x INTEGER)"))
    # Whoever had to wait would do so for SQLITE_BUSY_MS, and then be refused.
    with engine.connect() as reader, database.transaction(engine) as writer:
        count = text("SELECT count(*) FROM t")
        assert reader.execute(count).scalar() == 0
        writer.execute(text("INSERT INTO t VALUES (1)"))
        writer.commit()
        assert reader.execute(count).scalar() == 0
    with engine.connect() as reader, database.transaction(engine) as writer:
        writer.execute(text("INSERT INTO t VALUES (2)"))
        assert reader.execute(count).scalar() == 1


def test_a_bare_postgresql_address_gets_the_driver_that_is_installed() -> None:
    settings = Settings(database_url="postgresql://user@host/name")
    assert database.create(settings.sqlalchemy_url).driver == "psycopg2"


def test_a_newer_releases_database_is_refused_in_one_line(empty_url: str) -> None:
    """Another release's commands say what is wrong; they neither fail in the migrations nor write."""
    database.upgrade(empty_url)
    engine = database.create(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=f"found the schema 9999, expected {HEAD}"):
        database.upgrade(empty_url)
    engine.dispose()
