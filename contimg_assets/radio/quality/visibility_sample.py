"""A sample of a group's calibrated visibilities, for pictures: what no table of flags or image shows.

Belongs here: choosing and averaging.  Does not belong here: drawing, or numbers that are judged: those are
taken from all data, where these are read anyway.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.corrections import Corrections, open_corrections
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.telescope import visibility_sigma_jy

#: The sample: so many runs of neighbouring rows of every integration, spread over the baselines.
#: Neighbours lie in one tile of the table, which is read whole.
_RUNS, _ROWS = 8, 40
#: Channels are averaged to at most these.
_CHANNELS = 96


@dataclass(frozen=True)
class VisibilitySample:
    """Visibilities of some baselines, averaged over neighbouring channels, and the uvw of all."""

    values: NDArray[np.complex64]
    """[integration, baseline, channel, feed], Jy; NaN where all is flagged."""
    column: str
    """Where they are from."""
    uv_m: NDArray[np.float64]
    """Of the sample: [integration, baseline]."""
    seconds: NDArray[np.float64]
    """Centres of integrations since the first began."""
    frequencies_hz: NDArray[np.float64]
    """Of averaged channels."""
    noise_jy: float
    """Expected in the real part of a value of which nothing is flagged."""
    n_baselines: int
    """In the data, without autocorrelations."""
    uvw_m: NDArray[np.float64]
    """u and v of all baselines: [integration, baseline, 2]."""

    @property
    def n_sampled(self) -> int:
        """Baselines of the sample."""
        return self.values.shape[1]


def sample_visibilities(ms: Path, calibration: Calibration | None = None) -> VisibilitySample:
    """Read a sample of a Measurement Set: its calibrated data, or else its data.

    Parameters
    ----------
    ms : Path
    calibration : Calibration, optional
        Flags and tables to apply to its data on the way.

    Raises
    ------
    ConversionError
        If its rows are not integrations of the same baselines.
    MissingInputError
        If a table or the flags are not there.
    """
    shape = read_shape(ms)
    with nullcontext() if calibration is None else open_corrections(shape, calibration) as corrections:
        return _sample(shape, corrections)


def _sample(shape: GroupShape, corrections: Corrections | None) -> VisibilitySample:
    from casacore.tables import table

    runs = _runs(shape)
    step = max(1, -(-shape.n_channels // _CHANNELS))
    n_channels = shape.n_channels // step
    chosen = np.concatenate([np.arange(a, b) for a, b in runs])
    cross = shape.cross[chosen]
    out = np.empty((shape.n_times, int(cross.sum()), n_channels, shape.n_polarisations), np.complex64)
    jones = None if corrections is None else corrections.jones.of_baselines(chosen)
    with table(str(shape.path), ack=False) as main:
        written = "CORRECTED_DATA" in main.colnames()
        column = "CORRECTED_DATA" if written and corrections is None else "DATA"

        def some(name: str, t: int) -> NDArray[Any]:
            return np.concatenate([main.getcol(name, t * shape.n_baselines + a, b - a) for a, b in runs])

        for t in range(shape.n_times):
            data = some(column, t)
            if corrections is None or jones is None:
                flags = some("FLAG", t)
            else:
                data, flags = jones.apply(t, data, corrections.flags_of(t)[chosen])
            out[t] = _averaged(data[cross], flags[cross], step, n_channels)
        uvw = main.getcol("UVW").reshape(shape.n_times, shape.n_baselines, 3)
    averaged = shape.frequencies_hz[: n_channels * step].reshape(n_channels, step).mean(axis=1)
    return VisibilitySample(
        out,
        column if corrections is None else "CORRECTED_DATA",
        np.hypot(uvw[:, chosen[cross], 0], uvw[:, chosen[cross], 1]),
        (shape.times_jd - shape.times_jd[0]) * 86400.0 + shape.integration_s / 2,
        averaged,
        visibility_sigma_jy(shape.channel_width_hz * step, shape.integration_s),
        int(shape.cross.sum()),
        uvw[:, shape.cross, :2],
    )


def _runs(shape: GroupShape) -> list[tuple[int, int]]:
    """First and last rows of an integration's runs; all rows, if there are few."""
    if shape.n_baselines <= _RUNS * _ROWS:
        return [(0, shape.n_baselines)]
    starts = np.linspace(0, shape.n_baselines - _ROWS, _RUNS).astype(int)
    return [(int(start), int(start) + _ROWS) for start in starts]


@numba.njit(cache=True, nogil=True)
def _averaged(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], step: int, n_channels: int
) -> NDArray[np.complex64]:
    """Means of unflagged samples over ``step`` channels; NaN where there are none."""
    n_rows, _, n_pols = data.shape
    means = np.empty((n_rows, n_channels, n_pols), np.complex64)
    for row in range(n_rows):
        for k in range(n_channels):
            for p in range(n_pols):
                total, n = np.complex64(0), 0
                for c in range(k * step, (k + 1) * step):
                    value = data[row, c, p]
                    if not flags[row, c, p] and np.isfinite(value.real) and np.isfinite(value.imag):
                        total += value
                        n += 1
                means[row, k, p] = total / np.float32(n) if n else np.nan
    return means
