"""Delays, bandpass and gains of one calibrator scan, with CASA.

K (delay), then B (complex bandpass, solved with K applied), then G (complex
gain of the whole scan, with both applied).  One solution each over the scan:
the drift inside five minutes is far below what one integration's noise allows.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets import __version__
from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.calibration.calibrators import beam_weighted, flux_model
from contimg_assets.radio.calibration.hashing import tree_sha256
from contimg_assets.radio.calibration.model import model_visibilities, visible_sources
from contimg_assets.radio.calibration.solutions import read_table
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.flagging.flag_file import FLAGS_NAME, read_flags
from contimg_assets.radio.measurement_set import GroupShape, add_data_column, read_shape, write_column
from contimg_assets.radio.plots.calibration import plot_solutions
from contimg_assets.radio.sky import Source
from contimg_assets.store import clone_tree

#: Type, order of application, file name.
TABLES = (("K", 10, "K.cal"), ("BA", 20, "B.cal"), ("GA", 40, "G.cal"))
#: A set in which fewer antennas than this part of the live ones have solutions is no set.
_LEAST_SOLVED = 0.5
#: An antenna is solved if more than this part of the channels of its better feed are.
_LEAST_BAND = 0.5
#: An antenna takes part in at least this many baselines of a solution.
_MIN_BASELINES = 4


def choose_reference(shape: GroupShape, flags: NDArray[np.bool_]) -> str:
    """Name of the reference antenna: little flagged, and near the array's middle.

    Among the antennas whose flagged fraction is no more than 5 % above the
    best, the one with the least median distance to the others.
    """
    cross = shape.cross
    by_baseline = flags[:, cross].mean(axis=(0, 2, 3))
    one, two = shape.antenna_1[cross], shape.antenna_2[cross]
    flagged = np.array([by_baseline[(one == a) | (two == a)].mean() for a in shape.antennas])
    good = shape.antennas[flagged <= flagged.min() + 0.05]
    positions = shape.antenna_positions[good]
    distance = np.median(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    return shape.antenna_names[good[int(np.argmin(distance))]]


def solve(
    ms: Path,
    flags_folder: Path,
    out: Path,
    work: Path,
    *,
    group: str,
    calibrator: Source,
    field_sources: Sequence[Source] = (),
    reference_antenna: str | None = None,
    minimum_snr: float = 3.0,
    minimum_uv_m: float = 0.0,
) -> dict[str, Any]:
    """Solve for K, B and G on a clone of the scan.

    Parameters
    ----------
    ms : Path
        The scan's Measurement Set; not touched.
    flags_folder : Path
        Its flags.
    out : Path
        Folder for the tables, ``solutions.json`` and ``thumbnail.png``.
    work : Path
        Folder for the clone; the caller removes it.
    group : str
        Key of the group.
    calibrator : Source
        In the field, with a flux density.
    field_sources : sequence of Source
        Further sources for the model.
    reference_antenna : str, optional
        Name (1-based); chosen from the data if not given.
    minimum_snr, minimum_uv_m : float
        See ``CalibrationSettings``.

    Returns
    -------
    dict
        The sidecar of the set: what was solved, how, from what, how well.

    Raises
    ------
    CalibrationError
        If CASA finds no solutions, or too few, or the antenna named is not there.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    shape = read_shape(ms)
    flags = read_flags(flags_folder, shape.data_shape)
    flags[:, ~shape.cross] = True
    reference = _reference(shape, flags, reference_antenna)
    clone = work / "solve.ms"
    clone_tree(ms, clone)
    cloned = read_shape(clone)
    write_column(cloned, "FLAG", flags)
    model_sources = [calibrator, *visible_sources(shape, field_sources)]
    add_data_column(clone, "MODEL_DATA")
    model = model_visibilities(shape, model_sources)
    write_column(cloned, "MODEL_DATA", np.repeat(model[..., None], shape.n_polarisations, axis=-1))
    del model
    live = _live_antennas(shape, flags)
    del flags
    parameters = {
        "solint": "inf",
        "minsnr": minimum_snr,
        "uvrange": f">{minimum_uv_m}m" if minimum_uv_m > 0 else "",
        "refant": reference,
        "minblperant": _MIN_BASELINES,
    }
    _run_casa(clone, out, parameters)
    quality = _quality(out, live)
    if quality["n_antennas_solved"] < _LEAST_SOLVED * len(live):
        raise CalibrationError(
            f"{ms}: found solutions for {quality['n_antennas_solved']} of {len(live)} live antennas on "
            f"{calibrator.name}; expected at least half"
        )
    mid_mjd = float(np.mean(shape.times_jd[[0, -1]])) - phasing.JD_OF_MJD_0
    sidecar = {
        "format": 1,
        "group": group,
        "calibrator": calibrator.name,
        "calibrator_apparent_jy": float(
            beam_weighted([calibrator], np.rad2deg(shape.declination_rad), mid_mjd)[1][0]
        ),
        "flux_model": flux_model(calibrator),
        "flux_source": str(flux_model(calibrator)["source"]),
        "n_model_sources": len(model_sources),
        "refant": reference,
        "mid_mjd": mid_mjd,
        "declination_deg": float(np.rad2deg(shape.declination_rad)),
        "centre_ra_deg": float(np.rad2deg(shape.centre[0])),
        "centre_dec_deg": float(np.rad2deg(shape.centre[1])),
        "antennas": [shape.antenna_names[a] for a in live],
        "channel_low_hz": float(shape.frequencies_hz[0]),
        "channel_high_hz": float(shape.frequencies_hz[-1]),
        "tables": [
            {"type": kind, "order": order, "file": name, "sha256": tree_sha256(out / name)}
            for kind, order, name in TABLES
        ],
        "parameters": parameters,
        "software": {"contimg": __version__, **{p: version(p) for p in ("casatasks", "casatools")}},
        "input_sha256": hashlib.sha256((flags_folder / FLAGS_NAME).read_bytes()).hexdigest(),
        "quality": quality,
        "wall_seconds": time.monotonic() - began,
    }
    (out / "solutions.json").write_text(json.dumps(sidecar, indent=1))
    plot_solutions(out / "thumbnail.png", out / "B.cal", sidecar)
    return sidecar


def _reference(shape: GroupShape, flags: NDArray[np.bool_], wanted: str | None) -> str:
    if wanted is None:
        return choose_reference(shape, flags)
    try:
        index = telescope.antenna_index(wanted, list(shape.antenna_names))
    except KeyError as error:
        raise CalibrationError(f"{shape.path}: reference antenna: {error.args[0]}") from error
    if index not in _live_antennas(shape, flags):
        raise CalibrationError(f"{shape.path}: reference antenna {wanted} has no unflagged data in this scan")
    return wanted


def _live_antennas(shape: GroupShape, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    cross = shape.cross
    alive = ~flags[:, cross].all(axis=(0, 2, 3))
    ids = np.concatenate([shape.antenna_1[cross][alive], shape.antenna_2[cross][alive]])
    return np.unique(ids).astype(np.int64)


def _run_casa(clone: Path, out: Path, parameters: dict[str, Any]) -> None:
    from casatasks import bandpass, gaincal

    shared: dict[str, Any] = {
        "vis": str(clone),
        "refant": parameters["refant"],
        "minsnr": parameters["minsnr"],
        "uvrange": parameters["uvrange"],
        "minblperant": parameters["minblperant"],
        "solint": parameters["solint"],
        "parang": False,
    }
    delay, band, gain = (str(out / name) for _, _, name in TABLES)
    gaincal(caltable=delay, gaintype="K", **shared)
    _expect(out / "K.cal")
    bandpass(caltable=band, bandtype="B", solnorm=False, gaintable=[delay], **shared)
    _expect(out / "B.cal")
    gaincal(caltable=gain, gaintype="G", calmode="ap", gaintable=[delay, band], **shared)
    _expect(out / "G.cal")


def _expect(table: Path) -> None:
    if not (table / "table.dat").exists():
        raise CalibrationError(f"{table}: CASA wrote no solutions; expected some on a calibrator in the beam")


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
