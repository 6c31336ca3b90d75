"""Stokes I visibilities of a group, averaged as far as the field allows.

Every baseline has its own number of channels to average: most of ours are far
shorter than the longest, and what smears a long one away leaves a short one whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing
from contimg_assets.radio.corrections.corrections import Corrections
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.imaging.integration_sums import IntegrationSums, slots
from contimg_assets.radio.imaging.system_noise import SystemNoise
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.model_visibilities import SkyModel
from contimg_assets.radio.prefetch import prefetch
from contimg_assets.radio.sky import Source

#: Loss of any visibility of a source at the beam's half-power radius, by averaging
#: channels, that is accepted.  Most baselines, and so the image's peak, lose far less.
MAX_SMEARING_LOSS = 0.01


@dataclass(frozen=True)
class StokesI:
    """Cross-correlations ready for gridding.

    An integration has ``n_slots`` of them, the same baselines and averaged
    channels in each; all integrations follow one another.
    """

    uvw: NDArray[np.float64]
    """Wavelengths, shape (n_times × n_slots, 3)."""
    frequencies_hz: NDArray[np.float64]
    """Of each slot, shape (n_slots,)."""
    values: NDArray[np.complex64]
    """(XX + YY) / 2, or the one that is left, Jy, shape (n_times × n_slots,)."""
    counts: NDArray[np.float32]
    """Samples (polarisation × channel) in each; zero where all are flagged."""
    n_times: int
    flag_fraction: float = 0.0
    """Part of the samples that is flagged, of the baselines that are used."""
    noise: SystemNoise | None = None
    """Of the antennas; None: nominal."""
    variance: NDArray[np.float32] | None = None
    """Of one sample over the nominal, shape (n_slots,); None: nominal."""

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency of a slot."""
        return float(self.frequencies_hz.min()), float(self.frequencies_hz.max())


def channels_to_average(
    shape: GroupShape,
    half_power_rad: float,
    max_loss: float = MAX_SMEARING_LOSS,
    uv_range: tuple[float, float] = (0.0, np.inf),
) -> NDArray[np.int64]:
    """Channels of each baseline that may become one.

    A channel of width Δν attenuates a source at θ on a baseline b by
    ``sinc(π b θ Δν / c)``, of which the first term of the loss is x²/6.

    Parameters
    ----------
    shape : GroupShape
    half_power_rad : float
        Radius at which the loss is reckoned, rad.
    max_loss : float
    uv_range : (float, float)
        Shortest and longest projected baseline that the image uses, wavelengths.

    Returns
    -------
    ndarray of int, shape (n_cross,)
        Divisors of the number of channels, at least 1; 0 for baselines that are never within
        the uv range, which are not read.
    """
    divisors = np.array([n for n in range(1, shape.n_channels + 1) if shape.n_channels % n == 0])
    baselines = baselines_m(shape)
    x = (
        np.pi
        * np.maximum(np.linalg.norm(baselines, axis=1), 1.0)
        * half_power_rad
        * shape.channel_width_hz
        / SPEED_OF_LIGHT
    )
    most = np.sqrt(6.0 * max_loss) / x
    # Past a sixteenth of the band a channel's own spread in (u, v) would matter.
    most = np.minimum(most, max(1, shape.n_channels // 16))
    factors = divisors[np.maximum(np.searchsorted(divisors, most, side="right") - 1, 0)]
    projected = np.linalg.norm(np.einsum("bi,tji->tbj", baselines, shape.axes()[:, :2]), axis=2)
    shortest = projected.min(axis=0) * shape.frequencies_hz.min() / SPEED_OF_LIGHT
    longest = projected.max(axis=0) * shape.frequencies_hz.max() / SPEED_OF_LIGHT
    return np.where((longest >= uv_range[0]) & (shortest <= uv_range[1]), factors, 0)


def baselines_m(shape: GroupShape) -> NDArray[np.float64]:
    """Position of antenna 2 less that of antenna 1, meridian frame, m, shape (n_cross, 3)."""
    positions, cross = phasing.to_meridian_frame(shape.antenna_positions), shape.cross
    return positions[shape.antenna_2[cross]] - positions[shape.antenna_1[cross]]


def read_stokes_i(
    shape: GroupShape,
    column: str,
    factors: NDArray[np.int64],
    corrections: Corrections | None = None,
    less: Sequence[Source] = (),
) -> StokesI:
    """Read a group integration by integration, averaging channels.

    Parameters
    ----------
    shape : GroupShape
    column : {"DATA", "CORRECTED_DATA"}
    factors : ndarray of int, shape (n_cross,)
        Channels of each baseline to average into one; 0: left out.
    corrections : Corrections, optional
        Flags and gains to apply on the way; the flags are then these, not the column's.
    less : sequence of Source
        Sources to take away, in every integration and channel as they appear there: through the
        beam as they drift, and with their spectra.  An image has one flux density of a source for
        all of these, and what that leaves of the brightest are sidelobes at 0.4 % of it.

    Returns
    -------
    StokesI

    Raises
    ------
    ImagingError
        If everything is flagged.
    """
    from casacore.tables import table

    sums = IntegrationSums.of(shape, factors, None if corrections is None else corrections.jones)
    one = shape.data_shape[1:]
    buffers = [(np.empty(one, np.complex64), np.empty(one, np.bool_)) for _ in range(2)]
    model = SkyModel.of(shape, less) if less else None
    with table(str(shape.path), ack=False) as main:

        def integration(t: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
            data, flags = buffers[t % 2]
            main.getcolnp(column, data, t * shape.n_baselines, shape.n_baselines)
            if corrections is not None:
                return data, corrections.flags_of(t)
            main.getcolnp("FLAG", flags, t * shape.n_baselines, shape.n_baselines)
            return data, flags

        for t, (data, flags) in enumerate(prefetch(shape.n_times, integration)):
            sums.add(t, data, flags, None if model is None else model.integration(t))
    samples = float(sums.counts.sum(dtype=np.float64))
    if samples == 0:
        raise ImagingError(f"{shape.path}: every visibility is flagged; there is nothing to image")
    n_samples = shape.n_times * np.count_nonzero(factors) * shape.n_channels * min(2, shape.n_polarisations)
    noise = sums.differences.system_noise(shape)
    variance = noise.variance(shape.antenna_1[shape.cross], shape.antenna_2[shape.cross])
    return StokesI(
        *_layout(shape, factors),
        sums.values.reshape(-1),
        sums.counts.reshape(-1),
        shape.n_times,
        1.0 - samples / n_samples,
        noise,
        np.repeat(variance, slots(shape, factors)).astype(np.float32),
    )


def unflagged(shape: GroupShape, factors: NDArray[np.int64]) -> StokesI:
    """Visibilities of a group before it is read: zeros, nothing flagged."""
    uvw, frequencies = _layout(shape, factors)
    samples = np.repeat(factors, slots(shape, factors)) * min(2, shape.n_polarisations)
    counts = np.tile(samples.astype(np.float32), shape.n_times)
    return StokesI(uvw, frequencies, np.zeros(len(counts), np.complex64), counts, shape.n_times)


@numba.njit(cache=True, parallel=True)
def _in_wavelengths(
    baselines: NDArray[np.float64],
    of_slot: NDArray[np.int64],
    per_metre: NDArray[np.float64],
    uvw: NDArray[np.float64],
) -> None:
    """uvw of each slot, from those of baselines, m, shape (n_times, n_baselines, 3)."""
    for t in numba.prange(len(uvw)):
        for slot in range(len(of_slot)):
            for k in range(3):
                uvw[t, slot, k] = baselines[t, of_slot[slot], k] * per_metre[slot]


def _layout(shape: GroupShape, factors: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """uvw of every averaged visibility, wavelengths, and the frequency of each slot, Hz."""
    baselines = baselines_m(shape)
    of_slot = np.repeat(np.arange(len(baselines)), slots(shape, factors))
    means = {k: shape.frequencies_hz.reshape(-1, k).mean(axis=1) for k in np.unique(factors[factors > 0])}
    frequencies = np.concatenate([means[k] for k in factors[factors > 0]])
    uvw = np.empty((shape.n_times, len(of_slot), 3))
    _in_wavelengths(baselines @ shape.axes().swapaxes(1, 2), of_slot, frequencies / SPEED_OF_LIGHT, uvw)
    return uvw.reshape(-1, 3), frequencies
