"""Groups through real services: sensors, queue, launcher, Redis, PgBouncer, PostgreSQL, Celery workers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import group_key
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.station.store import Store
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.end_to_end.station.checker import (
    Expected,
    leases_of,
    processes_of,
    violations,
)
from contimg_assets_tests.end_to_end.station.services import Station, station, wait_until
from contimg_assets_tests.radio.subband_files import first_time_jd, write_group

#: J0834+555 is on the meridian; an hour later no calibrator is in the beam.
SCAN = datetime(2026, 1, 15, 8, 50, 35, tzinfo=UTC)
TARGETS = SCAN + timedelta(hours=1)
LENGTH = timedelta(seconds=24 * telescope.INTEGRATION_S)
#: Far more than any of these tests takes, s.
LONG_S = 400.0


@pytest.fixture
def two_slots(home: Path, postgres_server: PostgresServer) -> Iterator[Station]:
    with station(home, postgres_server, slots=2) as made:
        yield made
    assert processes_of(home) == []


def observe(folder: Path, n_targets: int) -> set[str]:
    """Drop the files of a calibrator scan and of targets after it; the groups' keys."""
    keys = set()
    for start in (SCAN, *(TARGETS + number * LENGTH for number in range(n_targets))):
        write_group(folder, start)
        keys.add(group_key(first_time_jd(start), telescope.INTEGRATION_S))
    return keys


def check(made: Station, expected: Expected) -> None:
    """No violation within the seconds in which the last run ends."""
    catalog = CatalogResource().catalog()
    with made.instance() as instance:

        def found() -> list[str]:
            return violations(expected, catalog, instance, Store(made.home), leases_of(catalog))

        deadline = time.monotonic() + 60
        while found() and time.monotonic() < deadline:
            time.sleep(1)
        assert found() == []


def completed(keys: set[str]) -> bool:
    groups = CatalogResource().catalog().groups()
    return {group.key for group in groups if group.state == "completed"} == keys


def test_a_scan_and_a_target_go_through_one_worker(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 1)
    two_slots.start_worker("one")
    two_slots.start_daemon()
    # The scan itself is imaged as well.
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(two_slots, Expected(keys))
