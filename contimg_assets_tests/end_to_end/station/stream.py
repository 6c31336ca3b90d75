"""A stream of small groups: a calibrator's scan and targets after it, and what must come of them."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import OperationalError

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import group_key
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.store import Store
from contimg_assets_tests.end_to_end.station.checker import Expected, leases_of, violations
from contimg_assets_tests.end_to_end.station.services import Station
from contimg_assets_tests.radio.subband_files import first_time_jd, write_group

#: J0834+555 is on the meridian; an hour later no calibrator is in the beam.
SCAN = datetime(2026, 1, 15, 8, 50, 35, tzinfo=UTC)
TARGETS = SCAN + timedelta(hours=1)
LENGTH = timedelta(seconds=24 * telescope.INTEGRATION_S)
#: Far more than any of these tests takes, also on a machine that has fifty times more to do than it can, s.
LONG_S = 3600.0
#: In which the last run ends after its group is completed, s.
END_S = 60.0


def observe(folder: Path, n_targets: int) -> set[str]:
    """Drop the files of a calibrator scan and of targets after it; the groups' keys."""
    starts = (SCAN, *(TARGETS + number * LENGTH for number in range(n_targets)))
    return {drop(folder, start) for start in starts}


def drop(folder: Path, start: datetime) -> str:
    """Drop the files of one group; its key."""
    write_group(folder, start)
    return group_key(first_time_jd(start), telescope.INTEGRATION_S)


def states() -> dict[str, str]:
    """Groups and what they are; PgBouncer waits for a while before it tries again what had been away."""
    deadline = time.monotonic() + LONG_S
    while True:
        try:
            return {group.key: group.state for group in DatabaseResource().records().groups()}
        except OperationalError:
            assert time.monotonic() < deadline, "the database does not come back"
            time.sleep(1)


def completed(keys: set[str]) -> bool:
    """Whether all groups are, and there is no other."""
    return {key for key, state in states().items() if state == "completed"} == keys


def check(made: Station, expected: Expected) -> None:
    """Demand that nothing is violated, once the last run has ended."""
    records = DatabaseResource().records()
    with made.instance() as instance:

        def found() -> list[str]:
            return violations(expected, records, instance, Store(made.home), leases_of(records))

        deadline = time.monotonic() + END_S
        while (told := found()) and time.monotonic() < deadline:
            time.sleep(1)
    assert not told, "\n".join(told)
