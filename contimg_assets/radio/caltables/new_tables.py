"""CASA calibration tables, written as CASA's own tasks write them.

Belongs here: rows, keywords and subtables of K, B and G Jones.  Does not belong here: solving
(``radio/calibration``), or reading (``solutions.py``, ``jones.py``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Subtables that a calibration table has of its Measurement Set.
_SUBTABLES = ("OBSERVATION", "ANTENNA", "FIELD", "SPECTRAL_WINDOW")
#: CASA's version whose format this is.
_FORMAT = "6.7.0-31"
_SECONDS = {"QuantumUnits": ["s"]}
_UTC = {**_SECONDS, "MEASINFO": {"type": "epoch", "Ref": "UTC"}}


@dataclass(frozen=True)
class NewTable:
    """Solutions to be written; arrays of shape (n_intervals, n_antennas_telescope, n_channels, 2 feeds)."""

    kind: str
    """``K Jones`` (delays, ns), ``B Jones`` or ``G Jones`` (complex gains)."""
    values: NDArray[np.float64] | NDArray[np.complex128]
    errors: NDArray[np.float64]
    snr: NDArray[np.float64]
    flags: NDArray[np.bool_]
    times_s: NDArray[np.float64]
    """Middles of the intervals, MJD UTC in s, shape (n_intervals,)."""
    lengths_s: NDArray[np.float64]
    reference: int
    """Id of the reference antenna."""


def write_table(path: Path, ms: Path, new: NewTable) -> None:
    """Write a table.

    Parameters
    ----------
    path : Path
        Where nothing is yet.
    ms : Path
        Measurement Set that was solved: its antennas, field, channels and observation are the table's.
    new : NewTable
        With all channels of the Measurement Set, or one for the whole band.
    """
    from casacore.tables import table

    column = "FPARAM" if new.kind == "K Jones" else "CPARAM"
    n_intervals, n_antennas = new.values.shape[:2]
    with table(str(path), _description(column), nrow=n_intervals * n_antennas, ack=False) as rows:
        rows.putkeywords(
            {
                "ParType": "Float" if column == "FPARAM" else "Complex",
                "MSName": ms.name,
                "VisCal": new.kind,
                "PolBasis": "unknown",
                # Without it, to CASA a delay has no phase at the lower edge of the band, as before 5.3.
                "CASA_Version": _FORMAT,
            }
        )
        rows.putinfo({"type": "Calibration", "subType": new.kind, "readme": ""})
        rows.putcol("TIME", np.repeat(new.times_s, n_antennas))
        rows.putcol("INTERVAL", np.repeat(new.lengths_s, n_antennas))
        rows.putcol("ANTENNA1", np.tile(np.arange(n_antennas, dtype=np.int32), n_intervals))
        rows.putcol("ANTENNA2", np.full(n_intervals * n_antennas, new.reference, np.int32))
        with table(str(ms), ack=False) as main:
            scan = int(main.getcell("SCAN_NUMBER", 0))
        for name, value in (
            ("FIELD_ID", 0),
            ("SPECTRAL_WINDOW_ID", 0),
            ("OBSERVATION_ID", 0),
            ("SCAN_NUMBER", scan),
        ):
            rows.putcol(name, np.full(n_intervals * n_antennas, value, np.int32))
        kind = np.float32 if column == "FPARAM" else np.complex64
        _put(rows, column, np.where(new.flags, new.kind != "K Jones", new.values).astype(kind))
        _put(rows, "PARAMERR", new.errors.astype(np.float32))
        _put(rows, "SNR", new.snr.astype(np.float32))
        _put(rows, "FLAG", new.flags)
        for name in _SUBTABLES:
            _copy(ms, rows, path, name, with_rows=True)
        _copy(ms, rows, path, "HISTORY", with_rows=False)
    if new.values.shape[2] == 1:
        _one_channel(path)


def _put(rows: Any, column: str, values: NDArray[Any]) -> None:
    rows.putcol(column, values.reshape(-1, *values.shape[2:]))


def _description(column: str) -> dict[str, Any]:
    """Columns of a calibration table."""
    from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc

    integers = ("FIELD_ID", "SPECTRAL_WINDOW_ID", "ANTENNA1", "ANTENNA2", "SCAN_NUMBER", "OBSERVATION_ID")
    solutions = (
        (column, 0.0 if column == "FPARAM" else 0j, "float" if column == "FPARAM" else "complex"),
        ("PARAMERR", 0.0, "float"),
        ("FLAG", False, "boolean"),
        ("SNR", 0.0, "float"),
        ("WEIGHT", 0.0, "float"),
    )
    return maketabdesc(
        [
            makescacoldesc("TIME", 0.0, keywords=_UTC),
            makescacoldesc("INTERVAL", 0.0, keywords=_SECONDS),
            *(makescacoldesc(name, 0, valuetype="int") for name in integers),
            *(makearrcoldesc(name, value, ndim=-1, valuetype=kind) for name, value, kind in solutions),
        ]
    )


def _copy(ms: Path, rows: Any, path: Path, name: str, *, with_rows: bool) -> None:
    """Copy a subtable of the Measurement Set."""
    from casacore.tables import table

    with table(f"{ms}::{name}", ack=False) as source:
        source.copy(str(path / name), deep=True, copynorows=not with_rows).close()
    rows.putkeyword(name, f"Table: {path / name}")


def _one_channel(path: Path) -> None:
    """Make one channel of the spectral window, in the middle of the band."""
    from casacore.tables import table

    with table(f"{path}::SPECTRAL_WINDOW", readonly=False, ack=False) as window:
        middle_hz = float(window.getcell("CHAN_FREQ", 0).mean())
        width_hz = float(np.abs(window.getcell("CHAN_WIDTH", 0)).sum())
        window.putcell("CHAN_FREQ", 0, np.array([middle_hz]))
        for column in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            window.putcell(column, 0, np.array([width_hz]))
        window.putcell("NUM_CHAN", 0, 1)
