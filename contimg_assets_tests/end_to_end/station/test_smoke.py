"""Two groups through real services: sensors, queue, Redis, PgBouncer, PostgreSQL, a Celery worker."""

from contimg_assets_tests.end_to_end.station.checker import Expected
from contimg_assets_tests.end_to_end.station.services import Station, wait_until
from contimg_assets_tests.end_to_end.station.stream import LONG_S, check, completed, observe


def test_a_scan_and_a_target_go_through_one_worker(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 1)
    two_slots.start_worker("one")
    two_slots.start_daemon()
    # The scan itself is imaged as well.
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(two_slots, Expected(keys))
