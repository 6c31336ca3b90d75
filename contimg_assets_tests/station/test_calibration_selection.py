"""The nearest set that fits is chosen, then the fallbacks in their order; every reason is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.calibration.compatibility import Coverage
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CalibrationError, NoCalibratorError
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.calibration_selection import CalibrationSelection, ChosenSet
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import ANTENNAS, BAND_HZ, registration, solutions, write_tables

SETTINGS = CalibrationOptions()
TARGET, SCAN = "2026-01-15T04:45:00", "2026-01-15T09:00:00"
MID = 61055.2
NEED = Coverage(MID, 54.57, *BAND_HZ, frozenset(ANTENNAS))


class Sets:
    """A registry that sets are entered into, and the selection from it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.records = StationRecords(engine)
        self.registry = CalibrationRegistry(engine, SETTINGS, folder / "calibration")
        self.selection = CalibrationSelection(self.registry)
        self.folder = folder
        self.number = 0

    def enter(self, hours: float, *errors: str, **changes: object) -> str:
        """Register a set ``hours`` after the group that wants one, and judge it."""
        self.number += 1
        built = self.folder / f"solved{self.number}"
        tables = write_tables(built, str(self.number))
        key = f"2026-01-{self.number:02d}T00:00:00"
        found = solutions(key, **({"mid_mjd": MID + hours / 24, "tables": tables} | changes))
        name = self.registry.register(found, built)
        self.registry.conclude(name, errors)
        return name

    def choose(self, need: Coverage = NEED) -> ChosenSet:
        """The best option."""
        return self.selection.options(need)[0]

    def convert(self, key: str, mid_mjd: float, **changes: object) -> None:
        """Register and convert a group."""
        self.records.register(registration(key, self.folder, mid_mjd=mid_mjd, **changes), ready=True)
        self.records.begin(key, f"run of {key}")
        numbers = {"channel_low_hz": BAND_HZ[0], "channel_high_hz": BAND_HZ[1]}
        self.records.record_product(key, "measurement_set", self.folder, numbers)


@pytest.fixture
def sets(engine: Engine, tmp_path: Path) -> Sets:
    return Sets(engine, tmp_path)


def test_the_nearest_set_on_either_side_is_chosen(sets: Sets) -> None:
    before, after = sets.enter(-3), sets.enter(2)
    chosen = sets.choose()
    assert (chosen.set_id, chosen.fallback, chosen.warning) == (after, "same_day", "")
    assert chosen.hours == pytest.approx(2)
    # Its gains are taken towards the set on the other side, two fifths of the way.
    assert chosen.other is not None
    assert (chosen.other.id, round(chosen.weight, 6)) == (before, 0.4)
    told = chosen.provenance()["interpolated"]
    assert (told["set_id"], len(told["tables"])) == (before, 3)
    earlier = Coverage(MID - 2 / 24, 54.57, *BAND_HZ, frozenset(ANTENNAS))
    assert sets.choose(earlier).set_id == before


def test_a_set_of_the_same_half_hour_or_on_one_side_only_is_taken_alone(sets: Sets) -> None:
    sets.enter(0.3)
    sets.enter(-5)
    assert sets.choose().other is None
    later = Coverage(MID + 1 / 24, 54.57, *BAND_HZ, frozenset(ANTENNAS))
    assert sets.choose(later).other is None


def test_of_sets_that_are_equally_near_the_better_one_is_chosen(sets: Sets) -> None:
    """Two groups of one transit: within half an hour signal-to-noise decides, and before it the antennas."""
    sets.enter(2.0, quality={"median_snr": 40.0})
    good = sets.enter(2.1, quality={"median_snr": 90.0})
    sets.enter(2.2, quality={"median_snr": 200.0}, antennas=ANTENNAS[1:])
    sets.enter(2.7, quality={"median_snr": 500.0})
    assert sets.choose().set_id == good


def test_a_set_past_six_hours_is_used_with_a_warning(sets: Sets) -> None:
    sets.enter(-7)
    assert "7.0 h away" in sets.choose().warning


@pytest.mark.parametrize(
    ("hours", "changes", "why"),
    [
        (40.0, {}, r"\+40.0 h away, valid within 12 h"),
        (1, {"declination_deg": 53.9}, r"declination \+53.90 deg"),
        (1, {"channel_low_hz": 1.33e9}, "does not cover 1311.387"),
        (1, {"channel_high_hz": 1.49e9}, "does not cover"),
        (1, {"antennas": ["5", "99"]}, "holds 1 of 4 antennas"),
    ],
)
def test_a_set_that_does_not_fit_is_refused_by_name_and_reason(
    sets: Sets, hours: float, changes: dict[str, object], why: str
) -> None:
    """Tables of another day, declination, band or antenna set, and nothing else: a plain refusal."""
    name = sets.enter(hours, **changes)
    with pytest.raises(NoCalibratorError, match=f"{name}: .*{why}"):
        sets.choose()


def test_an_empty_registry_says_so(sets: Sets) -> None:
    with pytest.raises(NoCalibratorError, match="holds no set within 7 days"):
        sets.choose()


def test_a_set_that_failed_is_never_chosen(sets: Sets) -> None:
    name = sets.enter(1, "phase_scatter_deg is 80, hard limit 45")
    with pytest.raises(NoCalibratorError, match=f"{name}: failed: phase_scatter_deg is 80"):
        sets.choose()
    far = sets.enter(4)
    assert sets.choose().set_id == far


def test_antennas_without_solutions_are_named(sets: Sets) -> None:
    sets.enter(1, antennas=ANTENNAS[1:])
    assert "no solutions for antennas 5" in sets.choose().warning


def test_the_fallbacks_come_in_their_order(sets: Sets) -> None:
    """Same day, back-up calibrator, bandpass of another day, earlier day; each says what it is."""
    earlier = sets.enter(-80)
    assert [(o.set_id, o.fallback) for o in sets.selection.options(NEED)] == [(earlier, "earlier_day")]
    assert "nearest earlier one" in sets.choose().warning
    bandpass = sets.enter(24)
    assert (sets.choose().set_id, sets.choose().fallback) == (bandpass, "bandpass_selfcal")
    backup = sets.enter(1, calibrator_apparent_jy=1.5)
    assert (sets.choose().set_id, sets.choose().fallback) == (backup, "backup_calibrator")
    assert "back-up calibrator J0834+555 (1.5 Jy apparent)" in sets.choose().warning
    day = sets.enter(9)
    assert [(o.set_id, o.fallback) for o in sets.selection.options(NEED)] == [
        (day, "same_day"),
        (backup, "backup_calibrator"),
        (bandpass, "bandpass_selfcal"),
        (earlier, "earlier_day"),
    ]


def test_a_later_day_is_no_earlier_day(sets: Sets) -> None:
    """Beyond the reach of its bandpass, a set of a later day serves nothing."""
    sets.enter(40)
    with pytest.raises(NoCalibratorError):
        sets.choose()


def test_a_set_whose_tables_were_changed_is_not_used(sets: Sets) -> None:
    name = sets.enter(1)
    sets.choose().check_intact()
    (sets.registry.folder / name / "K.cal" / "table.dat").write_text("something else")
    with pytest.raises(CalibrationError, match=r"is changed: .*K.cal has SHA-256"):
        sets.choose().check_intact()


def test_tables_come_in_their_order_of_application(sets: Sets) -> None:
    tables = list(reversed(write_tables(sets.folder / "solved1x", "1")))
    sets.number = 0
    name = sets.registry.register(
        solutions("2026-01-01T00:00:00", mid_mjd=MID, tables=tables), sets.folder / "solved1x"
    )
    sets.registry.conclude(name, [])
    assert [table["file"] for table in sets.choose().provenance()["tables"]] == ["K.cal", "B.cal", "G.cal"]


# -- waiting --------------------------------------------------------------------------------


def test_a_group_without_any_set_of_its_day_waits_until_its_deadline(sets: Sets) -> None:
    """Then it takes what there is, or is refused: it waits no more."""
    sets.convert(TARGET, MID)
    group, now = sets.records.group(TARGET), datetime.now(UTC)
    wait = sets.selection.waiting(group, sets.records, now)
    assert wait is not None
    assert "holds no set" in wait.reason
    # The observation is years from the clock of this test: the later of it and its registration counts.
    assert wait.deadline >= now + timedelta(hours=SETTINGS.deadline_hours) - timedelta(minutes=1)
    sets.enter(-80)
    still = sets.selection.waiting(group, sets.records, now)
    assert still is not None
    assert "earlier_day" in still.reason
    assert sets.selection.waiting(group, sets.records, wait.deadline) is None
    sets.selection.record_wait(TARGET, still)
    kept = sets.selection.waits()[TARGET]
    assert (kept.reason, kept.deadline) == (still.reason, still.deadline)
    sets.enter(3)
    assert sets.selection.waiting(group, sets.records, now) is None
    sets.selection.record_wait(TARGET, None)
    assert sets.selection.waits() == {}


def test_a_target_waits_for_a_nearer_scan_that_is_on_its_way(sets: Sets) -> None:
    """A set 9 h off would do, but the calibrator 4 h later is being worked on; if that fails, it goes on."""
    sets.convert(TARGET, MID)
    sets.convert(SCAN, MID + 4 / 24, calibrator_name="J0834+555", calibrator_apparent_jy=6.3)
    sets.enter(-9)
    group = sets.records.group(TARGET)
    wait = sets.selection.waiting(group, sets.records)
    assert wait is not None
    assert f"scan {SCAN} of J0834+555 is not solved yet" in wait.reason
    sets.records.fail(SCAN, "no solutions")
    assert sets.selection.waiting(group, sets.records) is None


def test_a_back_up_is_not_taken_while_the_day_s_calibrator_is_on_its_way(sets: Sets) -> None:
    """Though it is nearer in time; a scan of another strip is not waited for."""
    sets.convert(TARGET, MID)
    sets.enter(1, calibrator_apparent_jy=1.5)
    group = sets.records.group(TARGET)
    other = {"calibrator_name": "3C454.3", "calibrator_apparent_jy": 11.0}
    sets.convert("2026-01-15T08:00:00", MID + 3 / 24, declination_deg=16.27, **other)
    assert sets.selection.waiting(group, sets.records) is None
    sets.convert(SCAN, MID + 4 / 24, calibrator_name="J0834+555", calibrator_apparent_jy=6.3)
    assert sets.selection.waiting(group, sets.records) is not None


def test_a_set_that_is_named_is_taken_whatever_its_age_and_whatever_others_there_are(sets: Sets) -> None:
    near, old = sets.enter(1), sets.enter(-300)
    (chosen,) = sets.selection.candidates(NEED, old)
    assert (chosen.set_id, chosen.fallback, chosen.other) == (old, "named", None)
    assert "300.0 h away" in chosen.warning
    assert sets.selection.candidates(NEED, None)[0].set_id == near
    # The database takes it as a way of coming to a set.
    sets.convert(TARGET, MID)
    sets.registry.record_use(TARGET, old, chosen.hours, chosen.fallback, chosen.warning)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"declination_deg": 53.9}, "declination"),
        ({"antennas": ["5", "99"]}, "holds 1 of 4 antennas"),
        ({"channel_low_hz": 1.33e9}, "does not cover"),
    ],
)
def test_a_named_set_that_does_not_fit_otherwise_is_refused(
    sets: Sets, changes: dict[str, object], why: str
) -> None:
    named = sets.enter(1, **changes)
    with pytest.raises(CalibrationError, match=why):
        sets.selection.named(named, NEED)


def test_a_named_set_that_is_not_active_is_refused(sets: Sets) -> None:
    failed, retired = sets.enter(1, "phase scatter is 50"), sets.enter(1)
    sets.registry.retire(retired, "antenna moved")
    for name, why in ((failed, "phase scatter is 50"), (retired, "antenna moved")):
        with pytest.raises(CalibrationError, match=why):
            sets.selection.named(name, NEED)
