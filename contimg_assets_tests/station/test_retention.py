"""Retention removes what nobody needs once its time has come, says why, and nothing else."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import RetentionError
from contimg_assets.station import publication, retention
from contimg_assets.station.models import now
from contimg_assets.station.products import StationRecords
from contimg_assets.station.retention import Removal, carry_out, plan
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import versions_of
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration

GRACE_HOURS = 24.0
DAY = timedelta(days=1, seconds=1)
#: Bytes of each product.
SIZE = 1000

Publish = Callable[..., Path]


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(engine)
    for key in (TARGET, CALIBRATOR):
        records.register(registration(key, tmp_path), ready=True)
    return records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def publish(records: StationRecords, store: Store) -> Publish:
    def make(product: str, content: str = "x", key: str = TARGET) -> Path:
        with store.staging(key, product) as folder:
            (folder / "built").mkdir()
            (folder / "built" / "data").write_text(content * SIZE)
            publication.publish(records, store, folder / "built", key, product, {})
        return publication.content(records, store, key, product)

    return make


def test_a_superseded_version_goes_when_its_grace_is_over_and_its_row_stays(
    records: StationRecords, store: Store, publish: Publish
) -> None:
    old, new = publish("image"), publish("image")
    other = publish("image", key=CALIBRATOR)
    assert plan(records.engine, store, GRACE_HOURS) == []
    (planned,) = plan(records.engine, store, GRACE_HOURS, now() + DAY)
    assert (planned.path, planned.size) == (old, SIZE)
    assert planned.reason.startswith(f"image of {TARGET}, superseded 20")
    assert old.is_dir()
    assert carry_out(records.engine, store, [planned]) == SIZE
    assert not old.exists()
    assert sorted(old.parent.iterdir()) == [new]
    assert other.is_dir()
    first, second = versions_of(records.engine, TARGET, "image")
    assert first.deleted is not None
    assert second.deleted is None
    assert plan(records.engine, store, GRACE_HOURS, now() + DAY) == []


def test_flags_and_calibration_sets_stay_for_ever(
    store: Store, records: StationRecords, publish: Publish
) -> None:
    versions = [publish("flags", content) for content in "ab"]
    kept = store.calibration / "20260115T050000-01234567"
    kept.mkdir(parents=True)
    # Of a release that did not enter every version.
    unnamed = versions[0].with_name("flags-0123456789ab")
    unnamed.mkdir()
    assert plan(records.engine, store, 0.0, now() + 100 * DAY) == []


def test_what_killed_processes_left_goes_after_a_day_however_short_the_grace(
    store: Store, records: StationRecords, publish: Publish
) -> None:
    current = publish("image")
    left = [
        current.with_name("image-0123456789ab"),
        store.path(TARGET, ".staging") / "image-0123456789ab",
        store.calibration / ".staging" / "20260115T050000-01234567",
        store.scratch / "image-0123456789ab",
    ]
    for folder in left:
        folder.mkdir(parents=True)
    link = current.with_name("image-0123456789ab.0123.link")
    link.symlink_to(current.name)
    assert plan(records.engine, store, 0.0) == []
    planned = plan(records.engine, store, 0.0, now() + DAY)
    assert {item.path for item in planned} == {*left, link}
    carry_out(records.engine, store, planned)
    assert not any(folder.exists() for folder in left)
    assert not link.is_symlink()
    assert current.is_dir()


def test_a_scratch_disk_keeps_what_is_not_ours(store: Store, records: StationRecords, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    elsewhere = Store(store.home, disk)
    ours, theirs = disk / "image-0123456789ab", disk / "somebody's data"
    for folder in (ours, theirs):
        folder.mkdir(parents=True)
    planned = plan(records.engine, elsewhere, 0.0, now() + DAY)
    assert [item.path for item in planned] == [ours]


def test_a_database_that_knows_nothing_costs_no_data(
    store: Store, records: StationRecords, tmp_path: Path
) -> None:
    """Content goes only beside a current version of the same product: not where the database was lost."""
    lost = store.path(TARGET, ".versions") / "image-0123456789ab"
    lost.mkdir(parents=True)
    (store.products / "20200101T000000" / ".versions" / "image-0123456789ab").mkdir(parents=True)
    # Of another home's database: its current version is not here.
    records.record_product(TARGET, "image", tmp_path / "image-1", {})
    assert plan(records.engine, store, 0.0, now() + 100 * DAY) == []


def test_a_removal_that_was_cut_short_is_finished(
    store: Store, records: StationRecords, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the row was marked, and after the content was renamed."""
    old = publish("image")
    publish("image")
    planned = plan(records.engine, store, GRACE_HOURS, now() + DAY)

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            carry_out(records.engine, store, planned)
    assert old.is_dir()
    again = plan(records.engine, store, GRACE_HOURS, now() + DAY)
    assert [(item.path, item.reason) for item in again] == [(old, "a removal that was cut short")]
    with monkeypatch.context() as patched:
        patched.setattr("contimg_assets.station.store.remove_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            carry_out(records.engine, store, again)
    assert not old.exists()
    (trash,) = plan(records.engine, store, GRACE_HOURS)
    assert trash.path.name.startswith(".trash-")
    carry_out(records.engine, store, [trash])
    assert len(list(old.parent.iterdir())) == 1


def test_a_plan_that_is_out_of_date_removes_nothing_that_is_used(
    store: Store, records: StationRecords, publish: Publish
) -> None:
    current = publish("image")
    version = records.product(TARGET, "image")
    stale = [Removal(current, "superseded", SIZE, version.id), Removal(current, "never published", SIZE)]
    assert carry_out(records.engine, store, stale) == 0
    assert current.is_dir()


def test_content_that_is_gone_already_is_marked(
    store: Store, records: StationRecords, publish: Publish
) -> None:
    old = publish("image")
    publish("image")
    store.remove(old)
    carry_out(records.engine, store, plan(records.engine, store, GRACE_HOURS, now() + DAY))
    assert versions_of(records.engine, TARGET, "image")[0].deleted is not None


def test_what_cannot_be_removed_is_named_and_the_rest_goes(
    store: Store, records: StationRecords, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, free = publish("image"), publish("flux")
    for product in ("image", "flux"):
        publish(product)
    remove = store.remove

    def refuses(path: Path) -> None:
        if path == stuck:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(store, "remove", refuses)
    with pytest.raises(RetentionError, match=f"1 items could not be removed: {stuck}: Permission denied"):
        carry_out(records.engine, store, plan(records.engine, store, GRACE_HOURS, now() + DAY))
    assert stuck.is_dir()
    assert not free.exists()
    assert [item.path for item in plan(records.engine, store, GRACE_HOURS)] == [stuck]


def test_links_are_put_right_by_the_rows(store: Store, records: StationRecords, publish: Publish) -> None:
    """Also one that leads to content which is not there; a link of no product of ours is left alone."""
    old, new, link = publish("image"), publish("image"), store.path(TARGET, "image")
    assert retention.put_links_right(records, store) == []
    for target in (old, new.with_name("image-0123456789ab")):
        store.point(link, target)
        foreign = link.with_name("notes")
        foreign.unlink(missing_ok=True)
        foreign.symlink_to(os.devnull)
        assert retention.put_links_right(records, store) == [link]
        assert link.resolve() == new
        assert foreign.is_symlink()
