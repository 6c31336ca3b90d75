"""Applying a calibration set to a clone of a group, and proving that it was."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.set_beam import beam_of_set
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.corrections import Corrections, open_corrections
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.measurement_set import GroupShape, add_column_like_data, read_shape, write_beam

#: Every so many integrations, and channels, are read back: plenty to prove it, and cheap.
_INTEGRATIONS, _CHANNELS = 7, 5


def look(ms: Path, calibration: Calibration) -> dict[str, Any]:
    """Say what a calibration does to a group, without reading its data.

    Parameters
    ----------
    ms : Path
        The group's Measurement Set.
    calibration : Calibration
        Flags and tables.

    Returns
    -------
    dict
        Antennas without solutions, with gains that jumped, of other delays, and the part that is bad.

    Raises
    ------
    MissingInputError
        If a table or the flags are not there.
    CalibrationError
        If nothing of it has solutions; if the correlator's delays are others for more than half of the
        antennas.
    """
    began = time.monotonic()
    shape = read_shape(ms)
    with open_corrections(shape, calibration) as corrections:
        if corrections.numbers["n_antennas_without_solutions"] >= len(shape.antennas) - 1:
            raise CalibrationError(_nothing_left(ms, calibration))
        return {**corrections.numbers, "wall_seconds": time.monotonic() - began}


def apply(ms: Path, calibration: Calibration, out: Path) -> dict[str, Any]:
    """Make the calibrated Measurement Set of a group, integration by integration.

    Weights are not calibrated: they count samples, and after calibration every
    baseline has the noise of one SEFD.  Autocorrelations, which are never imaged, are flagged.

    Parameters
    ----------
    ms : Path
        The group's Measurement Set; not touched.
    calibration : Calibration
        Flags and tables.
    out : Path
        The new Measurement Set, with FLAG and CORRECTED_DATA.

    Returns
    -------
    dict
        Numbers about the result.

    Raises
    ------
    MissingInputError
        If a table or the flags are not there.
    CalibrationError
        If the result is empty, not finite, or no different from the data; if the correlator's delays
        are others for more than half of the antennas.
    """
    began = time.monotonic()
    shape = read_shape(ms)
    with open_corrections(shape, calibration) as corrections:
        clone_tree(ms, out)
        n_flagged = _write(out, shape, corrections)
    write_beam(out, beam_of_set(calibration.tables))
    n_cross = int(np.prod(shape.data_shape[2:])) * shape.n_times * int(shape.cross.sum())
    if n_flagged == n_cross:
        raise CalibrationError(_nothing_left(out, calibration))
    return {
        "flag_fraction": n_flagged / n_cross,
        "corrected_median_amplitude_jy": _verify(out, shape, calibration.tables),
        **corrections.numbers,
        "wall_seconds": time.monotonic() - began,
    }


def _nothing_left(ms: Path, calibration: Calibration) -> str:
    return f"{ms}: every visibility is flagged after applying {calibration.tables}"


def _write(out: Path, shape: GroupShape, corrections: Corrections) -> int:
    """Fill CORRECTED_DATA and FLAG; returns how many cross-correlations are flagged."""
    from casacore.tables import table

    n_flagged, cross = 0, shape.cross
    buffers = [np.empty(shape.data_shape[1:], np.complex64) for _ in range(2)]
    # One thread has the table to itself: it reads ahead, and writes what has been calibrated.
    with table(str(out), readonly=False, ack=False) as main, ThreadPoolExecutor(1) as files:
        add_column_like_data(main, "CORRECTED_DATA")

        def read(t: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
            main.getcolnp("DATA", buffers[t % 2], t * shape.n_baselines, shape.n_baselines)
            return buffers[t % 2], corrections.flags_of(t)

        def write(t: int, corrected: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
            main.putcol("CORRECTED_DATA", corrected, t * shape.n_baselines, shape.n_baselines)
            main.putcol("FLAG", flags, t * shape.n_baselines, shape.n_baselines)

        reading, writing = files.submit(read, 0), None
        for t in range(shape.n_times):
            data, flags = reading.result()
            if t + 1 < shape.n_times:
                reading = files.submit(read, t + 1)
            corrected, flags = corrections.jones.apply(t, data, flags)
            n_flagged += int(np.count_nonzero(flags[cross]))
            flags[~cross] = True
            if writing:
                writing.result()
            writing = files.submit(write, t, corrected, flags)
        if writing:
            writing.result()
    return n_flagged


def _verify(out: Path, shape: GroupShape, set_folder: Path) -> float:
    """Read a part of the result back; returns its median amplitude, Jy."""
    from casacore.tables import table

    data: list[NDArray[np.complex64]] = []
    corrected: list[NDArray[np.complex64]] = []
    with table(str(out), ack=False) as main:
        for t in range(0, shape.n_times, min(_INTEGRATIONS, shape.n_times)):
            rows = t * shape.n_baselines, shape.n_baselines
            good = ~main.getcol("FLAG", *rows)[:, ::_CHANNELS]
            data.append(main.getcol("DATA", *rows)[:, ::_CHANNELS][good])
            corrected.append(main.getcol("CORRECTED_DATA", *rows)[:, ::_CHANNELS][good])
    values = np.concatenate(corrected)
    if not np.all(np.isfinite(values)) or not np.any(values):
        raise CalibrationError(
            f"{out}: CORRECTED_DATA is zero or not finite; expected calibrated visibilities"
        )
    if np.array_equal(values, np.concatenate(data)):
        raise CalibrationError(f"{out}: CORRECTED_DATA equals DATA; expected {set_folder} to change it")
    return float(np.median(np.abs(values)))
