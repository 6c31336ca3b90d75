"""Stokes I visibilities of a group, averaged as far as the field allows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.measurement_set import GroupShape

#: Loss of peak by channel averaging at the beam's half-power radius, on the
#: array's root-mean-square baseline, that is accepted.
MAX_SMEARING_LOSS = 0.005


@dataclass(frozen=True)
class StokesI:
    """Cross-correlations ready for gridding; rows = integrations × baselines."""

    uvw_m: NDArray[np.float64]
    """Shape (n_rows, 3)."""
    frequencies_hz: NDArray[np.float64]
    """Centres of the averaged channels, shape (n_channels,)."""
    values: NDArray[np.complex64]
    """(XX + YY) / 2, or the one that is left, shape (n_rows, n_channels)."""
    counts: NDArray[np.float32]
    """Samples (polarisation × channel) in each; zero where all are flagged."""
    n_times: int


def channels_to_average(shape: GroupShape, half_power_rad: float) -> int:
    """Channels that may become one within :data:`MAX_SMEARING_LOSS`.

    A channel of width Δν attenuates a source at θ on a baseline b by
    ``sinc(π b θ Δν / c)``, of which the first term of the loss is x²/6.
    """
    positions = shape.antenna_positions[shape.antennas]
    squared = np.mean(np.sum((positions[:, None] - positions[None]) ** 2, axis=-1))
    x = np.pi * np.sqrt(squared) * half_power_rad * shape.channel_width_hz / SPEED_OF_LIGHT
    most = np.sqrt(6.0 * MAX_SMEARING_LOSS) / x
    factor = 1
    while factor * 2 <= most and shape.n_channels % (factor * 2) == 0:
        factor *= 2
    return factor


def read_stokes_i(shape: GroupShape, column: str, factor: int) -> StokesI:
    """Read a group integration by integration, averaging channels.

    Parameters
    ----------
    shape : GroupShape
    column : {"DATA", "CORRECTED_DATA"}
    factor : int
        Channels to average into one.

    Returns
    -------
    StokesI

    Raises
    ------
    ImagingError
        If everything is flagged.
    """
    from casacore.tables import table

    cross = shape.cross
    n_cross = int(cross.sum())
    n_channels = shape.n_channels // factor
    values = np.zeros((shape.n_times * n_cross, n_channels), np.complex64)
    counts = np.zeros(values.shape, np.float32)
    # The first and the last are XX and YY with two polarisations and with four.
    hands = [0, shape.n_polarisations - 1]
    with table(str(shape.path), ack=False) as main:
        for t in range(shape.n_times):
            start = t * shape.n_baselines
            good = ~main.getcol("FLAG", start, shape.n_baselines)[cross][:, :, hands]
            data = main.getcol(column, start, shape.n_baselines)[cross][:, :, hands]
            data = np.where(good, data, 0)
            number = good.reshape(n_cross, n_channels, -1).sum(axis=-1, dtype=np.float32)
            total = data.reshape(n_cross, n_channels, -1).sum(axis=-1)
            rows = slice(t * n_cross, (t + 1) * n_cross)
            counts[rows] = number
            values[rows] = total / np.maximum(number, 1.0)
    if not counts.any():
        raise ImagingError(f"{shape.path}: every visibility is flagged; there is nothing to image")
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    baselines = (positions[shape.antenna_2] - positions[shape.antenna_1])[cross]
    uvw = np.einsum("tij,bj->tbi", shape.axes(), baselines).reshape(-1, 3)
    frequencies = shape.frequencies_hz.reshape(n_channels, factor).mean(axis=1)
    return StokesI(uvw, frequencies, values, counts, shape.n_times)
