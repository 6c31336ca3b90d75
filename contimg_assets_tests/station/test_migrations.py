"""A database of the release before is carried over: its numbers, verdicts, performance and paths."""

import ast
from pathlib import Path

from sqlalchemy import MetaData, Table, func, select

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.station import database
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.database import reading
from contimg_assets.station.group_summary import summary_of
from contimg_assets.station.models import GroupSummary, Performance, Verdict
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import content, publish
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import versions_of
from contimg_assets_tests.fake_stages import record_verdict
from contimg_assets_tests.station.release_database import CALIBRATOR, TARGET, load, migrate


def test_the_release_befores_database_opens_with_its_numbers_verdicts_and_performance(
    empty_url: str, tmp_path: Path
) -> None:
    load(empty_url, tmp_path)
    engine = database.create(empty_url)
    old = Table("product", MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        before = {(row.group_key, row.product): row for row in connection.execute(select(old))}
    database.upgrade(empty_url)
    records = StationRecords(engine)
    found = {(key, name): row for key in (CALIBRATOR, TARGET) for name, row in records.products(key).items()}
    assert found.keys() == before.keys()
    for of, row in found.items():
        assert row.numbers == before[of].metrics
        assert row.made_at.replace(tzinfo=None) == before[of].created_at
        slug = of[0].translate({ord("-"): None, ord(":"): None})
        assert (row.path, row.version, row.settings) == (f"products/{slug}/{of[1]}", "", {})
        assert row.run == records.performance(of[0])[0].run or of[1] != "measurement_set"
    with reading(engine) as session:
        for table in (Verdict, Performance):
            # Each product was made once in that home, and judged after it was made.
            assert session.scalar(select(func.count()).where(table.version_id.is_(None))) == 0
        assert session.scalar(select(func.count(Verdict.id))) == 69
        assert all(found[v.key, v.product].id == v.version_id for v in session.scalars(select(Verdict)))
    registry = CalibrationRegistry(engine, CalibrationOptions(), tmp_path / "home" / "calibration")
    (calibration,) = registry.list()
    assert calibration.path == f"calibration/{calibration.id}"
    engine.dispose()


def test_what_lists_read_is_made_for_groups_that_were_there_before(empty_url: str, tmp_path: Path) -> None:
    load(empty_url, tmp_path)
    database.upgrade(empty_url)
    engine = database.create(empty_url)
    with reading(engine) as session:
        newest_first = session.scalars(select(GroupSummary).order_by(GroupSummary.key.desc()))
        rows = {row.key: row for row in newest_first}
    assert list(rows) == [TARGET, CALIBRATOR]
    assert rows[TARGET].state == "completed"
    assert rows[TARGET].n_products == 6
    assert rows[CALIBRATOR].n_products == 8
    assert rows[TARGET].rms_mjy_beam == 0.82263263175264
    assert rows[TARGET].flux_ratio == 0.9987599826752396
    assert rows[TARGET].fallback == "same_day"
    assert rows[TARGET].verdict in ("PASS", "WARN")
    with reading(engine) as session:
        for key, row in rows.items():
            assert {name: getattr(row, name) for name in summary_of(session, key)} == summary_of(session, key)
    engine.dispose()


def test_a_home_of_the_release_before_goes_on_and_its_version_stays_in_the_history(
    empty_url: str, tmp_path: Path
) -> None:
    """Its rows name links only: each is read before another version takes its place."""
    load(empty_url, tmp_path)
    database.upgrade(empty_url)
    engine = database.create(empty_url)
    records, store = StationRecords(engine), Store(tmp_path / "moved" / "home")
    link = store.path(TARGET, "image")
    published = link.parent / ".versions" / "image-0123456789ab"
    published.mkdir(parents=True)
    link.symlink_to(Path(".versions") / published.name)
    assert content(records, store, TARGET, "image") == published
    with store.staging(TARGET, "image") as folder:
        (folder / "built").mkdir()
        publish(records, store, folder / "built", TARGET, "image", {"rms_mjy_beam": 0.5})
    old, new = versions_of(engine, TARGET, "image")
    assert (old.version, old.superseded) == ("0123456789ab", new.made)
    assert store.absolute(old.path) == published
    assert published.is_dir()
    assert link.resolve() == store.absolute(new.path)
    engine.dispose()


def test_going_back_keeps_the_current_versions_and_new_rows_find_numbers(
    empty_url: str, tmp_path: Path
) -> None:
    load(empty_url, tmp_path)
    database.upgrade(empty_url)
    engine = database.create(empty_url)
    migrate(engine, "0003", down=True)
    database.upgrade(empty_url)
    records = StationRecords(engine)
    assert len(records.products(TARGET)) == 6
    judged = {"status": "PASS", "value": 1.0, "soft": 1.0, "hard": 2.0, "limits_version": "6"}
    record_verdict(records, TARGET, "image_qa", "rms_ratio", **judged)
    records.record_product(TARGET, "image", tmp_path / "image-1", {})
    assert len(records.performance(TARGET)) == 7
    engine.dispose()


def test_migrations_import_nothing_that_lives_on() -> None:
    """A revision that imported a model would change with it, and make another schema than at its release."""
    files = [*database.MIGRATIONS.rglob("*.py")]
    assert len(files) >= 6
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("contimg")], path
