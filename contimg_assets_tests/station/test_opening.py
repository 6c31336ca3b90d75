"""Opening a station database: what is asked without Alembic is what Alembic would say."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station import database


def test_the_newest_revision_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert database.head() == ScriptDirectory.from_config(config).get_current_head()


def test_the_revision_of_a_database_is_what_alembic_says(engine: Engine) -> None:
    with engine.connect() as connection:
        assert database.revision(engine) == MigrationContext.configure(connection).get_current_revision()
    assert database.revision(engine) == database.head()


def test_a_database_that_was_never_made_is_refused_and_not_made(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no station database at"):
        database.require(empty_url)
    assert list(tmp_path.iterdir()) == []
    database.upgrade(empty_url)
    database.require(empty_url)
