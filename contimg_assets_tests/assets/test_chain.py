"""The assets through the real jobs, with stages that make small files in CASA's place."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, ExecuteInProcessResult, RunsFilter

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.radio.group_key import key_time
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.settings import get_settings
from contimg_assets.station.antenna_marks import AntennaMarks
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import lineage_of, versions_of
from contimg_assets_tests.fake_stages import (
    CALIBRATOR,
    MJD,
    TARGET,
    FakeStages,
    calls,
    registration,
    solutions,
    write_tables,
)


class Station:
    """A home with a target and a calibrator scan, and the jobs over fake stages."""

    def __init__(self, home: Path, instance: DagsterInstance) -> None:
        self.instance = instance
        self.store = Store(home)
        self.records: StationRecords = DatabaseResource().records()
        self.registry: CalibrationRegistry = DatabaseResource().registry()
        for key, changes in (
            (TARGET, {}),
            (CALIBRATOR, {"calibrator_name": "J0834+555", "calibrator_apparent_jy": 7.9}),
        ):
            self.records.register(registration(key, home, **changes), ready=True)
            add_keys(instance, key, calibrator=bool(changes))

    def run(self, job: str, key: str, tags: dict[str, str] | None = None, **stages: Any):
        definition = build_defs({"stages": FakeStages(**stages)}).resolve_job_def(job)
        return definition.execute_in_process(
            instance=self.instance,
            partition_key=key,
            raise_on_error=False,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def ready_to_image(self) -> None:
        for job, key in (
            ("convert_group", CALIBRATOR),
            ("solve_calibrator", CALIBRATOR),
            ("convert_group", TARGET),
        ):
            assert self.run(job, key).success


@pytest.fixture
def station(home: Path) -> Iterator[Station]:
    with DagsterInstance.ephemeral() as instance:
        yield Station(home, instance)


def failure_text(result: ExecuteInProcessResult) -> str:
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data.user_failure_data
            texts.append(data.description if data else event.step_failure_data.error_display_string)
    return "\n".join(str(text) for text in texts)


def materialization(result: ExecuteInProcessResult, asset: str) -> AssetMaterialization:
    return next(
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(asset)
    )


def test_a_target_goes_from_files_to_an_image_with_the_calibrators_tables(station: Station) -> None:
    station.ready_to_image()
    assert station.records.group(TARGET).state == "in_progress"
    result = station.run("image_group", TARGET)
    assert result.success, failure_text(result)
    assert station.records.group(TARGET).state == "completed"
    made = station.registry.list()[0]
    provenance = json.loads((station.store.path(TARGET, "calibrated_ms") / "provenance.json").read_text())
    assert provenance["set_id"] == made.id
    assert provenance["group"] == CALIBRATOR
    assert [t["sha256"] for t in provenance["tables"]] == [t.sha256 for t in made.tables]
    used = station.registry.used_by(TARGET)
    assert used is not None
    assert used.set_id == made.id
    image = next(call for call in calls() if call["stage"] == "image")
    assert image["parameters"]["name"] == "20260115T030000"
    folders = {name: str(station.store.path(TARGET, name).resolve()) for name in ("calibrated_ms", "flags")}
    assert image["parameters"]["provenance"] == f"{folders['calibrated_ms']}/provenance.json"
    # It is calibrated on the way: no calibrated Measurement Set was written.
    assert image["parameters"]["calibrate"] == [folders["flags"], str(station.store.home / made.path)]
    assert [path.name for path in Path(folders["calibrated_ms"]).iterdir()] == ["provenance.json"]


def test_what_a_product_was_made_from_and_with_is_kept(station: Station) -> None:
    """Down to the calibrator's data, through the set that was applied."""
    station.ready_to_image()
    assert station.run("image_group", TARGET).success
    assert station.run("convert_group", TARGET).success
    first = {view.product: view for view in versions_of(station.records.engine, TARGET) if view.superseded}
    steps = [
        (view.steps, view.version.key, view.version.product)
        for view in lineage_of(station.records.engine, TARGET, "image_qa")
    ]
    assert steps == [
        (0, TARGET, "image_qa"),
        (1, TARGET, "image"),
        (2, TARGET, "measurement_set"),
        (2, TARGET, "flags"),
        (2, TARGET, "calibrated_ms"),
        (3, CALIBRATOR, "calibration_tables"),
        (4, CALIBRATOR, "measurement_set"),
        (4, CALIBRATOR, "flags"),
    ]
    # Of the target's data those that were read then, not those that have taken their place.
    (calibrated,) = versions_of(station.records.engine, TARGET, "calibrated_ms")
    assert f"{TARGET} measurement_set {first['measurement_set'].version}" in calibrated.inputs
    # The runs read the versions' own folders, which stay the same when another version is published.
    (apply,) = [call for call in calls() if call["stage"] == "apply"]
    assert apply["arguments"][0].startswith(str(station.store.home / first["measurement_set"].path))
    settings = station.records.product(TARGET, "image").settings
    assert settings["options"]["imaging"]["robust"] == get_settings().imaging.robust
    assert "contimg" in settings["software"]


def test_measurements_are_of_the_versions_that_were_judged(station: Station) -> None:
    station.ready_to_image()
    assert station.run("image_group", TARGET).success
    versions = {view.product: view for view in versions_of(station.records.engine, TARGET)}
    made = versions["photometry"]
    assert sorted(made.inputs) == [
        f"{TARGET} image {versions['image'].version}",
        f"{TARGET} image_qa {versions['image_qa'].version}",
    ]
    (call,) = [call for call in calls() if call["stage"] == "photometry"]
    told = call["parameters"]
    assert told["image_folder"] == str(station.store.home / versions["image"].path)
    assert told["sources"] == str(station.store.home / versions["image_qa"].path / "sources.fits")
    assert told["group"] == TARGET
    settings = station.records.product(TARGET, "photometry").settings
    assert settings["options"]["photometry"]["join_beams"] == get_settings().photometry.join_beams
    assert station.records.verdicts(TARGET, "photometry")["chi_squared_median"].status == "PASS"


def test_a_products_verdict_is_the_first_of_its_metadata(station: Station) -> None:
    station.ready_to_image()
    metadata = materialization(station.run("image_group", TARGET), "image_qa").metadata
    assert next(iter(metadata)) == "verdict"
    assert str(metadata["verdict"].value).startswith("✓ good")
    assert "verdict" not in materialization(station.run("image_group", TARGET), "image").metadata


def test_what_a_person_marks_is_left_out_by_flagging_and_kept_with_the_flags(station: Station) -> None:
    marks, since = AntennaMarks(get_settings().home), key_time(TARGET)
    marks.add("24", "oscillates", since, since + timedelta(hours=1), "ann")
    marks.add("7", "another day", since + timedelta(days=1), None, "ann")
    station.ready_to_image()
    (call,) = [each for each in calls() if each["stage"] == "flag" and each["key"] == TARGET]
    assert call["parameters"]["bad_antennas"] == ["24"]
    assert station.records.product(TARGET, "flags").settings["asked"] == {
        "bad_antennas": {"24": "oscillates"}
    }


def test_metadata_are_the_stages_numbers_and_a_picture_that_exists(station: Station, home: Path) -> None:
    station.ready_to_image()
    metadata = materialization(station.run("image_group", TARGET), "image").metadata
    assert metadata["rms_mjy_beam"].value == 0.3
    assert "not_a_number" not in metadata
    picture = str(metadata["picture"].value)
    assert len(picture) < 1000
    # As wide as a column, and it leads to the whole.
    found = re.fullmatch(r"\[!\[image\]\(/products/(.+)\?width=320\)\]\(/products/(.+)\)", picture)
    assert found
    assert found[1] == found[2]
    assert (home / "products" / found[2]).is_file()
    assert Path(str(metadata["beam_corrected_image"].value)).name == "20260115T030000.pbcor.fits"
    assert Path(str(metadata["beam_corrected_image"].value)).is_file()


def test_a_stage_that_refuses_fails_the_group_at_once_and_tells_why(station: Station) -> None:
    message = "BadSubbandFileError: sb03: 12 values are NaN"
    result = station.run("convert_group", TARGET, fail={"convert": message})
    assert not result.success
    assert message in failure_text(result)
    assert [call["stage"] for call in calls()] == ["convert"]
    group = station.records.group(TARGET)
    assert (group.state, group.reason) == ("failed", f"measurement_set: {message}")
    assert not station.store.path(TARGET, "measurement_set").exists()
    assert list(station.store.path(TARGET, ".staging").iterdir()) == []


def test_a_crash_is_tried_again_and_leaves_no_mark_when_that_works(station: Station) -> None:
    assert station.run("convert_group", TARGET, crash={"flag": 1}).success
    assert station.records.group(TARGET).state == "in_progress"
    assert [step.to_state for step in station.records.transitions(TARGET)].count("failed") == 0


def test_a_group_without_calibration_fails_and_names_what_there_was(station: Station) -> None:
    assert station.run("convert_group", TARGET).success
    name = another_day(station, 2.0, declination_deg=16.27)
    result = station.run("image_group", TARGET)
    assert "NoCalibratorError: no valid calibration" in failure_text(result)
    assert f"{name}: " in failure_text(result)
    assert station.records.group(TARGET).reason.startswith("calibrated_ms: NoCalibratorError")


def test_a_bad_number_stops_its_run_and_whoever_starts_the_next_stage(station: Station) -> None:
    bad = {"qa ms": {"n_dead_antennas": 41}}
    assert not station.run("convert_group", CALIBRATOR, numbers=bad).success
    solved = station.run("solve_calibrator", CALIBRATOR)
    assert "VerdictError: group 2026-01-15T05:00:00 is refused" in failure_text(solved)
    assert "n_dead_antennas is 41, hard limit 40" in failure_text(solved)
    assert "solve" not in [call["stage"] for call in calls()]
    assert station.records.group(CALIBRATOR).state == "failed"


def test_tables_whose_verdict_is_error_calibrate_nothing(station: Station) -> None:
    station.run("convert_group", CALIBRATOR)
    station.run("solve_calibrator", CALIBRATOR, numbers={"qa calibration": {"phase_scatter_deg": 90.0}})
    station.run("convert_group", TARGET)
    result = station.run("image_group", TARGET)
    assert "NoCalibratorError: no valid calibration for the group" in failure_text(result)
    assert "failed: phase_scatter_deg is 90" in failure_text(result)
    assert [found.status for found in station.registry.list()] == ["failed"]
    assert "apply" not in [call["stage"] for call in calls()]


def test_an_image_that_its_checks_condemn_is_completed_and_its_run_is_not(station: Station) -> None:
    """Nobody measures its sources, in this run or by hand."""
    station.ready_to_image()
    result = station.run("image_group", TARGET, numbers={"qa image": {"rms_ratio": 5.0}})
    assert not result.success
    assert "photometry" not in [call["stage"] for call in calls()]
    alone = build_defs({"stages": FakeStages()}).resolve_implicit_global_asset_job_def()
    by_hand = alone.execute_in_process(
        instance=station.instance,
        partition_key=TARGET,
        asset_selection=[AssetKey("photometry")],
        raise_on_error=False,
    )
    assert "VerdictError" in failure_text(by_hand)
    assert "the last verdict on its image_qa is ERROR" in failure_text(by_hand)
    assert "photometry" not in [call["stage"] for call in calls()]
    assert station.records.group(TARGET).state == "completed"
    assert station.records.verdicts(TARGET, "image_qa")["rms_ratio"].status == "ERROR"


def test_state_and_verdict_are_told_together_beside_the_asset(station: Station) -> None:
    """By an observation of the checks, since the asset is there before it is judged."""
    station.ready_to_image()
    for number, verdict, checks in ((5.0, "ERROR", (0, 1)), (1.6, "WARN", (1, 0)), (1.0, "PASS", (0, 0))):
        station.run("image_group", TARGET, numbers={"qa image": {"rms_ratio": number}})
        (event,) = station.instance.fetch_observations(AssetKey("image_qa"), limit=1).records
        found = event.asset_observation
        assert found is not None
        assert found.partition == TARGET
        assert {name: value.value for name, value in found.metadata.items()} == {
            "state": "completed",
            "verdict": verdict,
            "checks_warn": checks[0],
            "checks_error": checks[1],
            "worst_check": "none" if verdict == "PASS" else "image_qa.rms_ratio",
        }


def test_a_sensors_run_leaves_a_completed_group_alone_and_a_persons_run_makes_it_again(
    station: Station,
) -> None:
    station.run("convert_group", TARGET)
    station.records.complete(TARGET)
    result = station.run("convert_group", TARGET, tags={"dagster/sensor_name": "incoming_groups"})
    assert "StateError" in failure_text(result)
    assert station.records.group(TARGET).state == "completed"
    assert station.run("convert_group", TARGET).success
    assert station.records.group(TARGET).state == "in_progress"


def test_a_failed_stage_leaves_the_product_of_before(station: Station) -> None:
    station.ready_to_image()
    before = (station.store.path(TARGET, "measurement_set")).resolve()
    assert not station.run("convert_group", TARGET, fail={"convert": "ConversionError: no"}).success
    assert station.store.path(TARGET, "measurement_set").resolve() == before


def test_solving_again_retires_the_earlier_set_whose_files_stay(station: Station) -> None:
    station.ready_to_image()
    assert station.run("solve_calibrator", CALIBRATOR).success
    old, new = station.registry.list()
    assert (old.status, old.replaced_by, new.status) == ("retired", new.id, "active")
    assert [outcome.status for outcome in station.registry.verify()] == ["ok", "ok"]


def test_tables_that_were_changed_on_disk_are_not_applied(station: Station) -> None:
    station.ready_to_image()
    (found,) = station.registry.list()
    (station.store.home / found.path / "B.cal" / "table.dat").write_text("edited")
    result = station.run("image_group", TARGET)
    assert "CalibrationError: calibration set" in failure_text(result)
    assert "is changed" in failure_text(result)


def another_day(station: Station, hours: float, **changes: Any) -> str:
    """Enter a set of the same strip (unless ``changes`` says another), ``hours`` after the target."""
    folder = station.store.home / f"solved{hours:+g}"
    found = solutions(
        f"2026-01-{15 + round(hours / 24):02d}T12:00:00",
        mid_mjd=MJD[TARGET] + hours / 24,
        tables=write_tables(folder, str(hours)),
        **changes,
    )
    name = station.registry.register(found, folder)
    station.registry.conclude(name, [])
    return name


def provenance_of(station: Station) -> dict[str, Any]:
    return json.loads((station.store.path(TARGET, "calibrated_ms") / "provenance.json").read_text())


def test_a_bandpass_of_another_day_goes_with_self_calibration_on_the_field(station: Station) -> None:
    station.run("convert_group", TARGET)
    name = another_day(station, 24.0)
    assert station.run("image_group", TARGET).success
    assert [call["stage"] for call in calls()][-5:-2] == ["apply", "selfcal", "image"]
    provenance = provenance_of(station)
    assert (provenance["set_id"], provenance["fallback"]) == (name, "bandpass_selfcal")
    assert provenance["self_calibration"]["rounds_kept"] == 1
    used = station.registry.used_by(TARGET)
    assert used is not None
    assert used.fallback == "bandpass_selfcal"


def test_a_field_that_cannot_calibrate_itself_gets_the_nearest_earlier_day_with_a_warning(
    station: Station,
) -> None:
    station.run("convert_group", TARGET)
    faint = {"selfcal": {"rounds_kept": 0}}
    another_day(station, 24.0)
    refused = station.run("image_group", TARGET, numbers=faint)
    assert "self-calibration on the field did not converge" in failure_text(refused)
    assert not station.store.path(TARGET, "calibrated_ms").exists()
    name = another_day(station, -48.0)
    assert station.run("image_group", TARGET, numbers=faint).success
    provenance = provenance_of(station)
    assert (provenance["set_id"], provenance["fallback"]) == (name, "earlier_day")
    assert "nearest earlier one" in provenance["warning"]
    assert provenance["self_calibration"] is None


def test_self_calibration_of_every_target_is_a_setting(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.ready_to_image()
    monkeypatch.setenv("CONTIMG_CALIBRATION__SELF_CALIBRATE", "1")
    get_settings.cache_clear()
    assert station.run("image_group", TARGET, numbers={"selfcal": {"rounds_kept": 0}}).success
    assert provenance_of(station)["self_calibration"]["rounds_kept"] == 0
    assert provenance_of(station)["fallback"] == "same_day"
    # What is calibrated for self-calibration alone is not kept, and not built in the store.
    apply = next(call for call in calls() if call["stage"] == "apply")
    assert Path(apply["arguments"][-1]).parent.parent == station.store.scratch
    assert list(station.store.scratch.iterdir()) == []


def test_every_run_carries_its_group(station: Station) -> None:
    station.run("convert_group", TARGET)
    runs = station.instance.get_runs(filters=RunsFilter(tags={"dagster/partition": TARGET}))
    assert [run.job_name for run in runs] == ["convert_group"]
