"""Calibration tables as factors, and their application to visibilities, compiled.

What CASA's applycal does with ``interp=["nearest", "nearest,linear",
"nearest"]``, ``calwt=False``, ``applymode="calflag"``: of each table the
solution nearest in time; a bandpass interpolated in amplitude and phase over
its flagged channels, and held constant past its last ones; data without a
solution flagged.  But only so far as the bandpass is known there: applycal goes
on over any number of channels, and so makes a bandpass of a single one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.errors import CalibrationError, MissingInputError
from contimg_assets.radio.measurement_set import GroupShape

#: Receptors of either antenna in each product, by number of polarisations.
_HANDS = {2: ((0, 0), (1, 1)), 4: ((0, 0), (0, 1), (1, 0), (1, 1))}

#: A bandpass is known this near to a channel that was solved (or in the next channel, if those are wider):
#: ripples of 3 % in 20 MHz bend by less than 1 % over it.
_REACH_HZ = 2.0e6


@dataclass(frozen=True)
class Jones:
    """Everything that a calibration set does to one group."""

    inverse: NDArray[np.complex64]
    """1 / gain of each antenna, zero where it has no solution; shape
    (n_solutions, n_antennas_telescope, n_channels, 2 receptors)."""
    solution: NDArray[np.int64]
    """Which of them belongs to each integration, shape (n_times,)."""
    antenna_1: NDArray[np.int32]
    antenna_2: NDArray[np.int32]
    hands: NDArray[np.int64]
    """Receptors of antenna 1 and 2 in each product, shape (n_polarisations, 2)."""

    def apply(
        self, integration: int, data: NDArray[np.complex64], flags: NDArray[np.bool_]
    ) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
        """Calibrate one integration.

        Parameters
        ----------
        integration : int
        data, flags : ndarray, shape (n_baselines, n_channels, n_polarisations)
            All baselines of the group, in its order.

        Returns
        -------
        corrected, flags : ndarray
            New arrays: flagged, and zero, where an antenna has no solution.
        """
        corrected, out_flags = np.empty_like(data), np.empty_like(flags)
        factors = self.inverse[self.solution[integration]]
        _apply(data, flags, factors, self.antenna_1, self.antenna_2, self.hands, corrected, out_flags)
        return corrected, out_flags

    def of_baselines(self, rows: NDArray[np.int64]) -> "Jones":
        """The same for some of the baselines, in the order of ``rows``."""
        return replace(self, antenna_1=self.antenna_1[rows], antenna_2=self.antenna_2[rows])

    @property
    def unsolved(self) -> NDArray[np.bool_]:
        """Antennas without any solution, shape (n_antennas_telescope,)."""
        return np.logical_not(self.inverse.any(axis=(0, 2, 3)))


@numba.njit(parallel=True, cache=True, nogil=True)
def _apply(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    inverse: NDArray[np.complex64],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    hands: NDArray[np.int64],
    corrected: NDArray[np.complex64],
    out_flags: NDArray[np.bool_],
) -> None:
    n_baselines, n_channels, n_polarisations = data.shape
    for b in numba.prange(n_baselines):
        one, two = inverse[antenna_1[b]], inverse[antenna_2[b]]
        for f in range(n_channels):
            for p in range(n_polarisations):
                factor = one[f, hands[p, 0]] * np.conj(two[f, hands[p, 1]])
                unsolved = factor == 0
                out_flags[b, f, p] = flags[b, f, p] or unsolved
                # Not a product: the data may be infinite where they are flagged.
                corrected[b, f, p] = 0 if unsolved else data[b, f, p] * factor


def read_jones(tables: Sequence[Path], shape: GroupShape) -> Jones:
    """Read the tables of a set for one group.

    Parameters
    ----------
    tables : sequence of Path
        CASA tables of types K (delays), B (bandpass) and G (gains), in any order.
    shape : GroupShape
        The group that they are to be applied to.

    Raises
    ------
    MissingInputError
        If a table is not there.
    CalibrationError
        If a table is empty or of another type.
    """
    loaded = [_read(path, shape.frequencies_hz) for path in tables]
    times_s = (shape.times_jd - phasing.JD_OF_MJD_0) * 86400.0
    n_antennas = len(shape.antenna_names)
    known: dict[bytes, int] = {}
    factors: list[NDArray[np.complex64]] = []
    solution = np.empty(len(times_s), np.int64)
    for t, time_s in enumerate(times_s):
        rows = [_nearest(table, time_s, n_antennas) for table in loaded]
        key = np.concatenate(rows).tobytes()
        if key not in known:
            known[key] = len(factors)
            gain = np.ones((n_antennas, shape.n_channels, 2), np.complex128)
            for table, row in zip(loaded, rows, strict=True):
                gain *= np.where((row >= 0)[:, None, None], table.gains[row], 0)
            good = gain != 0
            factors.append(np.divide(1, gain, where=good, out=np.zeros_like(gain)).astype(np.complex64))
        solution[t] = known[key]
    hands = np.array(_HANDS[shape.n_polarisations])
    return Jones(np.array(factors), solution, shape.antenna_1, shape.antenna_2, hands)


def delay_factors(delays_ns: NDArray[np.float32], offsets_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Gains of delays.

    Parameters
    ----------
    delays_ns : ndarray, shape (n_antennas, 2)
        As in a table of type K Jones.
    offsets_hz : ndarray, shape (n_channels,)
        Frequencies from that without a phase.

    Returns
    -------
    ndarray, complex128, shape (n_antennas, n_channels, 2)
    """
    turns = 1e-9 * delays_ns.astype(np.float64)[:, None] * offsets_hz[:, None]
    return np.exp(2j * np.pi * turns)


@dataclass(frozen=True)
class _Table:
    """Rows of one table, as gains at the group's channels."""

    antennas: NDArray[np.int32]
    times_s: NDArray[np.float64]
    gains: NDArray[np.complex128]
    """Zero where flagged; shape (n_rows, n_channels, 2), or (n_rows, 1, 2)."""


def _nearest(table: _Table, time_s: float, n_antennas: int) -> NDArray[np.int64]:
    """Row nearest in time for each antenna, flagged or not; −1 without any."""
    out = np.full(n_antennas, -1, np.int64)
    # The last one written stays: the nearest.
    order = np.argsort(-np.abs(table.times_s - time_s), kind="stable")
    out[table.antennas[order]] = order
    return out


def _read(path: Path, frequencies_hz: NDArray[np.float64]) -> _Table:
    from casacore.tables import table

    if not (path / "table.dat").exists():
        raise MissingInputError(f"{path}: found no calibration table; expected those of the set")
    with table(str(path), ack=False) as rows:
        kind = str(rows.getkeyword("VisCal")) if "VisCal" in rows.keywordnames() else "nothing"
        if kind not in ("K Jones", "B Jones", "G Jones"):
            raise CalibrationError(f"{path}: found a table of {kind}; expected K, B or G Jones")
        if rows.nrows() == 0:
            raise CalibrationError(f"{path}: found no solutions; expected one for each antenna")
        antennas, times_s, flags = (rows.getcol(name) for name in ("ANTENNA1", "TIME", "FLAG"))
        values = rows.getcol("FPARAM" if kind == "K Jones" else "CPARAM")
    with table(f"{path}::SPECTRAL_WINDOW", ack=False) as window:
        channels_hz = window.getcell("CHAN_FREQ", 0)
    if kind == "K Jones":
        # No phase at the middle of the band that was solved, the table's one channel.
        gains = np.where(flags, 0, delay_factors(values[:, 0], frequencies_hz - channels_hz))
    elif kind == "B Jones":
        gains = _interpolate(values, flags, channels_hz, frequencies_hz)
    else:
        gains = np.where(flags, 0, values).astype(np.complex128)
    return _Table(antennas, times_s, gains)


def _interpolate(
    values: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    channels_hz: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
) -> NDArray[np.complex128]:
    """Bandpass at frequencies: amplitude and phase, linear between unflagged channels, zero far off."""
    out = np.zeros((len(values), len(frequencies_hz), values.shape[2]), np.complex128)
    same = np.array_equal(channels_hz, frequencies_hz)
    reach = max(_REACH_HZ, 1.5 * float(np.median(np.diff(channels_hz))))
    for row, receptor in np.ndindex(len(values), values.shape[2]):
        good = ~flags[row, :, receptor]
        known = values[row, good, receptor].astype(np.complex128)
        if same and good.all():
            out[row, :, receptor] = known
        elif good.any():
            amplitude = np.interp(frequencies_hz, channels_hz[good], np.abs(known))
            phase = np.interp(frequencies_hz, channels_hz[good], np.unwrap(np.angle(known)))
            after = np.searchsorted(channels_hz[good], frequencies_hz)
            beside = channels_hz[good][np.clip([after - 1, after], 0, len(known) - 1)]
            near = np.abs(beside - frequencies_hz).min(axis=0) <= reach
            out[row, :, receptor] = np.where(near, amplitude * np.exp(1j * phase), 0)
    return out
