"""One finished night for all tests of the archive, which only read it."""

from pathlib import Path

import pytest

from contimg_assets.station import database
from contimg_assets_tests.finished_home import finish_night


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished night."""
    home = tmp_path_factory.mktemp("archive") / "home"
    home.mkdir()
    # With its last connection SQLite puts all into the one file, so that a copy of the home is whole.
    finish_night(home).engine.dispose()
    database.engine_for.cache_clear()
    return home
