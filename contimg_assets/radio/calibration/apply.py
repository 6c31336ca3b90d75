"""Applying a calibration set to a clone of a group, and proving that it was."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.applied_delays import changed_delays, delays_of
from contimg_assets.radio.calibration.interpolation import interpolate
from contimg_assets.radio.caltables.jones import Jones, read_jones
from contimg_assets.radio.caltables.set_beam import beam_of_set
from contimg_assets.radio.caltables.set_files import SIDECAR, TABLES
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.flagging.antenna_spans import Span
from contimg_assets.radio.flagging.bad_antennas import beyond_jumps, flag_integration
from contimg_assets.radio.flagging.flag_file import open_flags, read_summary
from contimg_assets.radio.measurement_set import GroupShape, add_column_like_data, read_shape, write_beam

#: Every so many integrations, and channels, are read back: plenty to prove it, and cheap.
_INTEGRATIONS, _CHANNELS = 7, 5
#: The correlator's delays may have changed for this part of the antennas, which are flagged.
MOST_OTHER = 0.5


def apply(
    ms: Path,
    flags_folder: Path,
    set_folder: Path,
    out: Path,
    *,
    other_set: Path | None = None,
    weight: float = 0.0,
) -> dict[str, Any]:
    """Make the calibrated Measurement Set of a group, integration by integration.

    Weights are not calibrated: they count samples, and after calibration every
    baseline has the noise of one SEFD.  Data without solutions are flagged, and
    so are autocorrelations, which are never imaged, antennas whose gain has jumped between the
    calibration and the integration, and those for which the correlator takes out another delay than
    it did for the calibrator.

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
    other_set : Path, optional
        A set on the other side of the group in time, to interpolate towards.
    weight : float
        Part of the time between the sets that has passed since the first.

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
    jones = read_jones([set_folder / name for _, _, name in TABLES], shape)
    drift: dict[str, float] = {}
    if other_set is not None:
        other = read_jones([other_set / name for _, _, name in TABLES], shape)
        jones, drift = interpolate(jones, other, weight)
    told = read_summary(flags_folder)
    jumped = beyond_jumps(told.get("jumps", []), shape, _solved_mjd(set_folder))
    others = _other_delays(shape, [set_folder, *([other_set] if other_set is not None else [])])
    delayed = [
        Span(place, feed, 0, shape.n_times - 1, "delay changed")
        for place, antenna in enumerate(shape.antennas)
        for feed in (0, 1)
        if shape.antenna_names[antenna] in others
    ]
    with open_flags(flags_folder, shape.data_shape) as flags_of:
        clone_tree(ms, out)
        n_flagged = _write(out, shape, jones, flags_of, [*jumped, *delayed])
    write_beam(out, beam_of_set(set_folder))
    n_cross = int(np.prod(shape.data_shape[2:])) * shape.n_times * int(shape.cross.sum())
    if n_flagged == n_cross:
        raise CalibrationError(f"{out}: every visibility is flagged after applying {set_folder}")
    without = [shape.antenna_names[a] for a in shape.antennas if jones.unsolved[a]]
    return {
        "flag_fraction": n_flagged / n_cross,
        "corrected_median_amplitude_jy": _verify(out, shape, set_folder),
        "n_antennas_without_solutions": len(without),
        "antennas_without_solutions": without,
        "antennas_jumped": sorted({shape.antenna_names[shape.antennas[s.antenna]] for s in jumped}),
        "antennas_with_other_delays": others,
        "bad_antenna_fraction": told.get("bad_span_fraction", 0.0) + _part([*jumped, *delayed], shape),
        **drift,
        "wall_seconds": time.monotonic() - began,
    }


def _solved_mjd(set_folder: Path) -> float:
    """When a set's gains were solved."""
    from casacore.tables import table

    with table(str(set_folder / TABLES[-1][2]), ack=False) as rows:
        return float(np.mean(rows.getcol("TIME"))) / 86400.0


def _other_delays(shape: GroupShape, sets: list[Path]) -> list[str]:
    """Antennas for which the correlator takes out other delays than when sets were observed."""
    now, found = delays_of(shape.path), set[str]()
    for folder in sets:
        # Tables that were made elsewhere have none: nobody knows then.
        if (folder / SIDECAR).exists():
            then = json.loads((folder / SIDECAR).read_text(encoding="utf-8")).get("applied_delays_ns")
            found |= set(changed_delays(then, now))
    others = sorted(found & {shape.antenna_names[a] for a in shape.antennas}, key=lambda n: (len(n), n))
    if len(others) > MOST_OTHER * len(shape.antennas):
        raise CalibrationError(
            f"{shape.path}: found other correlator delays for {len(others)} of {len(shape.antennas)} "
            f"antennas than in {sets[0]}; expected the same for at least half"
        )
    return others


def _part(spans: list[Span], shape: GroupShape) -> float:
    """Part of all antennas' time and feeds that spans of one feed are."""
    return sum(s.last + 1 - s.first for s in spans) / (2.0 * shape.n_times * len(shape.antennas))


def _write(
    out: Path,
    shape: GroupShape,
    jones: Jones,
    flags_of: Callable[[int], NDArray[np.bool_]],
    jumped: list[Span],
) -> int:
    """Fill CORRECTED_DATA and FLAG; returns how many cross-correlations are flagged."""
    from casacore.tables import table

    n_flagged, cross = 0, shape.cross
    buffers = [np.empty(shape.data_shape[1:], np.complex64) for _ in range(2)]
    # One thread has the table to itself: it reads ahead, and writes what has been calibrated.
    with table(str(out), readonly=False, ack=False) as main, ThreadPoolExecutor(1) as files:
        add_column_like_data(main, "CORRECTED_DATA")

        def read(t: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
            main.getcolnp("DATA", buffers[t % 2], t * shape.n_baselines, shape.n_baselines)
            return buffers[t % 2], flags_of(t)

        def write(t: int, corrected: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
            main.putcol("CORRECTED_DATA", corrected, t * shape.n_baselines, shape.n_baselines)
            main.putcol("FLAG", flags, t * shape.n_baselines, shape.n_baselines)

        reading, writing = files.submit(read, 0), None
        for t in range(shape.n_times):
            data, flags = reading.result()
            if t + 1 < shape.n_times:
                reading = files.submit(read, t + 1)
            corrected, flags = jones.apply(t, data, flags)
            for span in jumped:
                if span.first <= t <= span.last:
                    flag_integration(shape, flags, span)
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
