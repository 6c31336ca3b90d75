"""Flags, calibration tables of calibrator scans, and their application to every group."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    IdentityPartitionMapping,
    MaterializeResult,
    MetadataValue,
    asset,
)

from contimg_assets.assets.ingest import SENSOR_TAG
from contimg_assets.assets.publishing import (
    CALIBRATION,
    CONVERSION,
    FOLDERS,
    OWNERS,
    RETRY,
    Production,
    production,
)
from contimg_assets.assets.run_options import ApplyRunOptions, SolveRunOptions
from contimg_assets.partitions import calibrator_scan, observation_group
from contimg_assets.radio.errors import NoCalibratorError
from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.group_key import ms_path
from contimg_assets.radio.images.provenance import software_versions
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.settings import get_settings
from contimg_assets.station.antenna_marks import AntennaMarks
from contimg_assets.station.applied_calibration import PROVENANCE
from contimg_assets.station.calibration_selection import BANDPASS, ChosenSet, Wait, need_of
from contimg_assets.station.operations import PROCESS


@asset(
    description=(
        "Flags of a group, kept beside its Measurement Set and never in it: zeros, dead antennas, "
        "autocorrelations, radio-frequency interference."
    ),
    partitions_def=observation_group,
    group_name="calibration",
    kinds={"hdf5"},
    owners=OWNERS,
    pool=CONVERSION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def flags(
    context: AssetExecutionContext,
    measurement_set: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    marked = AntennaMarks(get_settings().home).during(context.partition_key)
    asked = {"bad_antennas": marked} if marked else None
    with production(context, database, storage, measurement_set, asked=asked) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        bad = [part for name in marked for part in ("--bad-antenna", name)]
        result = stages.run(context, ["flag"], ms_path(measurement_set, making.key), making.built, *bad)
        return making.publish(result)


@asset(
    description=(
        "Delay, bandpass and gain tables solved on a calibrator scan with the beam at each integration; "
        "entered in the calibration registry."
    ),
    partitions_def=calibrator_scan,
    ins={
        "measurement_set": AssetIn(partition_mapping=IdentityPartitionMapping()),
        "flags": AssetIn(partition_mapping=IdentityPartitionMapping()),
    },
    group_name="calibration",
    kinds={"casa"},
    owners=OWNERS,
    pool=CALIBRATION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def calibration_tables(
    context: AssetExecutionContext,
    config: SolveRunOptions,
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, measurement_set, flags, asked=config.asked) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        making.records.refuse_errors(making.key, "measurement_set_qa")
        calibrator = config.calibrator or making.records.group(making.key).calibrator_name
        reference = config.reference_antenna or get_settings().calibration.reference_antenna
        options = ["--calibrator", calibrator] if calibrator else []
        options += ["--refant", reference] if reference else []
        options += [] if config.fast is None else ["--fast" if config.fast else "--no-fast"]
        solutions = stages.run(
            context, ["solve"], ms_path(measurement_set, making.key), flags, making.built, *options
        )
        # The partition says which group this is; the stage derives the same from the times in the data.
        named = {**solutions, "group": making.key}
        # Before the product: a kill between the two leaves a scan that is still due.
        set_id = database.registry().register(named, making.built)
        return making.publish(
            solutions,
            calibration_set=set_id,
            calibrator=str(solutions["calibrator"]),
            reference_antenna=str(solutions["refant"]),
            solutions=MetadataValue.json(solutions["quality"]),
        )


@asset(
    description=(
        "The nearest valid calibration of the group, held against its data, and a note of which tables those "
        "are: flags and tables are applied while the data are imaged. A Measurement Set with both applied "
        "(CORRECTED_DATA) only if that is asked for, or self-calibration made it."
    ),
    partitions_def=observation_group,
    # Any scan's tables may be the nearest: the registry chooses, the metadata say which it was. In a run that
    # makes both, the Measurement Set is judged first.
    deps=[
        AssetDep(calibration_tables, partition_mapping=AllPartitionMapping()),
        AssetDep("measurement_set_qa"),
    ],
    group_name="calibration",
    kinds={"casa", "measurementset"},
    owners=OWNERS,
    pool=CALIBRATION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
    # A run that came too early ends here, with what it has made so far.
    output_required=False,
)
def calibrated_ms(
    context: AssetExecutionContext,
    config: ApplyRunOptions,
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> Iterator[MaterializeResult[Path]]:
    wait = _wait(context, database)
    if wait is not None:
        context.log.warning("%s: %s", context.partition_key, wait.reason)
        return
    with production(context, database, storage, measurement_set, flags, asked=config.asked) as making:
        published = _calibrate(context, config, stages, database, making, measurement_set, flags)
    yield published


def _wait(context: AssetExecutionContext, database: DatabaseResource) -> Wait | None:
    """What a group has to wait for after all, whose calibration stood when a sensor asked for all of it."""
    if context.run.job_name != PROCESS or SENSOR_TAG not in context.run.tags:
        return None
    records, selection = database.records(), database.selection()
    wait = selection.waiting(records.group(context.partition_key), records)
    if wait is not None:
        selection.record_wait(context.partition_key, wait)
    return wait


def _calibrate(
    context: AssetExecutionContext,
    config: ApplyRunOptions,
    stages: StageRunner,
    database: DatabaseResource,
    making: Production,
    measurement_set: Path,
    flags: Path,
) -> MaterializeResult[Path]:
    """Apply the best set that there is, and publish."""
    key, records, selection = making.key, making.records, database.selection()
    records.refuse_errors(key, "measurement_set_qa")
    work = _Work(context, stages, making, ms_path(measurement_set, key), flags, config.is_kept)
    candidates = selection.candidates(need_of(records.group(key), records), config.calibration_set)
    used = database.registry().used_by(key)
    # What was made with a set that would not be the first choice any more is made again.
    if used is not None and used.set_id == candidates[0].set_id:
        standing = making.standing(sets=candidates[0].set_ids)
        if standing is not None:
            return standing
    for chosen in candidates:
        result = work.calibrate(chosen)
        if result is not None:
            break
    else:
        raise NoCalibratorError(
            f"group {key}: only a bandpass of another day is there, and self-calibration on the field "
            "did not converge"
        )
    for wrong in result.get("wrong_subbands") or ():
        context.log.warning("%s: %s: it is left out", key, wrong["reason"])
    provenance = {
        **chosen.provenance(),
        "flags": {"sha256": tree_sha256(flags), **{name: result.get(name) for name in _FLAGGED}},
        "gain_walk": {name: result[name] for name in _GAIN_WALK if name in result},
        "self_calibration": result.get("self_calibration"),
        "software": software_versions(),
    }
    (making.built / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    published = making.publish(
        result,
        sets=chosen.set_ids,
        calibration_set=chosen.set_id,
        calibrator=chosen.found.calibrator,
        calibration_hours=chosen.hours,
        calibration_fallback=chosen.fallback,
        calibration=MetadataValue.json(provenance),
    )
    database.registry().record_use(key, chosen.set_id, chosen.hours, chosen.fallback, chosen.warning)
    selection.record_wait(key, None)
    return published


#: What a group's provenance keeps of what is flagged.
_FLAGGED = ("bad_antenna_fraction", "wrong_subbands")
#: What it keeps of what gains did since the calibrator, and images tell.
_GAIN_WALK = ("gain_walk_scatter", "gain_walk_mean", "gain_common_change", "n_gains_walked")
#: What the provenance keeps of self-calibration; the rest is in its sidecar.
_SELFCAL = ("rounds_kept", "ended", "rms_before_mjy_beam", "rms_after_mjy_beam", "flux_ratio", "tables")


@dataclass(frozen=True)
class _Work:
    """The calibration of one group, tried with one set after the other."""

    context: AssetExecutionContext
    stages: StageRunner
    making: Production
    measurement_set: Path
    flags: Path
    is_kept: bool
    """Whether a calibrated Measurement Set is wanted."""

    def calibrate(self, chosen: ChosenSet) -> dict[str, Any] | None:
        """Apply a set; None if it needs self-calibration and the field does not bear it."""
        chosen.check_intact()
        if chosen.warning:
            self.context.log.warning("%s: %s", chosen.set_id, chosen.warning)
        built, needed = self.making.built, chosen.fallback == BANDPASS
        output = ms_path(built, self.making.key)
        if not (needed or get_settings().calibration.self_calibrate):
            built.mkdir()
            return self._apply(chosen, output if self.is_kept else None)
        with self.making.storage.store().scratch_folder("applied") as folder:
            applied = ms_path(folder, self.making.key)
            result = self._apply(chosen, applied)
            improved = self.stages.run(self.context, ["selfcal"], applied, built)
        if needed and improved["rounds_kept"] == 0:
            self.context.log.warning("%s: self-calibration on the field did not converge", chosen.set_id)
            shutil.rmtree(built)
            return None
        told = {name: improved[name] for name in _SELFCAL if name in improved}
        return {**result, "self_calibration_rounds": improved["rounds_kept"], "self_calibration": told}

    def _apply(self, chosen: ChosenSet, output: Path | None) -> dict[str, Any]:
        options: list[str | Path] = []
        if chosen.other_path is not None:
            options = ["--other", chosen.other_path, "--weight", f"{chosen.weight:.6f}"]
        written = [] if output is None else [output]
        return self.stages.run(
            self.context, ["apply"], *options, self.measurement_set, self.flags, chosen.path, *written
        )
