"""An upgrade of a station under a stream of groups, step by step as operations.md says.  Minutes long."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy import select

from contimg_assets import __version__
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.station.database import head, reading
from contimg_assets.station.models import ProductVersion
from contimg_assets_tests.end_to_end.station.checker import Expected
from contimg_assets_tests.end_to_end.station.services import REPOSITORY, Station, wait_until
from contimg_assets_tests.end_to_end.station.stream import (
    LENGTH,
    LONG_S,
    TARGETS,
    check,
    completed,
    drop,
    observe,
    states,
)
from contimg_assets_tests.end_to_end.station.test_faults import with_a_run

pytestmark = pytest.mark.long
NEW = f"{__version__}.post1"
#: Targets before the upgrade begins; while it goes on, so many groups are always waiting or in work.
BEFORE, OPEN = 2, 4
#: Whether another group is to come is looked at this often, s.
PACE_S = 2.0


#: A migration of the later release.
MIGRATION = """import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", "{head}"
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table("of_the_later_release", sa.Column("id", sa.Integer, primary_key=True))
"""


def newer_release(folder: Path, *, schema: bool = False) -> Path:
    """The package as a later release has it, in a folder of its own; perhaps with another schema."""
    package = folder / "contimg_assets"
    shutil.copytree(REPOSITORY / "contimg_assets", package)
    path = package / "__init__.py"
    path.write_text(path.read_text().replace(f'"{__version__}"', f'"{NEW}"'))
    if schema:
        versions = package / "station" / "migrations" / "versions"
        (versions / "9999_later.py").write_text(MIGRATION.format(head=head()))
    return folder


@contextmanager
def arriving(made: Station, keys: set[str]) -> Iterator[None]:
    """Groups come until the block has ended, one whenever too few are open."""
    stop = threading.Event()

    def feed() -> None:
        number = BEFORE
        while not stop.wait(PACE_S):
            if len(keys) - sum(state == "completed" for state in states().values()) < OPEN:
                keys.add(drop(made.incoming, TARGETS + number * LENGTH))
                number += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def idle(made: Station, name: str) -> bool:
    """Whether a worker has nothing in hand."""
    return all(each.run is None for each in made.workers().states() if each.name.startswith(f"{name}@"))


def leave(made: Station, name: str) -> None:
    """A worker ends the run in hand, takes no other, and is stopped."""
    (worker,) = [each.name for each in made.workers().states() if each.name.startswith(f"{name}@")]
    made.workers().drain(worker)
    wait_until(lambda: idle(made, name), LONG_S, f"worker {name} does not end its run")
    made.stop(name)


def doctor(made: Station, release: Path) -> dict[str, list[dict[str, Any]]]:
    """What ``contimg doctor`` of a release says of the services: by service."""
    done = made.command(release, "doctor", "--json").stdout
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(done):
        if each["what"].startswith("service "):
            found.setdefault(each["what"].removeprefix("service "), []).append(each)
    return found


def test_a_new_release_and_a_changed_setting_under_a_stream_of_groups(
    two_slots: Station, tmp_path: Path
) -> None:
    made, keys = two_slots, observe(two_slots.incoming, BEFORE)
    made.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        made.start_worker(name)
    made.start_daemon()
    made.start_web()
    with_a_run(made, "one")
    release = newer_release(tmp_path / "release")
    with arriving(made, keys):
        # What starts from now on is the new release's, with another setting in the environment.
        made.release = release
        made.environment["CONTIMG_IMAGING__ROBUST"] = "0.25"
        told = doctor(made, release)
        assert {each["grade"] for services in told.values() for each in services} == {"look"}
        assert all(f"{NEW} is installed" in each["advice"] for each in told["worker"])
        assert all("started with imaging.robust" in each["found"] for each in told["worker"])
        for name in ("one", "two"):
            leave(made, name)
            made.start_worker(name)
            with_a_run(made, name)
            if name == "one":
                assert sorted(each["grade"] for each in doctor(made, release)["worker"]) == ["good", "look"]
        made.stop("code")
        made.start_code_server()
        made.stop("daemon")
        made.start_daemon()
        made.stop("web")
        made.start_web()
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(made, Expected(keys))
    told = doctor(made, release)
    assert told.keys() == {"code", "web", "worker"}
    assert {each["grade"] for services in told.values() for each in services} == {"good"}
    assert_nothing_failed_or_came_twice(made, keys)


def test_a_release_with_another_schema_waits_until_the_services_have_ended(
    two_slots: Station, tmp_path: Path
) -> None:
    made, keys = two_slots, observe(two_slots.incoming, BEFORE)
    made.environment["TINY_STAGE_S"] = "2"
    for name in ("one", "two"):
        made.start_worker(name)
    made.start_daemon()
    with_a_run(made, "one")
    release = newer_release(tmp_path / "release", schema=True)
    with arriving(made, keys):
        # Whatever command of it is called, the database stays as those who work have it.
        for command in ("init", "status"):
            refused = made.command(release, command)
            assert refused.returncode == 3, refused.stdout
            assert "Drain the workers, stop the services" in refused.stderr
        for name in ("one", "two"):
            leave(made, name)
        made.stop("daemon", "code")
        made.release = release
        made.environment["CONTIMG_IMAGING__ROBUST"] = "0.25"
        assert made.command(release, "init").returncode == 0
        made.start_code_server()
        made.start_daemon()
        for name in ("one", "two"):
            made.start_worker(name)
    wait_until(lambda: completed(keys), LONG_S, "not every group is completed")
    check(made, Expected(keys))
    assert_nothing_failed_or_came_twice(made, keys)


def assert_nothing_failed_or_came_twice(made: Station, keys: set[str]) -> None:
    """No run of a group failed, and each has one version of each product; both releases have made some.

    Products of the day do fail: these stages measure nothing.
    """
    ended = RunsFilter(statuses=[DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
    with made.instance() as instance:
        failed = [
            (run.job_name, run.run_id) for run in instance.get_runs(ended) if keys & set(run.tags.values())
        ]
    assert failed == []
    with reading(DatabaseResource().records().engine) as session:
        versions = list(session.scalars(select(ProductVersion).where(ProductVersion.product == "image")))
    assert sorted(each.key for each in versions) == sorted(keys)
    by_release: dict[str, set[str]] = {}
    for each in versions:
        robust = str(each.settings["options"]["imaging"]["robust"])
        by_release.setdefault(each.settings["software"]["contimg"], set()).add(robust)
    assert by_release.keys() == {__version__, NEW}
    # The setting came with the release, and at no other time.
    assert by_release[NEW] == {"0.25"}
    assert "0.25" not in by_release[__version__]
