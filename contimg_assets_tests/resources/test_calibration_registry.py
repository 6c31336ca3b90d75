"""The nearest set that fits is chosen, and every reason why others do not is told."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import CalibrationError, NoCalibratorError, VerdictError
from contimg_assets.resources.calibration_registry import CalibrationRegistry, ChosenSet
from contimg_assets.resources.product_catalog import ProductCatalog
from contimg_assets.settings import CalibrationSettings
from contimg_assets_tests.fake_stages import ANTENNAS, BAND_HZ, registration, solutions, write_tables

SETTINGS = CalibrationSettings()
KEYS = ["2026-01-15T01:00:00", "2026-01-15T09:00:00", "2026-01-16T09:00:00"]
MID = 61055.2


@pytest.fixture
def registry(engine: Engine, tmp_path: Path) -> CalibrationRegistry:
    catalog = ProductCatalog(engine)
    for key in KEYS:
        catalog.register(registration(key, tmp_path), ready=True)
    return CalibrationRegistry(engine, SETTINGS)


def choose(registry: CalibrationRegistry, mid_mjd: float = MID, **changes: object) -> ChosenSet:
    wanted = {
        "declination_deg": 54.57,
        "antennas": ANTENNAS,
        "channel_low_hz": BAND_HZ[0],
        "channel_high_hz": BAND_HZ[1],
        "settings": SETTINGS,
    }
    return registry.choose(mid_mjd, **(wanted | changes))  # type: ignore[arg-type]


def enter(registry: CalibrationRegistry, key: str, hours: float, folder: Path, **changes: object) -> str:
    """Register a set ``hours`` after the group that wants one."""
    found = solutions(key, mid_mjd=MID + hours / 24, **changes)
    return registry.register(found, folder)


def test_the_nearest_set_on_either_side_is_chosen(registry: CalibrationRegistry, tmp_path: Path) -> None:
    before = enter(registry, KEYS[0], -3, tmp_path)
    after = enter(registry, KEYS[1], 2, tmp_path)
    chosen = choose(registry)
    assert (chosen.set_id, chosen.warning) == (after, "")
    assert chosen.hours == pytest.approx(2)
    assert choose(registry, MID - 2 / 24).set_id == before


def test_a_set_past_six_hours_is_used_with_a_warning(registry: CalibrationRegistry, tmp_path: Path) -> None:
    enter(registry, KEYS[0], -7, tmp_path)
    assert "7.0 h away" in choose(registry).warning


@pytest.mark.parametrize(
    ("hours", "changes", "why"),
    [
        (12.5, {}, r"\+12.5 h away, valid within 12 h"),
        (1, {"declination_deg": 53.9}, r"declination \+53.90 deg"),
        (1, {"channel_low_hz": 1.33e9}, "does not cover 1311.387"),
        (1, {"channel_high_hz": 1.49e9}, "does not cover"),
        (1, {"antennas": ["5", "99"]}, "holds 1 of 4 antennas"),
    ],
)
def test_a_set_that_does_not_fit_is_named_with_the_reason(
    registry: CalibrationRegistry, tmp_path: Path, hours: float, changes: dict[str, object], why: str
) -> None:
    name = enter(registry, KEYS[0], hours, tmp_path, **changes)
    with pytest.raises(NoCalibratorError, match=f"{name}: .*{why}"):
        choose(registry)


def test_an_empty_registry_says_so(registry: CalibrationRegistry) -> None:
    with pytest.raises(NoCalibratorError, match="holds no active set"):
        choose(registry)


def test_antennas_without_solutions_are_named(registry: CalibrationRegistry, tmp_path: Path) -> None:
    enter(registry, KEYS[0], 1, tmp_path, antennas=ANTENNAS[1:])
    assert "no solutions for antennas 5" in choose(registry).warning


def test_a_new_set_of_the_same_scan_retires_the_old_one(
    registry: CalibrationRegistry, tmp_path: Path
) -> None:
    old = enter(registry, KEYS[0], 1, tmp_path)
    new = enter(registry, KEYS[0], 1, tmp_path)
    assert (registry.get(old).status, registry.get(old).replaced_by) == ("retired", new)
    assert choose(registry).set_id == new
    assert [found.id for found in registry.list(active_only=True)] == [new]


def test_a_set_whose_last_verdict_is_error_gives_way_or_is_refused(
    engine: Engine, registry: CalibrationRegistry, tmp_path: Path
) -> None:
    near, far = enter(registry, KEYS[0], 1, tmp_path), enter(registry, KEYS[1], 4, tmp_path)
    catalog = ProductCatalog(engine)

    def condemn(key: str) -> None:
        catalog.record_verdict(
            key,
            "calibration_qa",
            "phase_scatter_deg",
            status="ERROR",
            value=80.0,
            soft=15.0,
            hard=45.0,
            limits_version="1",
        )

    condemn(KEYS[0])
    assert choose(registry).set_id == far
    condemn(KEYS[1])
    with pytest.raises(VerdictError, match=f"{near}: last verdict is ERROR .phase_scatter_deg is 80"):
        choose(registry)


def test_tables_are_held_against_their_hashes(registry: CalibrationRegistry, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("good", "changed", "missing")]
    for key, folder in zip(KEYS, folders, strict=True):
        enter(registry, key, 1, folder, tables=write_tables(folder))
    registry.check_intact(choose(registry))
    (folders[1] / "B.cal" / "table.dat").write_text("something else")
    (folders[2] / "G.cal").rename(folders[2] / "H.cal")
    found = [outcome.status for outcome in registry.verify()]
    assert sorted(found) == ["changed", "missing", "ok"]


def test_a_set_whose_tables_were_changed_is_not_used(registry: CalibrationRegistry, tmp_path: Path) -> None:
    enter(registry, KEYS[0], 1, tmp_path / "set", tables=write_tables(tmp_path / "set"))
    (tmp_path / "set" / "K.cal" / "table.dat").write_text("something else")
    with pytest.raises(CalibrationError, match=r"is changed: .*K.cal has SHA-256"):
        registry.check_intact(choose(registry))


def test_tables_come_in_their_order_of_application(registry: CalibrationRegistry, tmp_path: Path) -> None:
    tables = list(reversed(write_tables(tmp_path / "set")))
    enter(registry, KEYS[0], 1, tmp_path / "set", tables=tables)
    assert [table["file"] for table in choose(registry).provenance()["tables"]] == ["K.cal", "B.cal", "G.cal"]


def test_what_calibrated_a_group_is_remembered(registry: CalibrationRegistry, tmp_path: Path) -> None:
    enter(registry, KEYS[0], -7, tmp_path)
    chosen = choose(registry)
    assert registry.used_by(KEYS[2]) is None
    registry.record_use(KEYS[2], chosen)
    used = registry.used_by(KEYS[2])
    assert used is not None
    assert (used.set_id, used.warning) == (chosen.set_id, chosen.warning)
