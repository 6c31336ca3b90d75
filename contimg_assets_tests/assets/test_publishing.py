"""Killed or failed anywhere, publication leaves the old version or the new one, and the row says which."""

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from contimg_assets.station import publication, retention
from contimg_assets.station.database import create, upgrade
from contimg_assets.station.models import now
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import versions_of
from contimg_assets_tests.fake_stages import TARGET, registration

REPOSITORY = Path(__file__).parent.parent.parent
#: Publishes one version after the other, or one and is then killed at a point.
PROGRAM = """
import os, sys
from pathlib import Path
from contimg_assets.station.database import create
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import publish
from contimg_assets.station.store import Store
home, key, first, point = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
store, records = Store(home), StationRecords(create(f"sqlite:///{home / 'c.sqlite'}"))
name, after = {
    "built": ("place", False),
    "placed": ("place", True),
    "entered": ("point", False),
    "shown": ("point", True),
}.get(point, ("", False))
if name:
    works = getattr(store, name)
    def killed(*arguments):
        if after:
            works(*arguments)
        os._exit(9)
    setattr(store, name, killed)
for number in range(first, 10**9):
    with store.staging(key, "image") as folder:
        built = folder / "built"
        built.mkdir()
        for part in ("a", "b", "c"):
            (built / part).write_text(str(number) * 1000)
        publish(records, store, built, key, "image", {"number": number})
    print(number, flush=True)
    if point == "committed":
        os._exit(9)
"""
#: When all that was left is old enough to go.
LATER = timedelta(days=3)


def opened(home: Path) -> tuple[StationRecords, Store]:
    url = f"sqlite:///{home / 'c.sqlite'}"
    upgrade(url)
    records = StationRecords(create(url))
    records.register(registration(TARGET, home), ready=True)
    return records, Store(home)


def start(home: Path, first: int, point: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(home), TARGET, str(first), point]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def number_at(path: Path) -> int:
    """Which version is at a path; all of its files must be of that."""
    found = {(path / part).read_text() for part in ("a", "b", "c")}
    assert len(found) == 1
    return int(found.pop()[:7])


def publish(records: StationRecords, store: Store, number: int, product: str = "image") -> Path:
    with store.staging(TARGET, product) as folder:
        (folder / "built").mkdir()
        for part in ("a", "b", "c"):
            (folder / "built" / part).write_text(f"{number:07d}" * 1000)
        publication.publish(records, store, folder / "built", TARGET, product, {"number": number})
    return publication.content(records, store, TARGET, product)


def contents(store: Store) -> list[Path]:
    return sorted(store.path(TARGET, ".versions").iterdir())


def test_killed_anywhere_the_product_is_whole(tmp_path: Path) -> None:
    rng = random.Random(1)
    records, store = opened(tmp_path)
    first = 10**6
    for _ in range(5):
        process = start(tmp_path, first)
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0]
        last = int(said.splitlines()[-1])
        entered = number_at(publication.content(records, store, TARGET, "image"))
        # The last that it said to have published, or the one after it; the link may be one ahead of the row.
        assert entered in (last, last + 1)
        assert number_at(store.path(TARGET, "image")) in (entered, entered + 1)
        assert records.product(TARGET, "image").numbers == {"number": entered}
        first = last + 1000


@pytest.mark.parametrize(
    ("point", "entered", "shown"),
    [
        ("built", 1000000, 1000000),
        ("placed", 1000000, 1000000),
        ("entered", 1000000, 1000000),
        # The link is ahead of the row: who reads through the row has the old version.
        ("shown", 1000000, 2000000),
        ("committed", 2000000, 2000000),
    ],
)
def test_a_kill_between_two_steps_leaves_what_the_row_says_and_retention_tidies_up(
    tmp_path: Path, point: str, entered: int, shown: int
) -> None:
    records, store = opened(tmp_path)
    publish(records, store, 1000000)
    process = start(tmp_path, 2000000, point)
    process.communicate()
    assert process.returncode == 9
    content = publication.content(records, store, TARGET, "image")
    assert number_at(content) == entered
    assert number_at(store.path(TARGET, "image")) == shown
    astray = retention.put_links_right(records, store)
    assert astray == ([store.path(TARGET, "image")] if entered != shown else [])
    assert store.path(TARGET, "image").resolve() == content
    planned = retention.plan(records.engine, store, 24.0, now() + LATER)
    retention.carry_out(records.engine, store, planned)
    assert contents(store) == [content]
    assert list(store.path(TARGET, ".staging").iterdir()) == []
    assert number_at(publish(records, store, 3000000)) == 3000000


@pytest.mark.parametrize("after", [False, True], ids=["before the link", "after the link"])
def test_a_failure_between_two_steps_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """A failure after the link is one of the commit too: nothing comes between the two."""
    records, store = opened(tmp_path)
    old = publish(records, store, 1)
    point_link, failed = store.point, []

    def fails_once(link: Path, path: Path) -> None:
        if after or failed:
            point_link(link, path)
        if not failed:
            failed.append(path)
            raise OSError("the disk is gone for a moment")

    monkeypatch.setattr(store, "point", fails_once)
    with pytest.raises(OSError, match="is gone"):
        publish(records, store, 2)
    assert contents(store) == [old]
    assert store.path(TARGET, "image").resolve() == old
    assert records.product(TARGET, "image").numbers == {"number": 1}


def test_a_first_version_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, store = opened(tmp_path)
    point_link = store.point

    def fails(link: Path, path: Path) -> None:
        point_link(link, path)
        raise OSError("no")

    monkeypatch.setattr(store, "point", fails)
    with pytest.raises(OSError, match="no"):
        publish(records, store, 1)
    assert contents(store) == []
    assert not store.path(TARGET, "image").is_symlink()


def test_a_commit_that_came_through_although_it_was_said_to_fail_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a connection breaks while the database's answer is on its way."""
    records, store = opened(tmp_path)
    record = records.record_product

    def breaks(*arguments: object, **named: object) -> None:
        record(*arguments, **named)  # type: ignore[arg-type]
        raise OSError("connection lost")

    monkeypatch.setattr(records, "record_product", breaks)
    with pytest.raises(OSError, match="connection lost"):
        publish(records, store, 1)
    assert number_at(publication.content(records, store, TARGET, "image")) == 1
    assert number_at(store.path(TARGET, "image")) == 1


def test_a_reader_of_the_old_version_is_not_disturbed_and_restored_flags_are_a_publication(
    tmp_path: Path,
) -> None:
    records, store = opened(tmp_path)
    old = publish(records, store, 1, "flags")
    with (old / "a").open() as handle:
        new = publish(records, store, 2, "flags")
        assert handle.read() == "0000001" * 1000
    publication.restore(records, store, old, TARGET, "flags", {"number": 1})
    # The same content again is the content that is there.
    assert publish(records, store, 1, "flags") == old
    assert sorted(contents(store)) == sorted([old, new])
    tokens = [view.version for view in versions_of(records.engine, TARGET, "flags")]
    assert [token == tokens[0] for token in tokens] == [True, False, True, True]
    retention.carry_out(records.engine, store, retention.plan(records.engine, store, 0.0, now() + LATER))
    assert sorted(contents(store)) == sorted([old, new])


def test_a_home_that_was_moved_works(tmp_path: Path) -> None:
    records, store = opened(tmp_path)
    old = publish(records, store, 1)
    publish(records, store, 2)
    records.engine.dispose()
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    records, store = opened(moved)
    assert number_at(publication.content(records, store, TARGET, "image")) == 2
    assert publication.content(records, store, TARGET, "image").is_relative_to(moved)
    assert number_at(publish(records, store, 3)) == 3
    later = now() + LATER
    retention.carry_out(records.engine, store, retention.plan(records.engine, store, 24.0, later))
    assert [number_at(path) for path in contents(store)] == [3]
    assert not (moved / old.relative_to(tmp_path)).exists()
