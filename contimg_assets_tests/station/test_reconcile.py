"""What does not agree between the station database and the disk is found, each with what to do."""

from pathlib import Path

import pytest

from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.reconcile import Difference, examine, expected_keys, expected_products, put_right
from contimg_assets.station.store import remove_tree
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration
from contimg_assets_tests.station.test_backup import fill


@pytest.fixture
def station(settings: Settings, empty_url: str) -> Installation:
    """A home with a night's groups, where all agrees."""
    station = Installation(settings.model_copy(update={"database_url": empty_url}))
    fill(station.settings)
    assert examine(station, hashes=True) == []
    return station


def current(station: Installation, product: str) -> tuple[ProductVersion, Path]:
    version = station.records.product(TARGET, product)
    return version, station.store.absolute(version.path)


def kinds(found: list[Difference]) -> list[tuple[str, str]]:
    return [(each.kind, each.product) for each in found]


def test_content_that_is_lost_keeps_its_history(station: Installation) -> None:
    version, path = current(station, "image")
    remove_tree(path)
    found = examine(station)
    assert kinds(found) == [("missing", "image")]
    assert f"contimg reprocess --group {TARGET}" in found[0].fix
    assert put_right(station, found) == ["1 versions marked lost"]
    assert examine(station) == []
    assert not station.store.path(TARGET, "image").is_symlink()
    assert "image" not in station.records.products(TARGET)
    assert station.records.group(TARGET).state == "completed"
    # A second look at an old list does no harm.
    assert put_right(station, found, sure=True) == []
    assert version.deleted_at is None, "the row was read before"


def test_a_disk_that_is_away_is_not_taken_for_lost(station: Installation) -> None:
    products = station.store.products
    products.rename(products.with_name("elsewhere"))
    found = examine(station)
    told = put_right(station, found)
    assert len(told) == 1
    assert "2 of 2 current versions are missing: is the disk" in told[0]
    products.with_name("elsewhere").rename(products)
    assert examine(station) == []
    remove_tree(products)
    assert put_right(station, found, sure=True) == ["3 versions marked lost"]
    assert examine(station) == []


def test_links_orphans_and_changed_content(station: Installation) -> None:
    store = station.store
    _, path = current(station, "image")
    store.path(TARGET, "image").unlink()
    assert kinds(found := examine(station)) == [("astray", "image")]
    assert put_right(station, found) == ["1 links put right"]
    assert store.path(TARGET, "image").resolve() == path
    stray, strange = path.with_name("image-0123456789ab"), store.products / "20250101T000000" / ".versions"
    stray.mkdir()
    (strange / "image-0123456789ab").mkdir(parents=True)
    found = examine(station)
    assert kinds(found) == [("orphaned", "image")] * 2
    assert ["retention" in each.fix for each in found] == [False, True]
    assert not any(each.safe for each in found)
    remove_tree(stray)
    remove_tree(strange)
    _, flags = current(station, "flags")
    (flags / "data").write_text("others")
    (path / "SHA256SUMS").write_text(f"{'0' * 64}  data\n")
    assert examine(station) == [], "without --hashes content is not read"
    assert sorted(kinds(examine(station, hashes=True))) == [("changed", "flags"), ("changed", "image")]


def test_calibration_sets(station: Installation) -> None:
    (known,) = station.registry.list()
    folder = station.registry.folder / known.id
    table = folder / "B.cal" / "table.dat"
    content = table.read_text()
    table.write_text("others")
    (found,) = examine(station, hashes=True)
    assert (found.kind, found.what) == ("changed", f"calibration set {known.id}")
    table.write_text(content)
    folder.rename(folder.with_name("20260115T050000-00000000"))
    assert [each.kind for each in examine(station)] == ["missing", "orphaned"]


def test_groups_in_work_are_left_alone(station: Installation) -> None:
    remove_tree(current(station, "image")[1])
    station.records.reopen(TARGET, "a test")
    station.leases.take(TARGET, "a run", "a run")
    assert examine(station) == []


def test_what_dagster_is_to_know(station: Installation) -> None:
    """Groups that are done; not one that waits, nor one that never had enough files."""
    records, home = station.records, station.settings.home
    waits, rejected = "2026-01-16T03:00:00", "2026-01-17T03:00:00"
    records.register(registration(waits, home), ready=True)
    records.register(registration(rejected, home), ready=False)
    records.reject(rejected, "too few files")
    keys = expected_keys(station)
    assert keys == {TARGET, CALIBRATOR}
    assert expected_products(station, keys) == {"flags": {TARGET}, "image": {TARGET}}
