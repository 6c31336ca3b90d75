"""Applying a calibration set to a clone of a group, and proving that it was."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from contimg_assets.radio.calibration.solutions import read_table
from contimg_assets.radio.calibration.solve import TABLES
from contimg_assets.radio.errors import CalibrationError, MissingInputError
from contimg_assets.radio.flagging.flag_file import read_flags
from contimg_assets.radio.measurement_set import (
    add_data_column,
    read_column,
    read_shape,
    write_column,
)
from contimg_assets.store import clone_tree


def apply(ms: Path, flags_folder: Path, set_folder: Path, out: Path) -> dict[str, Any]:
    """Make the calibrated Measurement Set of a group.

    Weights are not calibrated: they count samples, and after calibration every
    baseline has the noise of one SEFD.  Data without solutions are flagged.

    Parameters
    ----------
    ms : Path
        The group's Measurement Set; not touched.
    flags_folder : Path
        Its flags.
    set_folder : Path
        Calibration tables, from :func:`solve.solve`.
    out : Path
        The new Measurement Set, with FLAG and CORRECTED_DATA.

    Returns
    -------
    dict
        Numbers about the result.

    Raises
    ------
    MissingInputError
        If a table is not there.
    CalibrationError
        If the result is empty, not finite, or no different from the data.
    """
    from casatasks import applycal

    began = time.monotonic()
    tables = [set_folder / name for _, _, name in TABLES]
    for path in tables:
        if not (path / "table.dat").exists():
            raise MissingInputError(f"{path}: found no calibration table; expected those of the set")
    shape = read_shape(ms)
    flags = read_flags(flags_folder, shape.data_shape)
    clone_tree(ms, out)
    cloned = read_shape(out)
    write_column(cloned, "FLAG", flags)
    add_data_column(out, "CORRECTED_DATA")
    data = read_column(cloned, "DATA")
    write_column(cloned, "CORRECTED_DATA", data)
    applycal(
        vis=str(out),
        gaintable=[str(path) for path in tables],
        interp=["nearest", "nearest,linear", "nearest"],
        calwt=False,
        applymode="calflag",
        flagbackup=False,
        parang=False,
    )
    corrected = read_column(cloned, "CORRECTED_DATA")
    used = ~read_column(cloned, "FLAG").astype(bool)
    used[:, ~shape.cross] = False
    if not used.any():
        raise CalibrationError(f"{out}: every visibility is flagged after applying {set_folder}")
    # Every 7th integration and 5th channel are plenty to prove it, and cheap.
    sample = np.s_[:: min(7, shape.n_times), :, ::5]
    good = used[sample]
    values = corrected[sample][good]
    if not np.all(np.isfinite(values)) or not np.any(values):
        raise CalibrationError(
            f"{out}: CORRECTED_DATA is zero or not finite; expected calibrated visibilities"
        )
    if np.array_equal(values, data[sample][good]):
        raise CalibrationError(f"{out}: CORRECTED_DATA equals DATA; expected {set_folder} to change it")
    bandpass = read_table(set_folder / "B.cal")
    solved = np.asarray(~bandpass.flags.all(axis=(1, 2)))
    without = [shape.antenna_names[a] for a in shape.antennas if a >= len(solved) or not solved[a]]
    cross_flags = ~used[:, shape.cross]
    return {
        "flag_fraction": float(cross_flags.mean()),
        "corrected_median_amplitude_jy": float(np.median(np.abs(values))),
        "n_antennas_without_solutions": len(without),
        "antennas_without_solutions": without,
        "wall_seconds": time.monotonic() - began,
    }
