"""Jobs that people ask for: whether a group can have one now, and with which parameters.

Belongs here: the checks before a run is started, and what run that is.  Does not
belong here: starting it (``web/orchestrator.py``), or what a job makes (``assets/``).
The engine checks neither the group nor what it is in the state for: a run would be
started, and fail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import Field

from contimg_assets.radio.errors import MissingInputError, SettingsError, StateError
from contimg_assets.radio.options import Options
from contimg_assets.station.calibration_selection import need_of
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import ObservationGroup
from contimg_assets.station.operations import CONVERT, IMAGE, PROCESS, SOLVE
from contimg_assets.station.publication import removed_text

Kind = Literal["convert", "calibrate", "apply", "image", "workflow"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Kinds by the job that they run, for runs that nobody asked for by kind.
KIND_OF_JOB: dict[str, Kind] = {
    CONVERT: "convert",
    SOLVE: "calibrate",
    IMAGE: "image",
    PROCESS: "workflow",
}
#: States in which later stages than the first may be started.
_CONVERTED = ("in_progress", "completed", "failed")


class JobParameters(Options):
    """Of a job that takes none."""


class CalibrateParameters(JobParameters):
    """How a calibrator scan is solved; what is not given is as the settings say."""

    refant: str | None = None
    """Name of the reference antenna; without it: chosen from the data."""
    calibrator: str | None = Field(default=None, max_length=64)
    """Name of the calibrator; without it: the brightest in the beam."""
    fast: bool | None = None
    """Gains in phase only."""


class ApplyParameters(JobParameters):
    """Which calibration is applied."""

    calibration_set: str | None = Field(default=None, max_length=64)
    """Identity of the set; without it: the best that fits."""


class ImageParameters(JobParameters):
    """How the image is made; what is not given is as the settings say."""

    quick: bool = False
    """A quick look: coarse, shallow, in seconds."""
    options: dict[str, Any] = Field(default={})
    """Imaging options by name, as ``contimg settings`` lists them, such as ``{"robust": 0.5}``."""


class WorkflowParameters(ImageParameters, ApplyParameters):
    """How a group is made from its files to its image."""


PARAMETERS: dict[Kind, type[JobParameters]] = {
    "convert": JobParameters,
    "calibrate": CalibrateParameters,
    "apply": ApplyParameters,
    "image": ImageParameters,
    "workflow": WorkflowParameters,
}


@dataclass(frozen=True)
class JobPlan:
    """A run that a group can have now."""

    kind: Kind
    key: str
    job: str
    """Name of the job."""
    assets: tuple[str, ...]
    """Only these of its assets; none: all."""
    config: Mapping[str, Mapping[str, Any]]
    """Run options by asset (``assets/run_options.py``)."""
    calibrator: bool
    """The group is a calibrator scan, or is solved as one."""
    warnings: tuple[str, ...] = field(default=())
    """What the user should know."""


def plan_job(station: Installation, kind: Kind, key: str, parameters: JobParameters) -> JobPlan:
    """What run a job of a group is; nothing is changed.

    Parameters
    ----------
    station : Installation
    kind : str
    key : str
        The group.
    parameters : JobParameters
        Of ``PARAMETERS[kind]``.

    Raises
    ------
    MissingInputError
        If the group, or a set or antenna that is named, is not there.
    StateError
        If somebody holds the group, or it is not in a state for it.
    VerdictError, CalibrationError
        If quality forbids it, or no calibration fits; the message says why.
    SettingsError
        If a parameter is wrong.
    """
    group = station.records.group(key)
    held = station.leases.of(key)
    if held is not None:
        raise StateError(f"group {key} is held by {held}")
    planned = {
        "convert": _convert,
        "calibrate": _calibrate,
        "apply": _apply,
        "image": _image,
        "workflow": _workflow,
    }
    return planned[kind](station, group, parameters)


def _convert(station: Installation, group: ObservationGroup, parameters: JobParameters) -> JobPlan:  # noqa: ARG001 (all take them)
    return JobPlan("convert", group.key, CONVERT, (), {}, _is_scan(group), _reopened(group))


def _calibrate(station: Installation, group: ObservationGroup, parameters: JobParameters) -> JobPlan:
    assert isinstance(parameters, CalibrateParameters)
    _require_converted(station, group)
    station.records.refuse_errors(group.key, "measurement_set_qa")
    if group.calibrator_name is None and parameters.calibrator is None:
        raise StateError(
            f"group {group.key} has no calibrator in the beam: expected the name of one as `calibrator`"
        )
    if parameters.calibrator is not None:
        from contimg_assets.radio.calibration.calibrators import named_calibrator

        named_calibrator(parameters.calibrator, station.settings.calibration.calibrator_list)
    warnings = _check_antenna(station, group, parameters.refant)
    given = {
        "reference_antenna": parameters.refant,
        "calibrator": parameters.calibrator,
        "fast": parameters.fast,
    }
    config = {name: value for name, value in given.items() if value is not None}
    return JobPlan("calibrate", group.key, SOLVE, (), {"calibration_tables": config}, True, warnings)


def _apply(station: Installation, group: ObservationGroup, parameters: JobParameters) -> JobPlan:
    assert isinstance(parameters, ApplyParameters)
    _require_converted(station, group)
    config, warnings = _chosen_set(station, group, parameters)
    # Who asks for this alone wants the data.
    config = {"calibrated_ms": {**config.get("calibrated_ms", {}), "keep": True}}
    if "image" in station.records.products(group.key):
        warnings = (*warnings, "the image that is there stays, and is older than its data then")
    return JobPlan("apply", group.key, IMAGE, ("calibrated_ms",), config, _is_scan(group), warnings)


def _image(station: Installation, group: ObservationGroup, parameters: JobParameters) -> JobPlan:
    assert isinstance(parameters, ImageParameters)
    _require_converted(station, group)
    config = _imaging(station, parameters)
    if "calibrated_ms" in station.records.present(group.key):
        station.records.refuse_errors(group.key, "measurement_set_qa")
        return JobPlan("image", group.key, IMAGE, ("image", "image_qa"), config, _is_scan(group))
    applied, warnings = _chosen_set(station, group, ApplyParameters())
    warnings = (*warnings, "the group is not calibrated yet: that is done first")
    return JobPlan("image", group.key, IMAGE, (), {**applied, **config}, _is_scan(group), warnings)


def _workflow(station: Installation, group: ObservationGroup, parameters: JobParameters) -> JobPlan:
    assert isinstance(parameters, WorkflowParameters)
    config: dict[str, Mapping[str, Any]] = {**_imaging(station, parameters)}
    warnings = _reopened(group)
    if parameters.calibration_set is not None:
        station.registry.get(parameters.calibration_set)
        config["calibrated_ms"] = {"calibration_set": parameters.calibration_set}
    if "measurement_set" in station.records.products(group.key):
        # What is converted again needs what it needed before.
        _, more = _chosen_set(station, group, ApplyParameters(calibration_set=parameters.calibration_set))
        warnings = (*warnings, *more)
    if _is_scan(group):
        warnings = (*warnings, "a calibrator scan: the sensors solve it again afterwards")
    return JobPlan("workflow", group.key, PROCESS, (), config, _is_scan(group), warnings)


def _is_scan(group: ObservationGroup) -> bool:
    return group.calibrator_name is not None


def _reopened(group: ObservationGroup) -> tuple[str, ...]:
    """What converting a group does to it; one whose files are still coming cannot be."""
    if group.state == "collecting":
        raise StateError(f"group {group.key} is collecting, expected pending or later: {group.reason}")
    if group.state in ("completed", "failed"):
        return (f"the group is {group.state}: it is opened again, and the sensors make what follows",)
    return ()


def _require_converted(station: Installation, group: ObservationGroup) -> None:
    made = station.records.products(group.key)
    missing = [name for name in ("measurement_set", "flags") if name not in made]
    if group.state not in _CONVERTED or missing:
        told = f"is {group.state}" + (f" and has no {' and no '.join(missing)}" if missing else "")
        raise StateError(f"group {group.key} {told}: convert it first")
    if made["measurement_set"].removed:
        raise StateError(removed_text(made["measurement_set"]))


def _chosen_set(
    station: Installation, group: ObservationGroup, parameters: ApplyParameters
) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """Config and warnings of applying a set; refused if none fits."""
    station.records.refuse_errors(group.key, "measurement_set_qa")
    need = need_of(group, station.records)
    best = station.selection.candidates(need, parameters.calibration_set)[0]
    warnings = (f"calibration set {best.set_id}: {best.warning}",) if best.warning else ()
    named = parameters.calibration_set
    return ({} if named is None else {"calibrated_ms": {"calibration_set": named}}), warnings


def _imaging(station: Installation, parameters: ImageParameters) -> dict[str, Mapping[str, Any]]:
    """Config of imaging: options that differ from nothing are left out."""
    options = dict(parameters.options)
    if parameters.quick:
        if options.get("mode", "quick") != "quick":
            raise SettingsError(
                f"imaging options: found mode {options['mode']!r} beside quick; expected one of them"
            )
        options["mode"] = "quick"
    chosen = station.settings.imaging.replaced(options).model_dump(mode="json", include=set(options))
    return {"image": {"options": chosen}} if chosen else {}


def _check_antenna(station: Installation, group: ObservationGroup, name: str | None) -> tuple[str, ...]:
    """Warnings about a reference antenna; refused if the group has none of that name."""
    if name is None:
        return ()
    if name not in group.antennas:
        raise SettingsError(
            f"refant: found {name!r}; expected an antenna of group {group.key}: {', '.join(group.antennas)}"
        )
    try:
        numbers = station.records.product(group.key, "flags").numbers
    except MissingInputError:
        return ()
    if name in numbers.get("dead_antennas", ()):
        return (f"antenna {name} is dead in this scan: the solver takes another, and says so",)
    return ()
