"""What tests of the station share: databases that one module migrates once."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from contimg_assets.station import database
from contimg_assets.station.database import transaction
from contimg_assets.station.models import Base


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database of each kind for all tests of a module."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('migrated') / 'catalogue.sqlite'}"
    else:
        url = request.getfixturevalue("postgres_server").new_schema()
    database.upgrade(url)
    engine = database.create(url)
    yield engine
    engine.dispose()


@pytest.fixture
def emptied(migrated: Engine) -> Engine:
    """The same, empty."""
    with transaction(migrated) as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    return migrated
