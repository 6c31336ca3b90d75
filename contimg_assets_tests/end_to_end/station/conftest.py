"""Stations for the tests of this folder; nothing of one is left when its test is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import processes_of
from contimg_assets_tests.end_to_end.station.services import Station, station

#: So long that a machine under load buries nobody who lives, and as long as a test can wait, s.
PATIENT_S, QUICK_S = 300.0, 20.0


@pytest.fixture
def two_slots(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    """A station for two runs at a time; its workers and daemon are the test's to start."""
    with station(home, postgres_server, slots=2, dead_after_s=PATIENT_S) as made:
        yield made
    assert processes_of(home) == []


@pytest.fixture
def quick_to_bury(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    """The same, for tests that lose a worker."""
    with station(home, postgres_server, slots=2, dead_after_s=QUICK_S) as made:
        yield made
    assert processes_of(home) == []


@pytest.fixture
def eight_slots(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    """A station for eight runs at a time."""
    with station(home, postgres_server, slots=8, dead_after_s=PATIENT_S) as made:
        yield made
    assert processes_of(home) == []
