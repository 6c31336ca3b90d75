"""Groups through real services: sensors, queue, Redis, PgBouncer, PostgreSQL, a Celery worker."""

from dagster import RunsFilter

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import group_key
from contimg_assets_tests.end_to_end.station.checker import Expected, processes_of
from contimg_assets_tests.end_to_end.station.services import Station, wait_until
from contimg_assets_tests.end_to_end.station.stream import (
    LENGTH,
    LONG_S,
    TARGETS,
    check,
    completed,
    observe,
)
from contimg_assets_tests.radio.subband_files import first_time_jd, write_group
from contimg_assets_tests.web.site import Site


def test_a_scan_and_targets_go_through_one_worker(two_slots: Station) -> None:
    keys = observe(two_slots.incoming, 1)
    two_slots.start_worker("one")
    two_slots.start_daemon()
    # Web server and daemon ask the one code server.
    query = '{ repositoryOrError(repositorySelector: {repositoryName: "__repository__", '
    query += 'repositoryLocationName: "contimg"}) { __typename } }'
    answer = Site(two_slots.start_web()).graphql(query)
    assert answer.json()["data"]["repositoryOrError"]["__typename"] == "Repository"
    assert len([told for told in processes_of(two_slots.home) if "dagster api grpc" in told]) == 1
    # The scan itself is imaged as well.
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(two_slots, Expected(keys))

    # Now that the calibration stands, the next target goes all the way in one run.
    start = TARGETS + LENGTH
    write_group(two_slots.incoming, start)
    covered = group_key(first_time_jd(start), telescope.INTEGRATION_S)
    wait_until(lambda: completed(keys | {covered}), LONG_S, "the covered group is not completed")
    check(two_slots, Expected(keys | {covered}))
    with two_slots.instance() as instance:
        runs = {key: instance.get_runs(RunsFilter(tags={PARTITION_TAG: key})) for key in keys | {covered}}
    assert [run.job_name for run in runs[covered]] == ["process_group"]
    assert all("convert_group" in {run.job_name for run in runs[key]} for key in keys)
