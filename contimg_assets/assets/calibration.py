"""Flags, calibration tables of calibrator scans, and their application to every group."""

import json
import shutil
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

from contimg_assets.assets.publishing import (
    CALIBRATION,
    CONVERSION,
    FOLDERS,
    OWNERS,
    RETRY,
    Production,
    ms_path,
    production,
)
from contimg_assets.partitions import calibrator_scan, observation_group
from contimg_assets.radio.errors import NoCalibratorError
from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.images.provenance import software_versions
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.settings import get_settings
from contimg_assets.station.calibration_selection import BANDPASS, ChosenSet, need_of

#: What calibrated a group, beside its calibrated Measurement Set.
PROVENANCE = "provenance.json"


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
    with production(context, database, storage, measurement_set) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        result = stages.run(context, ["flag"], ms_path(measurement_set, making.key), making.built)
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
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, measurement_set, flags) as making:
        standing = making.standing()
        if standing is not None:
            return standing
        making.records.refuse_errors(making.key, "measurement_set_qa")
        calibrator = making.records.group(making.key).calibrator_name
        reference = get_settings().calibration.reference_antenna
        options = ["--calibrator", calibrator] if calibrator else []
        options += ["--refant", reference] if reference else []
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
        "A copy of the group's Measurement Set with flags and the nearest valid calibration applied "
        "(CORRECTED_DATA), and a note of which tables those were."
    ),
    partitions_def=observation_group,
    # Any scan's tables may be the nearest: the registry chooses, the metadata say which it was.
    deps=[AssetDep(calibration_tables, partition_mapping=AllPartitionMapping())],
    group_name="calibration",
    kinds={"casa", "measurementset"},
    owners=OWNERS,
    pool=CALIBRATION,
    retry_policy=RETRY,
    io_manager_key=FOLDERS,
)
def calibrated_ms(
    context: AssetExecutionContext,
    measurement_set: Path,
    flags: Path,
    stages: StageRunner,
    database: DatabaseResource,
    storage: StoreResource,
) -> MaterializeResult[Path]:
    with production(context, database, storage, measurement_set, flags) as making:
        key, records, selection = making.key, making.records, database.selection()
        records.refuse_errors(key, "measurement_set_qa")
        work = _Work(context, stages, making, ms_path(measurement_set, key), flags)
        options = selection.options(need_of(records.group(key), records))
        used = database.registry().used_by(key)
        # What was made with a set that would not be the first choice any more is made again.
        if used is not None and used.set_id == options[0].set_id:
            standing = making.standing(sets=options[0].set_ids)
            if standing is not None:
                return standing
        for chosen in options:
            result = work.calibrate(chosen)
            if result is not None:
                break
        else:
            raise NoCalibratorError(
                f"group {key}: only a bandpass of another day is there, and self-calibration on the field "
                "did not converge"
            )
        provenance = {
            **chosen.provenance(),
            "flags": {"sha256": tree_sha256(flags)},
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

    def calibrate(self, chosen: ChosenSet) -> dict[str, Any] | None:
        """Apply a set; None if it needs self-calibration and the field does not bear it."""
        chosen.check_intact()
        if chosen.warning:
            self.context.log.warning("%s: %s", chosen.set_id, chosen.warning)
        built, needed = self.making.built, chosen.fallback == BANDPASS
        output = ms_path(built, self.making.key)
        if not (needed or get_settings().calibration.self_calibrate):
            built.mkdir()
            return self._apply(chosen, output)
        applied = ms_path(built.with_name("applied"), self.making.key)
        applied.parent.mkdir()
        result = self._apply(chosen, applied)
        improved = self.stages.run(self.context, ["selfcal"], applied, built)
        shutil.rmtree(applied.parent)
        if needed and improved["rounds_kept"] == 0:
            self.context.log.warning("%s: self-calibration on the field did not converge", chosen.set_id)
            shutil.rmtree(built)
            return None
        told = {name: improved[name] for name in _SELFCAL if name in improved}
        return {**result, "self_calibration_rounds": improved["rounds_kept"], "self_calibration": told}

    def _apply(self, chosen: ChosenSet, output: Path) -> dict[str, Any]:
        options: list[str | Path] = []
        if chosen.other_path is not None:
            options = ["--other", chosen.other_path, "--weight", f"{chosen.weight:.6f}"]
        return self.stages.run(
            self.context, ["apply"], *options, self.measurement_set, self.flags, chosen.path, output
        )
