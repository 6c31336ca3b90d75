"""Sets are registered with their files or not at all, judged before use, and found again on disk."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CalibrationError, MissingInputError, StateError
from contimg_assets.radio.limits import load_limits
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.database import MIGRATIONS, create, transaction, upgrade
from contimg_assets.station.models import CalibrationSet
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import record_verdict, registration, solutions, write_tables

SETTINGS = CalibrationOptions()
KEY, OTHER = "2026-01-15T01:00:00", "2026-01-15T09:00:00"


@pytest.fixture
def registry(engine: Engine, tmp_path: Path) -> CalibrationRegistry:
    records = StationRecords(engine)
    for key in (KEY, OTHER):
        records.register(registration(key, tmp_path), ready=True)
    return CalibrationRegistry(engine, SETTINGS, tmp_path / "calibration")


def solved(folder: Path, key: str = KEY, **changes: object) -> tuple[dict[str, object], Path]:
    """What a solver leaves: its sidecar's content, and a folder with tables."""
    tables = write_tables(folder, str(folder))
    return solutions(key, tables=tables, **changes), folder


def enter(registry: CalibrationRegistry, folder: Path, key: str = KEY) -> str:
    """Register a set and make it active."""
    name = registry.register(*solved(folder, key))
    assert registry.conclude(name, []) == "active"
    return name


def judge(registry: CalibrationRegistry, key: str, *bad: str) -> str | None:
    """Keep a verdict of each check, ERROR for those named, and settle."""
    records = StationRecords(registry.engine)
    for check in load_limits().limits["calibration_qa"]:
        status = "ERROR" if check in bad else "PASS"
        record_verdict(
            records,
            key,
            "calibration_qa",
            check,
            status=status,
            value=80.0,
            soft=15.0,
            hard=45.0,
            limits_version="1",
        )
    return registry.settle(key)


def test_a_set_is_pending_until_it_is_judged_and_a_bad_one_is_never_active(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    name = registry.register(*solved(tmp_path / "a"))
    assert registry.get(name).status == "pending"
    assert registry.active(61055.0, 54.57) == []
    assert judge(registry, KEY, "phase_scatter_deg") == "failed"
    found = registry.get(name)
    assert (found.status, found.reason) == ("failed", "phase_scatter_deg is 80, hard limit 45")
    # Judged again, with other limits: its status follows.
    assert judge(registry, KEY) == "active"
    assert [item.id for item in registry.active(61055.0, 54.57)] == [name]


def test_verdicts_on_an_earlier_set_of_the_scan_do_not_count(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    registry.register(*solved(tmp_path / "a"))
    judge(registry, KEY)
    name = registry.register(*solved(tmp_path / "b"))
    assert registry.settle(KEY) == "pending"
    assert registry.get(name).status == "pending"
    assert registry.settle("2026-01-16T00:00:00") is None


def test_a_new_set_of_the_same_scan_replaces_the_old_one_once_it_is_good(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    old = enter(registry, tmp_path / "a")
    bad = registry.register(*solved(tmp_path / "b"))
    assert judge(registry, KEY, "phase_scatter_deg") == "failed"
    assert registry.get(old).status == "active"
    new = registry.register(*solved(tmp_path / "c"))
    assert registry.get(bad).status == "failed"
    assert judge(registry, KEY) == "active"
    assert (registry.get(old).status, registry.get(old).replaced_by) == ("retired", new)
    assert [found.id for found in registry.list("active")] == [new]
    # The files of the one that was replaced are still there, and still the same.
    assert {outcome.status for outcome in registry.verify()} == {"ok"}


def test_what_is_not_what_the_solver_named_is_not_registered(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    """Neither a row nor a file is left."""
    sidecar, folder = solved(tmp_path / "a")
    (folder / "B.cal" / "table.dat").write_text("something else")
    with pytest.raises(CalibrationError, match=r"B\.cal has SHA-256"):
        registry.register(sidecar, folder)
    assert registry.list() == []
    assert [path for path in registry.folder.rglob("*") if path.is_file()] == []


def test_a_write_that_fails_leaves_no_files(registry: CalibrationRegistry, tmp_path: Path) -> None:
    """The row and the files come together: here the table of sets is gone when the row is written."""
    sidecar, folder = solved(tmp_path / "a")
    with transaction(registry.engine) as session:
        session.execute(text("ALTER TABLE calibration_table RENAME TO elsewhere"))
    with pytest.raises(Exception, match="calibration_table"):
        registry.register(sidecar, folder)
    assert [path for path in registry.folder.rglob("*") if path.is_file()] == []


def test_the_registry_is_rebuilt_from_the_sidecars(registry: CalibrationRegistry, tmp_path: Path) -> None:
    """Every set comes back as it stood, successor and reason included."""
    old, new = enter(registry, tmp_path / "a"), enter(registry, tmp_path / "b")
    failed = registry.register(*solved(tmp_path / "c", OTHER))
    registry.conclude(failed, ["phase_scatter_deg is 80"])
    before = {item.id: vars(item) | {"_sa_instance_state": 0, "tables": 0} for item in registry.list()}
    with transaction(registry.engine) as session:
        for item in session.query(CalibrationSet).all():
            item.replaced_by = None
        session.flush()
        for item in session.query(CalibrationSet).all():
            session.delete(item)
    assert {outcome.status for outcome in registry.verify()} == {"unregistered"}
    assert registry.rebuild() == sorted([old, new, failed])
    after = {item.id: vars(item) | {"_sa_instance_state": 0, "tables": 0} for item in registry.list()}
    assert after == before
    assert registry.get(old).replaced_by == new
    assert {outcome.status for outcome in registry.verify()} == {"ok"}
    assert registry.rebuild() == []


def test_a_retired_set_says_why_and_is_not_retired_twice(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    name = enter(registry, tmp_path / "a")
    with pytest.raises(MissingInputError, match="holds no set nobody"):
        registry.retire(name, "a reason", "nobody")
    registry.retire(name, "antenna 12 was moved")
    assert (registry.get(name).status, registry.get(name).reason) == ("retired", "antenna 12 was moved")
    state = json.loads((registry.folder / name / "registry.json").read_text())
    assert (state["status"], state["reason"]) == ("retired", "antenna 12 was moved")
    with pytest.raises(StateError, match="retired already: antenna 12"):
        registry.retire(name, "again")


def test_tables_are_held_against_their_hashes(registry: CalibrationRegistry, tmp_path: Path) -> None:
    good, changed, missing = (
        enter(registry, tmp_path / "a"),
        enter(registry, tmp_path / "b", OTHER),
        registry.register(*solved(tmp_path / "c")),
    )
    gone = registry.register(*solved(tmp_path / "d", OTHER))
    registry.retire(gone, "old")
    (registry.folder / changed / "B.cal" / "table.dat").write_text("something else")
    (registry.folder / missing / "G.cal").rename(registry.folder / missing / "H.cal")
    (registry.folder / gone / "G.cal").rename(registry.folder / gone / "H.cal")
    found = {outcome.set_id: outcome.status for outcome in registry.verify()}
    assert found == {good: "ok", changed: "changed", missing: "missing", gone: "gone"}


def test_active_sets_of_a_time_and_declination_come_nearest_first(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    for name, hours, declination in (
        ("a", -3.0, 54.57),
        ("b", 2.0, 54.6),
        ("c", 0.0, 16.27),
        ("d", 13.0, 54.57),
    ):
        key = f"2026-01-15T0{ord(name) - ord('a')}:00:00"
        sidecar, folder = solved(
            tmp_path / name, key, mid_mjd=61055 + hours / 24, declination_deg=declination
        )
        registry.conclude(registry.register(sidecar, folder), [])
    found = registry.active(61055.0, 54.57)
    assert [round((item.mid_mjd - 61055) * 24) for item in found] == [2, -3]


def test_what_calibrated_a_group_is_remembered(registry: CalibrationRegistry, tmp_path: Path) -> None:
    name = enter(registry, tmp_path / "a")
    assert registry.used_by(OTHER) is None
    registry.record_use(OTHER, name, -7.0, "backup_calibrator", "a warning")
    used = registry.used_by(OTHER)
    assert used is not None
    assert (used.set_id, used.fallback, used.warning) == (name, "backup_calibrator", "a warning")


def test_sets_move_with_their_home(engine: Engine, tmp_path: Path) -> None:
    """Paths are relative to the home; one that lies elsewhere stays where it is."""
    StationRecords(engine).register(registration(KEY, tmp_path), ready=True)
    before = CalibrationRegistry(engine, SETTINGS, tmp_path / "home" / "calibration")
    name = enter(before, tmp_path / "a")
    assert before.get(name).path == f"calibration/{name}"
    (tmp_path / "home").rename(tmp_path / "moved")
    assert [outcome.status for outcome in before.verify()] == ["missing"]
    after = CalibrationRegistry(engine, SETTINGS, tmp_path / "moved" / "calibration")
    assert [outcome.status for outcome in after.verify()] == ["ok"]
    with transaction(engine) as session:
        session.get_one(CalibrationSet, name).path = str(tmp_path / "moved" / "calibration" / name)
    assert [outcome.status for outcome in before.verify()] == ["ok"]


def test_sets_and_their_use_survive_the_migration(empty_url: str, tmp_path: Path) -> None:
    """From version 0.1.0's schema: sets, successors and uses are kept, and new rows find a number."""
    engine = create(empty_url)

    def migrate(step: Callable[..., None], revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        with engine.execution_options(contimg_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)

    upgrade(empty_url)
    StationRecords(engine).register(registration(KEY, tmp_path), ready=True)
    registry = CalibrationRegistry(engine, SETTINGS, tmp_path / "calibration")
    old, new = enter(registry, tmp_path / "a"), enter(registry, tmp_path / "b")
    registry.record_use(KEY, old, 1.0, "same_day", "")
    migrate(command.downgrade, "0001")
    migrate(command.upgrade, "head")
    assert (registry.get(old).status, registry.get(old).replaced_by) == ("retired", new)
    assert [table.file for table in registry.get(new).tables] == ["K.cal", "B.cal", "G.cal"]
    registry.record_use(KEY, new, 2.0, "same_day", "")
    used = registry.used_by(KEY)
    assert used is not None
    assert used.set_id == new
    engine.dispose()


def test_a_sidecar_that_was_told_of_a_change_which_did_not_come_through_is_put_right(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    name = enter(registry, tmp_path / "a")
    enter(registry, tmp_path / "b", OTHER)
    sidecar = tmp_path / "calibration" / name / "registry.json"
    right = sidecar.read_text()
    sidecar.write_text(right.replace('"active"', '"retired"'))
    assert registry.put_sidecars_right() == [name]
    assert sidecar.read_text() == right
    assert registry.put_sidecars_right() == []
