"""CASA calibration tables as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import CalibrationError


@dataclass(frozen=True)
class Solutions:
    """One solution interval; arrays of shape (n_antennas, n_channels, n_polarisations)."""

    values: NDArray[np.complex64] | NDArray[np.float32]
    """Complex gains, or delays in ns for a K table."""
    flags: NDArray[np.bool_]
    snr: NDArray[np.float32]


def read_table(path: Path) -> Solutions:
    """Read the first solution of every antenna.

    Raises
    ------
    CalibrationError
        If the table has no rows.
    """
    from casacore.tables import table

    with table(str(path), ack=False) as rows:
        if rows.nrows() == 0:
            raise CalibrationError(f"{path}: found no solutions; expected one for each antenna")
        antennas = rows.getcol("ANTENNA1")
        column = "CPARAM" if "CPARAM" in rows.colnames() else "FPARAM"
        values, flags, snr = rows.getcol(column), rows.getcol("FLAG"), rows.getcol("SNR")
    _, first = np.unique(antennas, return_index=True)
    shape = (int(antennas.max()) + 1, *values.shape[1:])
    out = Solutions(np.zeros(shape, values.dtype), np.ones(shape, bool), np.zeros(shape, np.float32))
    out.values[antennas[first]] = values[first]
    out.flags[antennas[first]] = flags[first]
    out.snr[antennas[first]] = snr[first]
    return out
