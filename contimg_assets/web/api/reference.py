"""The reference API's routes of Measurement Sets: by its paths and fields, without its defects.

Belongs here: the list of Measurement Sets, one's metadata, and tables held against it.  Does not belong
here: the same by groups' keys (``groups.py``), or quality (``quality.py``).
"""

import json
import subprocess
import sys
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from contimg_assets.radio.calibration.compatibility import misfits
from contimg_assets.resources.stage_runner import ENTRY_MODULE
from contimg_assets.station.calibration_selection import need_of
from contimg_assets.station.flag_views import flag_summary
from contimg_assets.station.group_details import data_columns, measurement_set_path, numbers_of, warnings_of
from contimg_assets.station.group_listing import GroupFilter, list_groups
from contimg_assets.station.models import GroupSummary
from contimg_assets.station.views import standing
from contimg_assets.web.api.group_models import CalibratorQuality
from contimg_assets.web.api.groups import FlagVersionQuery, Limit, Offset, calibrator_quality, group_row
from contimg_assets.web.api.identify import MsPath, group_of, table_of
from contimg_assets.web.api.parts import API, Parts
from contimg_assets.web.api.reference_models import (
    AntennaEntry,
    Compatibility,
    FieldEntry,
    FindingEntry,
    FlaggingStats,
    MsMetadata,
    MsPage,
    MsRow,
    ValidateRequest,
)
from contimg_assets.web.problems import ProblemError

GIGA = 1e9
#: The reference API's names of orders.
_SORTS = {
    "time_desc": "-group",
    "time_asc": "group",
    "name_asc": "group",
    "name_desc": "-group",
    "size_desc": "-measurement_set_bytes",
    "size_asc": "measurement_set_bytes",
    "rms_asc": "rms_mjy_beam",
    "rms_desc": "-rms_mjy_beam",
}
SortBy = Literal[
    "time_desc", "time_asc", "name_asc", "name_desc", "size_desc", "size_asc", "rms_asc", "rms_desc"
]
#: A day, or a time in UTC.  (pydantic would take a number for seconds since 1970.)
_TIME = r"^(\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|\+00:00)?)?)?$"
#: What conversion says of a Measurement Set, and metadata need.
_CONVERTED = (
    *("start_utc", "end_utc", "mid_mjd", "n_integrations", "n_channels"),
    *("centre_ra_deg", "centre_dec_deg", "channel_low_hz", "channel_high_hz"),
)
#: A table's check opens it with casacore, in a process of its own, s.
_DEEP_S = 120.0


def reference_router(parts: Parts) -> APIRouter:
    """Routes of Measurement Sets."""
    router = APIRouter(prefix=f"{API}/ms", tags=["reference"])
    station = parts.station

    @router.get("", response_model=MsPage)
    def list_ms(
        search: Annotated[
            str, Query(max_length=100, description="Part of key, calibrator, set, worst check or reason.")
        ] = "",
        has_calibrator: bool | None = None,
        is_calibrated: bool | None = None,
        is_imaged: bool | None = None,
        calibrator_quality: CalibratorQuality | None = None,
        start_date: Annotated[str, Query(pattern=_TIME, description="Observed from then on, UTC.")] = "",
        end_date: Annotated[
            str, Query(pattern=_TIME, description="Observed until then, UTC; that day is within.")
        ] = "",
        sort_by: Annotated[SortBy, Query(description="Order.")] = "time_desc",
        limit: Limit = 100,
        offset: Offset = 0,
        scan: Annotated[
            bool, Query(description="Refused: files are registered as they arrive, or by `contimg register`.")
        ] = False,
    ) -> MsPage:
        """Groups by the reference API's names; search, filters and order are the database's, over all."""
        if scan:
            raise ProblemError(
                422,
                "scan: files are registered as they arrive, or by `contimg register DIR`; expected no scan",
            )
        wanted = GroupFilter(
            search=search,
            has_calibrator=has_calibrator if calibrator_quality != "none" else False,
            is_calibrated=is_calibrated,
            is_imaged=is_imaged,
            apparent_jy=_range(parts, calibrator_quality),
            since=_as_key(start_date),
            until=_as_key(end_date),
        )
        page = list_groups(station.engine, wanted, sort=_SORTS[sort_by], limit=limit, offset=offset)
        return MsPage(
            items=[_ms_row(parts, row) for row in page.rows],
            total=page.total,
            filtered=page.filtered,
            facets=page.facets,
        )

    @router.get("/{ms_path:path}/metadata", response_model=MsMetadata)
    def metadata(ms_path: MsPath, flags: FlagVersionQuery = None) -> MsMetadata:
        """What a Measurement Set holds, and where it is flagged: from the records, it is not opened."""
        return ms_metadata(parts, group_of(ms_path), flags)

    @router.post("/{ms_path:path}/validate-caltable", response_model=Compatibility)
    def validate_caltable(ms_path: MsPath, asked: ValidateRequest) -> Compatibility:
        """Whether a calibration set fits a group: in time, declination, band and antennas by their names."""
        return compatibility(parts, group_of(ms_path), asked)

    return router


def _as_key(at: str) -> str:
    """The beginning of the keys of a day or time: keys have whole seconds, and no zone."""
    return at.removesuffix("Z").removesuffix("+00:00").partition(".")[0]


def _range(parts: Parts, quality: CalibratorQuality | None) -> tuple[float, float] | None:
    """Flux densities that a word for a calibrator means, Jy."""
    options = parts.station.settings.calibration
    good, backup = options.minimum_calibrator_jy, options.backup_calibrator_jy
    ranges = {"good": (good, float("inf")), "backup": (backup, good), "faint": (float("-inf"), backup)}
    return ranges.get(quality or "")


def _ms_row(parts: Parts, row: GroupSummary) -> MsRow:
    shown = group_row(parts, row)
    size = row.measurement_set_bytes
    return MsRow(
        path=measurement_set_path(parts.station, row.key),
        group=row.key,
        mid_mjd=row.mid_mjd,
        start_time=f"{row.key}Z",
        status=shown.state,
        verdict=shown.verdict,
        worst=row.worst_check,
        has_calibrator=row.calibrator_name is not None,
        calibrator_name=row.calibrator_name,
        calibrator_quality=calibrator_quality(parts, row),
        is_calibrated=row.set_id is not None,
        is_imaged=row.image_version_id is not None,
        calibration_quality=shown.calibration_quality,
        image_quality=shown.image_quality,
        size_gb=None if size is None else size / GIGA,
        rms_mjy_beam=row.rms_mjy_beam,
        rms_ratio=row.rms_ratio,
        links=shown.links,
    )


def ms_metadata(parts: Parts, key: str, flags: str | None) -> MsMetadata:
    """What a group's Measurement Set holds.

    Raises
    ------
    ProblemError
        409 if the group has not been converted.
    """
    station = parts.station
    group = station.records.group(key)
    stands = standing(station.records, key)
    numbers = numbers_of(station.records, key, "measurement_set")
    if not numbers:
        raise ProblemError(409, f"group {key} is {stands.text} and has no Measurement Set: convert it first")
    lacking = [name for name in _CONVERTED if name not in numbers]
    if lacking:
        raise ProblemError(
            409,
            f"group {key} was converted by a release "
            f"that did not record {', '.join(lacking)}: convert it again",
        )
    products = station.records.products(key)
    told = flag_summary(station.records, station.store, key, flags) if "flags" in products else None
    size = numbers.get("size_bytes")
    columns = data_columns(station, key)
    return MsMetadata(
        path=measurement_set_path(station, key),
        group=key,
        status=stands.state,
        verdict=stands.verdict,
        start_time=_utc(numbers["start_utc"]),
        end_time=_utc(numbers["end_utc"]),
        duration_sec=_seconds(numbers["start_utc"], numbers["end_utc"]),
        mid_mjd=numbers["mid_mjd"],
        n_integrations=numbers["n_integrations"],
        num_fields=1,
        fields=[
            FieldEntry(name="meridian", ra_deg=numbers["centre_ra_deg"], dec_deg=numbers["centre_dec_deg"])
        ],
        freq_min_ghz=numbers["channel_low_hz"] / GIGA,
        freq_max_ghz=numbers["channel_high_hz"] / GIGA,
        num_channels=numbers["n_channels"],
        num_antennas=len(group.antennas),
        antennas=_antennas(group.antennas, told),
        data_columns=columns,
        calibrated="CORRECTED_DATA" in columns,
        size_gb=None if size is None else size / GIGA,
        flagging_stats=None if told is None else _flagging(told),
        warnings=warnings_of(station, key),
    )


def _antennas(names: list[str], told: dict[str, Any] | None) -> list[AntennaEntry]:
    if told is None:
        return [AntennaEntry(name=name, coherence=None, dead=None) for name in names]
    coherence, dead = told.get("coherence_by_antenna", {}), set(told["dead_antennas"])
    return [AntennaEntry(name=name, coherence=coherence.get(name), dead=name in dead) for name in names]


def _flagging(told: dict[str, Any]) -> FlaggingStats:
    return FlaggingStats(
        version=told["version"],
        total_fraction=told["flag_fraction"],
        per_antenna=told["by_antenna"],
        per_field={"meridian": told["flag_fraction"]},
        per_subband=told["by_subband"],
        per_integration=told["by_integration"],
        per_channel=told["by_channel"],
        alarms=told["alarms"],
    )


def _utc(text: str) -> str:
    """A time that a stage reports, which is UTC and may not say so."""
    return text if text.endswith(("Z", "+00:00")) else f"{text}Z"


def _seconds(start: str, end: str) -> float:
    first, last = (datetime.fromisoformat(_utc(text)) for text in (start, end))
    return (last - first).total_seconds()


def compatibility(parts: Parts, key: str, asked: ValidateRequest) -> Compatibility:
    """Whether a calibration set fits a group."""
    station = parts.station
    named = table_of(asked.caltable)
    found = station.registry.get(named.set_id)
    files = [table.file for table in found.tables]
    if named.file is not None and named.file not in files:
        raise ProblemError(
            404, f"calibration set {found.id} has no table {named.file!r}; it has {', '.join(files)}"
        )
    group = station.records.group(key)
    need = need_of(group, station.records)
    held = station.selection.held_against(found, need)
    by_table = _opened(parts, found.id, key) if asked.deep else {found.id: [vars(each) for each in held]}
    findings = [FindingEntry(table=name, **each) for name, entries in by_table.items() for each in entries]
    issues = [f"{each.table}: {each.detail}" for each in findings if not each.fits]
    if found.status != "active":
        issues.insert(0, f"{found.id} is {found.status}" + (f": {found.reason}" if found.reason else ""))
    without = sorted(need.antennas - set(found.antennas))
    warnings = [f"no solutions for antennas {', '.join(without)}"] if without and not misfits(held) else []
    return Compatibility(
        ms_path=measurement_set_path(station, key),
        group=key,
        calibration_set=found.id,
        set_status=found.status,
        is_compatible=not issues,
        findings=findings,
        issues=issues,
        warnings=warnings,
        antennas_ms=group.antennas,
        antennas_caltable=found.antennas,
        antennas_without_solutions=without,
        band_ms_mhz=(need.channel_low_hz / 1e6, need.channel_high_hz / 1e6),
        band_caltable_mhz=(found.channel_low_hz / 1e6, found.channel_high_hz / 1e6),
    )


def _opened(parts: Parts, set_id: str, key: str) -> dict[str, list[dict[str, Any]]]:
    """Findings of each table itself, by the command that opens it: this process loads no casacore."""
    command = [sys.executable, "-m", ENTRY_MODULE, "registry", "validate", set_id, "--group", key, "--json"]
    try:
        done = subprocess.run(
            command,
            cwd=parts.station.settings.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEEP_S,
            check=False,
        )
        return json.loads(done.stdout)["tables"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        raise ProblemError(
            503, f"the tables of {set_id} could not be opened: {' '.join(command[2:])} gave no answer"
        ) from error
