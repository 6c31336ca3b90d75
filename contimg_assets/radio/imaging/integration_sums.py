"""What an image needs of one integration, collected in one pass over its data, compiled.

Calibration, the mean over channels and the differences of channels each look at every sample: made one after
the other, memory would be read and written four times.

Belongs here: the pass.  Does not belong here: how far channels are averaged (``visibilities.py``), or what
differences tell (``system_noise.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.jones import Jones
from contimg_assets.radio.imaging.system_noise import ChannelDifferences
from contimg_assets.radio.measurement_set import GroupShape


def slots(shape: GroupShape, factors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Averaged channels of each baseline, shape (n_cross,)."""
    return np.where(factors > 0, shape.n_channels // np.maximum(factors, 1), 0)


@numba.njit(cache=True, parallel=True, nogil=True)
def _collect(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    inverse: NDArray[np.complex64],
    antenna_1: NDArray[np.int32],
    antenna_2: NDArray[np.int32],
    model: NDArray[np.complex64],
    rows: NDArray[np.int64],
    factors: NDArray[np.int64],
    starts: NDArray[np.int64],
    values: NDArray[np.complex64],
    counts: NDArray[np.float32],
    squares: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> None:
    """Fill means and counts of one integration, and add to the squares of channel differences.

    ``inverse`` is one over the gain of each antenna (zero: none is known), shape (n_antennas, n_channels, 2).
    """
    # The first and the last are XX and YY with two polarisations and with four.
    last, less = data.shape[2] - 1, len(model) > 0
    for b in numba.prange(len(rows)):
        row, factor = rows[b], factors[b]
        one, two = inverse[antenna_1[row]], inverse[antenna_2[row]]
        slot, end, total, number = starts[b], factor, 0j, 0
        whole_before, before = False, np.complex64(0)
        for f in range(data.shape[1]):
            of_x = one[f, 0] * np.conj(two[f, 0])
            x, is_whole = np.complex64(0), not flags[row, f, 0] and of_x != 0
            if is_whole:
                x = data[row, f, 0] * of_x
                if less:
                    x -= model[row, f]
                total += x
                number += 1
            difference = x
            if last > 0:
                of_y = one[f, 1] * np.conj(two[f, 1])
                y, is_used = np.complex64(0), not flags[row, f, last] and of_y != 0
                if is_used:
                    y = data[row, f, last] * of_y
                    if less:
                        y -= model[row, f]
                    total += y
                    number += 1
                is_whole, difference = is_whole and is_used, x - y
            if f % 2 == 1 and whole_before and is_whole:
                step = before - difference
                squares[b] += step.real * step.real + step.imag * step.imag
                pairs[b] += 1
            whole_before, before = is_whole, difference
            if f + 1 == end:
                counts[slot] = number
                values[slot] = total / max(number, 1)
                slot, end, total, number = slot + 1, end + factor, 0j, 0


@dataclass(frozen=True)
class IntegrationSums:
    """What is collected of the cross-correlations of a group."""

    shape: GroupShape
    rows: NDArray[np.int64]
    """Of the cross-correlations, within an integration."""
    factors: NDArray[np.int64]
    """Channels of each to average into one; 0: left out."""
    starts: NDArray[np.int64]
    """First slot of each, and the end."""
    jones: Jones | None
    """To apply on the way."""
    values: NDArray[np.complex64]
    """Means, shape (n_times, n_slots)."""
    counts: NDArray[np.float32]
    """Samples in each."""
    differences: ChannelDifferences

    @classmethod
    def of(
        cls, shape: GroupShape, factors: NDArray[np.int64], jones: Jones | None = None
    ) -> "IntegrationSums":
        """Nothing yet; ``factors`` of shape (n_cross,)."""
        starts = np.concatenate([[0], np.cumsum(slots(shape, factors))])
        rows = np.flatnonzero(shape.cross)
        values = np.zeros((shape.n_times, int(starts[-1])), np.complex64)
        counts = np.zeros(values.shape, np.float32)
        return cls(shape, rows, factors, starts, jones, values, counts, ChannelDifferences.of(len(rows)))

    def add(
        self,
        integration: int,
        data: NDArray[np.complex64],
        flags: NDArray[np.bool_],
        model: NDArray[np.complex64] | None = None,
    ) -> None:
        """Collect an integration.

        Parameters
        ----------
        integration : int
        data, flags : ndarray, shape (n_baselines, n_channels, n_polarisations)
            Not calibrated, if there are solutions to apply.
        model : ndarray, complex64, shape (n_baselines, n_channels), optional
            To take from XX and from YY, once they are calibrated.
        """
        shape = self.shape
        if self.jones is None:
            inverse = np.ones((len(shape.antenna_names), shape.n_channels, 2), np.complex64)
        else:
            inverse = self.jones.inverse[self.jones.solution[integration]]
        _collect(
            data,
            flags,
            inverse,
            shape.antenna_1,
            shape.antenna_2,
            np.empty((0, 0), np.complex64) if model is None else model,
            self.rows,
            self.factors,
            self.starts,
            self.values[integration],
            self.counts[integration],
            self.differences.squares,
            self.differences.pairs,
        )
