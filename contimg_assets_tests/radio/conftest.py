"""CASA as the package sets it up, and simulated groups that several tests share."""

from pathlib import Path

import pytest

from contimg_assets.radio import casa


@pytest.fixture(scope="session")
def casa_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configure CASA and casacore for this process, as every stage does before it imports them."""
    data = casa.configure(tmp_path_factory.mktemp("casa"))
    import casatasks  # noqa: F401  (reads the configuration now, while the environment carries it)

    return data
