"""Delays, bandpass and gains of one calibrator scan.

The scan is summed over time against its model first (``scan.py``), which loses nothing and leaves a 24th of
the data.  From the sums come the gain of each channel and, with that divided out, of each interval (G,
``scan_gains.py``); the slope of a channel gain's phase over the band is the delay (K, ``delays.py``), and the
rest the bandpass (B).  The tables are CASA's.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets import __version__
from contimg_assets.radio import phasing
from contimg_assets.radio.applied_delays import delays_of
from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.calibration.assess import assess
from contimg_assets.radio.calibration.calibrators import beam_weighted, flux_model
from contimg_assets.radio.calibration.delays import fit_delays, judge_delays
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.calibration.reference import antenna_phases, reference_antenna
from contimg_assets.radio.calibration.scan import ScanSums, sum_scan
from contimg_assets.radio.calibration.scan_gains import ScanGains
from contimg_assets.radio.calibration.scan_phases import scan_phases, steadied, write_moving
from contimg_assets.radio.calibration.transit_beams import transit_beams
from contimg_assets.radio.calibration.transit_gains import without_drift
from contimg_assets.radio.caltables.jones import delay_factors
from contimg_assets.radio.caltables.new_tables import NewTable, write_table
from contimg_assets.radio.caltables.set_files import SIDECAR, TABLES
from contimg_assets.radio.caltables.solutions import read_table
from contimg_assets.radio.corrections.levels import LEVELS
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.flagging.flag_file import read_summary
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.model_visibilities import visible_sources
from contimg_assets.radio.sky import Source

#: A set in which fewer antennas than this part of the live ones have solutions is no set.
_LEAST_SOLVED = 0.5
#: An antenna is solved if more than this part of the channels of its better feed are.
_LEAST_BAND = 0.5
#: An antenna takes part in at least this many baselines of a solution.
_MIN_BASELINES = 4


@dataclass(frozen=True)
class KnownDelays:
    """Delays of the same scan's earlier solution: what else its model had makes none."""

    tables: Path
    """The set's folder."""
    text: str
    """What became of them there."""


def solve(
    ms: Path,
    flags_folder: Path,
    out: Path,
    options: CalibrationOptions,
    *,
    group: str,
    calibrator: Source,
    field_sources: Sequence[Source] = (),
    beam: Beam = ASSUMED,
    delays: KnownDelays | None = None,
    moving: Path | None = None,
) -> dict[str, Any]:
    """Solve for K, B and G on the averaged scan.

    Parameters
    ----------
    ms : Path
        The scan's Measurement Set; not touched.
    flags_folder : Path
        Its flags.
    out : Path
        Folder for the tables and ``solutions.json``.
    options : CalibrationOptions
        Reference antenna, least S/N, shortest baseline, interval of the gains.
    group : str
        Key of the group.
    calibrator : Source
        In the field, with a flux density.
    field_sources : sequence of Source
        Further sources for the model.
    beam : Beam
        Through which the model is seen; what the transit tells of it is in the sidecar.
    delays : KnownDelays, optional
        To take, in place of solving for them.
    moving : Path, optional
        Folder for the same set with gains that move as phases do within the scan: for the scan itself. Made
        if they do.

    Returns
    -------
    dict
        The sidecar of the set: what was solved, how, from what, how well.

    Raises
    ------
    CalibrationError
        If there are no solutions, or too few, or the antenna named is not there.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    shape = replace(read_shape(ms), beam=beam)
    model_sources = [calibrator, *visible_sources(shape, field_sources)]
    n_intervals = _intervals(shape, options.gain_interval_s)
    sums = sum_scan(shape, flags_folder, model_sources, n_intervals)
    reference = reference_antenna(shape, sums, options.reference_antenna)
    live = _live_antennas(shape, sums)
    parameters = _parameters(options, reference.name)
    phases = scan_phases(shape, sums, shape.antenna_names.index(reference.name))
    wander = antenna_phases(shape, sums)
    if phases is not None:
        sums = steadied(shape, sums, phases)
    told = _solve_tables(out, parameters, options.minimum_uv_m, shape, sums, delays)
    tables = {kind: out / name for kind, _, name in TABLES}
    found = assess(shape, sums, tables, wander)
    beams = transit_beams(shape, sums, calibrator)
    without_drift(shape, sums, calibrator, beams, tables, amplitudes=not options.fast)
    quality = {**_quality(out, live), **found.numbers, **beams.numbers}
    if phases is not None:
        quality["phase_motion_deg"] = float(np.rad2deg(phases.motion_rad))
    if quality["n_antennas_solved"] < _LEAST_SOLVED * len(live):
        raise CalibrationError(
            f"{ms}: found solutions for {quality['n_antennas_solved']} of {len(live)} live antennas on "
            f"{calibrator.name}; expected at least half"
        )
    sidecar = {
        "format": 1,
        "group": group,
        **_about(ms, flags_folder, out, shape, calibrator),
        "n_model_sources": len(model_sources),
        "refant": reference.name,
        "refant_reason": reference.reason,
        "delays": told,
        "antennas": [shape.antenna_names[a] for a in live],
        "parameters": parameters,
        "quality": quality,
        "antenna_quality": found.antennas,
        "phases_deg": found.phases_deg,
        "beam": beams.as_json(),
        "wall_seconds": time.monotonic() - began,
    }
    (out / SIDECAR).write_text(json.dumps(sidecar, indent=1))
    if phases is not None and moving is not None:
        write_moving(out, moving, ms, shape, phases)
    return sidecar


def _about(ms: Path, flags_folder: Path, out: Path, shape: GroupShape, calibrator: Source) -> dict[str, Any]:
    """What a set was solved from and with, and its tables."""
    mid_mjd = float(np.mean(shape.times_jd[[0, -1]])) - phasing.JD_OF_MJD_0
    declination_deg = float(np.rad2deg(shape.declination_rad))
    model = flux_model(calibrator)
    return {
        "calibrator": calibrator.name,
        "calibrator_apparent_jy": float(beam_weighted([calibrator], declination_deg, mid_mjd)[1][0]),
        "flux_model": model,
        "flux_source": str(model["source"]),
        "applied_delays_ns": delays_of(ms),
        "mid_mjd": mid_mjd,
        "declination_deg": declination_deg,
        "centre_ra_deg": float(np.rad2deg(shape.centre[0])),
        "centre_dec_deg": float(np.rad2deg(shape.centre[1])),
        "channel_low_hz": float(shape.frequencies_hz[0]),
        "channel_high_hz": float(shape.frequencies_hz[-1]),
        "tables": [
            {"type": kind, "order": order, "file": name, "sha256": tree_sha256(out / name)}
            for kind, order, name in TABLES
        ],
        "software": {"contimg": __version__, **{p: version(p) for p in ("numba", "python-casacore")}},
        "input_sha256": tree_sha256(flags_folder),
        LEVELS: read_summary(flags_folder).get(LEVELS, {}),
    }


def _intervals(shape: GroupShape, gain_interval_s: float | None) -> int:
    """How many intervals the gains have."""
    if gain_interval_s is None:
        return 1
    return min(max(1, round(shape.n_times * shape.integration_s / gain_interval_s)), shape.n_times)


def _parameters(options: CalibrationOptions, reference: str) -> dict[str, Any]:
    """How it is solved, in CASA's words, as the set's sidecar has it."""
    interval_s, shortest_m = options.gain_interval_s, options.minimum_uv_m
    return {
        "gain_interval": "scan" if interval_s is None else f"{interval_s:g} s",
        "minsnr": options.minimum_snr,
        "uvrange": f">{shortest_m}m" if shortest_m > 0 else "",
        "refant": reference,
        "minblperant": _MIN_BASELINES,
        "calmode": "p" if options.fast else "ap",
    }


def _live_antennas(shape: GroupShape, sums: ScanSums) -> NDArray[np.int64]:
    alive = sums.flagged < 1.0
    one, two = shape.antenna_1[shape.cross][alive], shape.antenna_2[shape.cross][alive]
    return np.unique(np.concatenate([one, two])).astype(np.int64)


def _solve_tables(
    out: Path,
    parameters: dict[str, Any],
    shortest_m: float,
    shape: GroupShape,
    sums: ScanSums,
    known: KnownDelays | None,
) -> str:
    """Solve K (unless it is known), B and G; what became of the delays."""
    scan = ScanGains.of(
        shape,
        sums,
        reference=parameters["refant"],
        minimum_snr=parameters["minsnr"],
        minimum_baselines=parameters["minblperant"],
        minimum_uv_m=shortest_m,
    )
    band, flags = scan.of_channels()
    if flags.all():
        raise CalibrationError(f"{shape.path}: found no solutions; expected some on a calibrator in the beam")
    gain, gain_flags = scan.of_intervals(band, flags, phases_only=parameters["calmode"] == "p")
    whole = [np.arange(shape.n_times)]
    delay_path, band_path, gain_path = (out / name for _, _, name in TABLES)
    if known is None:
        found = fit_delays(band, shape.frequencies_hz)
        delays, told = judge_delays(found, scan.whole, *scan.antennas, shape.frequencies_hz)
        values = (delays.ns, delays.errors_ns, delays.snr, ~delays.solved)
        _write(delay_path, "K Jones", scan, whole, *(a[None, :, None] for a in values))
    else:
        shutil.copytree(known.tables / "K.cal", delay_path)
        told = known.text
    offsets_hz = shape.frequencies_hz - shape.frequencies_hz.mean()
    delayed = delay_factors(read_table(delay_path).values[:, 0].real, offsets_hz)
    values = (band.values / delayed, band.errors, band.snr, flags)
    _write(band_path, "B Jones", scan, whole, *(a[None] for a in values))
    values = (gain.values, gain.errors, gain.snr, gain_flags)
    _write(gain_path, "G Jones", scan, sums.intervals, *(a.swapaxes(0, 1)[:, :, None] for a in values))
    return told


def _write(
    path: Path, kind: str, scan: ScanGains, intervals: Sequence[NDArray[np.int64]], *solutions: NDArray[Any]
) -> None:
    """Write a table: values, errors, S/N and flags, as in :class:`NewTable`."""
    middles_jd = np.array([float(scan.shape.times_jd[times].mean()) for times in intervals])
    values, errors, snr, flags = solutions
    new = NewTable(
        kind,
        values,
        errors,
        snr,
        flags,
        times_s=(middles_jd - phasing.JD_OF_MJD_0) * 86400.0,
        lengths_s=scan.shape.integration_s * np.array([float(len(times)) for times in intervals]),
        reference=scan.reference,
    )
    write_table(path, scan.shape.path, new)


def _quality(out: Path, live: NDArray[np.int64]) -> dict[str, Any]:
    solutions = read_table(out / "B.cal")
    good = ~solutions.flags[live]
    # Noise passes the least signal-to-noise ratio in a channel here and there.
    solved = good.mean(axis=1).max(axis=1) > _LEAST_BAND
    gain = read_table(out / "G.cal")
    return {
        "n_antennas_solved": int(solved.sum()),
        "failed_solution_fraction": float(1.0 - good.mean()),
        "median_snr": float(np.median(solutions.snr[live][good])) if good.any() else 0.0,
        "gain_flagged_fraction": float(gain.flags[live].mean()),
    }
