"""A calibrator scan, summed over time against its model: all that solutions constant in time can know.

For gains g that do not change within an interval, Σ|V − g M|² over its samples
is |g|² Σ|M|² − 2 Re(g* Σ V M*) + Σ|V|²: three sums for each baseline and
channel.  ⟨V⟩ = Σ V M* / Σ|M|² with a model of 1 and the weight Σ|M|² is the
same least-squares problem with 24 times fewer data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.flagging.flag_file import open_flags
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.model_visibilities import SkyModel
from contimg_assets.radio.prefetch import prefetch
from contimg_assets.radio.sky import Source


@dataclass(frozen=True)
class ScanSums:
    """Sums over the integrations of each interval; cross-correlations only.

    Arrays have the shape (n_intervals, n_cross, n_channels, n_polarisations).
    """

    intervals: list[NDArray[np.int64]]
    """Integrations of each interval."""
    product: NDArray[np.complex64]
    """Σ V M*."""
    model: NDArray[np.float32]
    """Σ|M|²."""
    power: NDArray[np.float64]
    """Σ|V|²."""
    count: NDArray[np.int16]
    """Unflagged samples."""
    by_time: NDArray[np.complex128]
    """Σ V M* over channels of a subband, shape (n_times, n_subbands, n_cross, n_polarisations)."""
    model_by_time: NDArray[np.float32]
    """Σ|M|² likewise."""

    @property
    def flagged(self) -> NDArray[np.float64]:
        """Flagged fraction of each baseline, shape (n_cross,)."""
        n_most = sum(len(i) for i in self.intervals)
        return np.asarray(1.0 - self.count.sum(axis=0, dtype=np.int64).mean(axis=(1, 2)) / n_most)


@numba.njit(parallel=True, cache=True, nogil=True)
def _add(
    data: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    model: NDArray[np.complex64],
    rows: NDArray[np.int64],
    product: NDArray[np.complex64],
    square: NDArray[np.float32],
    power: NDArray[np.float64],
    count: NDArray[np.int16],
    by_subband: NDArray[np.complex128],
    square_by_subband: NDArray[np.float32],
) -> None:
    n_channels, n_pols = data.shape[1], data.shape[2]
    per_subband = n_channels // by_subband.shape[0]
    for i in numba.prange(len(rows)):
        b = rows[i]
        for f in range(n_channels):
            m = model[b, f]
            m_square = m.real**2 + m.imag**2
            for p in range(n_pols):
                if flags[b, f, p]:
                    continue
                v = data[b, f, p]
                turned = v * m.conjugate()
                product[i, f, p] += turned
                square[i, f, p] += m_square
                power[i, f, p] += v.real**2 + v.imag**2
                count[i, f, p] += 1
                by_subband[f // per_subband, i, p] += turned
                square_by_subband[f // per_subband, i, p] += m_square


def sum_scan(shape: GroupShape, flags_folder: Path, sources: Sequence[Source], n_intervals: int) -> ScanSums:
    """Read a scan once, integration by integration, against the model of its sky.

    Parameters
    ----------
    shape : GroupShape
    flags_folder : Path
        The scan's flags.
    sources : sequence of Source
        The calibrator and what else is in the field.
    n_intervals : int
        Intervals of equal length, within which gains are constant.
    """
    from casacore.tables import table

    rows = np.flatnonzero(shape.cross)
    plane = (len(rows), shape.n_channels, shape.n_polarisations)
    intervals = np.array_split(np.arange(shape.n_times), n_intervals)
    sums = ScanSums(
        list(intervals),
        np.zeros((n_intervals, *plane), np.complex64),
        np.zeros((n_intervals, *plane), np.float32),
        np.zeros((n_intervals, *plane), np.float64),
        np.zeros((n_intervals, *plane), np.int16),
        np.zeros((shape.n_times, telescope.N_SUBBANDS, plane[0], plane[2]), np.complex128),
        np.zeros((shape.n_times, telescope.N_SUBBANDS, plane[0], plane[2]), np.float32),
    )
    interval_of = np.repeat(np.arange(n_intervals), [len(times) for times in intervals])
    model = SkyModel.of(shape, sources)
    buffers = [np.empty(shape.data_shape[1:], np.complex64) for _ in range(2)]
    with open_flags(flags_folder, shape.data_shape) as flags_of, table(str(shape.path), ack=False) as main:

        def integration(t: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
            main.getcolnp("DATA", buffers[t % 2], t * shape.n_baselines, shape.n_baselines)
            return buffers[t % 2], flags_of(t)

        for t, (data, flags) in enumerate(prefetch(shape.n_times, integration)):
            k = interval_of[t]
            _add(
                data,
                flags,
                model.integration(t),
                rows,
                sums.product[k],
                sums.model[k],
                sums.power[k],
                sums.count[k],
                sums.by_time[t],
                sums.model_by_time[t],
            )
    return sums
