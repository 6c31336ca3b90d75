"""Gains in time, one for the band: read from a CASA table, interpolated, divided out.

Belongs here: gains that self-calibration solves for.  Does not belong here: a
calibrator's tables (``apply.py``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.phasing import JD_OF_MJD_0

_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Gains:
    """Gain of every antenna at every integration."""

    values: NDArray[np.complex128]
    """Shape (n_times, n_antennas_telescope, 2): XX and YY; 1 where there is no solution."""
    failed: float
    """Part of the solutions of antennas with data that are flagged."""

    def times(self, other: "Gains") -> "Gains":
        """Both, one after the other."""
        return Gains(self.values * other.values, max(self.failed, other.failed))

    def by_baseline(self, shape: GroupShape) -> NDArray[np.complex64]:
        """``g₁ g₂*`` of the cross-correlations, shape (n_times, n_cross, 2): CASA's convention."""
        one, two = shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]
        return (self.values[:, one] * np.conj(self.values[:, two])).astype(np.complex64)

    def divide_out(self, source: GroupShape, target: GroupShape) -> None:
        """Write the source's CORRECTED_DATA, with the gains divided out, into the target's.

        The target is a clone that is being built.
        """
        from casacore.tables import table

        gains = np.ones((source.n_times, source.n_baselines, 2), np.complex64)
        gains[:, source.cross] = self.by_baseline(source)
        n_rows, hands = source.n_baselines, (0, source.n_polarisations - 1)
        with (
            table(str(source.path), ack=False) as before,
            table(str(target.path), readonly=False, ack=False) as after,
        ):
            for t in range(source.n_times):
                data = before.getcol("CORRECTED_DATA", t * n_rows, n_rows)
                for hand in range(source.n_polarisations):
                    # With four, the cross-hands have a gain of each kind; nothing images them.
                    if hand in hands:
                        data[:, :, hand] /= gains[t, :, None, 0 if hand == 0 else 1]
                after.putcol("CORRECTED_DATA", data, t * n_rows, n_rows)


def no_gains(shape: GroupShape) -> Gains:
    """Gains that change nothing."""
    return Gains(np.ones((shape.n_times, len(shape.antenna_names), 2), np.complex128), 0.0)


def read_gains(path: Path, shape: GroupShape) -> Gains:
    """Read a G table and interpolate it to the integrations of a group.

    Amplitude and phase go linearly from one good solution to the next and are
    held beyond the first and the last.  An antenna without any keeps a gain of
    one: its calibrator's calibration stands.

    Parameters
    ----------
    path : Path
        CASA's table: one channel, XX and YY.
    shape : GroupShape
    """
    from casacore.tables import table

    with table(str(path), ack=False) as rows:
        antennas, times = rows.getcol("ANTENNA1"), rows.getcol("TIME") / _SECONDS_PER_DAY
        solved, flags = rows.getcol("CPARAM")[:, 0], rows.getcol("FLAG")[:, 0]
    wanted = shape.times_jd - JD_OF_MJD_0
    values = np.ones((shape.n_times, len(shape.antenna_names), 2), np.complex128)
    ours = np.isin(antennas, shape.antennas)
    for antenna in shape.antennas:
        for hand in range(2):
            good = (antennas == antenna) & ~flags[:, hand]
            if not good.any():
                continue
            order = np.argsort(times[good])
            at, gain = times[good][order], solved[good, hand][order]
            phase = np.interp(wanted, at, np.unwrap(np.angle(gain)))
            values[:, antenna, hand] = np.interp(wanted, at, np.abs(gain)) * np.exp(1j * phase)
    return Gains(values, float(flags[ours].mean()) if ours.any() else 1.0)
