"""Stations for the tests of this folder; nothing of one is left when its test is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import processes_of
from contimg_assets_tests.end_to_end.station.services import Station, station


@pytest.fixture
def two_slots(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    """A station for two runs at a time; its workers and daemon are the test's to start."""
    with station(home, postgres_server, slots=2) as made:
        yield made
    assert processes_of(home) == []


@pytest.fixture
def eight_slots(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    """The same for eight runs at a time."""
    with station(home, postgres_server, slots=8) as made:
        yield made
    assert processes_of(home) == []
