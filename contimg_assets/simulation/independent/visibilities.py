"""What the correlator gives for a sky: sums over points of products of antennas' voltages.

Every point, moment within an integration and frequency within a channel is a *column*:
a voltage for each antenna.  Visibilities are the product of the matrix of columns with
its conjugate, so the average over moments and frequencies (Gauss–Legendre nodes) is part
of the sum, and smearing needs no formula.  Belongs here: that sum.
"""

from dataclasses import dataclass
from math import factorial

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent import geometry
from contimg_assets.simulation.independent.dishes import Dishes
from contimg_assets.simulation.independent.instrument import (
    CENTRE_HZ,
    EARTH_ROTATION_RAD_S,
    INTEGRATION_S,
    LIGHT_M_S,
    channel_width_hz,
)
from contimg_assets.simulation.independent.sky import Points, Source, fluxes
from contimg_assets.simulation.independent.threads import threads_for

#: Columns that are held at once: 75 MB with 96 antennas and 48 channels.
_CHUNK = 2048
#: More nodes than this are not tried.
_MOST_NODES = 12
#: Columns that a thread turns at once, and multiplies at once: they stay in its cache.
_BLOCK, _PRODUCT_BLOCK = 64, 256


def nodes_needed(half_turn_rad: float, relative_error: float) -> int:
    """Gauss–Legendre nodes for the mean of exp(ixt), −1 < t < 1, to an error.

    The error is at most ``x^2n 2^2n (n!)^4 / ((2n + 1) (2n)!^3)`` (Davis & Rabinowitz 1984, 2.7).

    Raises
    ------
    ValueError
        If twelve do not do.
    """
    for n in range(1, _MOST_NODES + 1):
        bound = (2.0 * half_turn_rad) ** (2 * n) * factorial(n) ** 4 / (2 * n + 1) / factorial(2 * n) ** 3
        if bound <= relative_error:
            return n
    raise ValueError(f"a source turns by {half_turn_rad:.0f} rad in half an integration or channel")


@dataclass(frozen=True)
class Columns:
    """Rows are a point at a moment; columns are a row at an offset of frequency."""

    directions: NDArray[np.float64]
    """Earth-fixed, shape (n_integrations, n_rows, 3)."""
    after_s: NDArray[np.float64]
    """Moment of each row after the middle of the integration, shape (n_rows,)."""
    row_weight: NDArray[np.float64]
    """Part of the source's flux density, shape (n_rows,)."""
    row_source: NDArray[np.int64]
    row: NDArray[np.int64]
    """Row of each column, shape (n_columns,)."""
    offset_hz: NDArray[np.float64]
    """From the channel's centre, shape (n_columns,)."""
    weight: NDArray[np.float64]
    """Of the frequency, shape (n_columns,)."""


def columns(
    points: Points,
    apparent_jy: NDArray[np.float64],
    times_jd: NDArray[np.float64],
    declination_rad: float,
    longest_m: float,
    n_channels: int,
    tolerance_jy: float | None,
) -> Columns:
    """Choose the nodes of every point and find where it is at each.

    Parameters
    ----------
    points : Points
    apparent_jy : ndarray, shape (n_points,)
        Largest flux density through the beam.
    times_jd : ndarray, shape (n_integrations,)
        UTC.
    declination_rad : float
        Apparent, of the point that is tracked.
    longest_m : float
        Longest baseline.
    n_channels : int
        Of a subband.
    tolerance_jy : float or None
        Largest error of the average; None: no average, middles only.
    """
    middle = geometry.directions(times_jd, np.zeros(1), points.ra_rad, points.dec_rad)[:, 0]
    away = np.linalg.norm(middle - geometry.tracked(declination_rad, np.zeros(1)), axis=-1).max(axis=0)
    turns = np.ones((len(away), 2), np.int64)
    if tolerance_jy is not None:
        path = np.pi * longest_m * away / LIGHT_M_S
        # 7 % above the band's centre is its top.
        in_time = path * INTEGRATION_S * EARTH_ROTATION_RAD_S * 1.07 * CENTRE_HZ
        in_frequency = path * channel_width_hz(n_channels)
        error = tolerance_jy / np.maximum(apparent_jy, 1e-12)
        for k in range(len(away)):
            turns[k] = nodes_needed(in_time[k], error[k]), nodes_needed(in_frequency[k], error[k])
    parts = []
    n_rows = 0
    for n_time, n_frequency in np.unique(turns, axis=0):
        chosen = np.flatnonzero((turns == (n_time, n_frequency)).all(axis=1))
        part = _tier(points, chosen, int(n_time), int(n_frequency), times_jd, n_channels, n_rows)
        parts.append(part)
        n_rows += len(part.after_s)
    if not parts:
        empty = np.zeros(0)
        whole = np.zeros(0, np.int64)
        return Columns(np.zeros((len(times_jd), 0, 3)), empty, empty, whole, whole, empty, empty)
    names = ("after_s", "row_weight", "row_source", "row", "offset_hz", "weight")
    return Columns(
        np.concatenate([p.directions for p in parts], axis=1),
        *(np.concatenate([getattr(p, name) for p in parts]) for name in names),
    )


def _tier(
    points: Points,
    chosen: NDArray[np.int64],
    n_time: int,
    n_frequency: int,
    times_jd: NDArray[np.float64],
    n_channels: int,
    first_row: int,
) -> Columns:
    """Rows and columns of the points that have the same nodes."""
    moment, w_time = np.polynomial.legendre.leggauss(n_time)
    offset, w_frequency = np.polynomial.legendre.leggauss(n_frequency)
    after = moment * INTEGRATION_S / 2
    where = geometry.directions(times_jd, after, points.ra_rad[chosen], points.dec_rad[chosen])
    n_rows = n_time * len(chosen)
    return Columns(
        where.reshape(len(times_jd), n_rows, 3),
        np.repeat(after, len(chosen)),
        np.outer(w_time / 2, points.part[chosen]).ravel(),
        np.tile(points.source[chosen], n_time),
        first_row + np.repeat(np.arange(n_rows), n_frequency),
        np.tile(offset * channel_width_hz(n_channels) / 2, n_rows),
        np.tile(w_frequency / 2, n_rows),
    )


@dataclass(frozen=True)
class Array:
    """Antennas in the correlator's order."""

    true_m: NDArray[np.float64]
    """Where they are, less the reference point, Earth-fixed, shape (n_antennas, 3)."""
    nominal_m: NDArray[np.float64]
    """Where the correlator and the files think that they are."""
    dishes: Dishes
    refractivity: float = 0.0


def subband_visibilities(
    array: Array,
    sky: Columns,
    sources: list[Source],
    feed: int,
    declination_rad: float,
    integration: int,
    frequencies_hz: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """Noise-free visibilities of one integration, subband and feed, Jy.

    Returns
    -------
    ndarray, complex64, shape (n_channels, n_antennas, n_antennas)
        Element [c, i, j] is conj(V_j) V_i, where j ≤ i.
    """
    n_antennas, n_channels = len(array.true_m), len(frequencies_hz)
    # Antennas in pairs: the product takes two by two.
    n_even = n_antennas + n_antennas % 2
    out = np.zeros((n_channels, n_even, n_even), np.complex64)
    direction = sky.directions[integration]
    amplitude = _amplitudes(array, sky, sources, feed, declination_rad, direction, frequencies_hz)
    delay = _delays(array, sky, declination_rad, direction)
    beam_of = array.dishes.beam_of()
    step = (frequencies_hz[-1] - frequencies_hz[0]) / (n_channels - 1)
    half = (frequencies_hz[-1] - frequencies_hz[0]) / 2
    for first in range(0, len(sky.row), _CHUNK):
        part = slice(first, first + _CHUNK)
        shape = (n_channels, n_even, len(sky.row[part]))
        real, imaginary = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        with threads_for(real.size):
            _fill(
                delay,
                amplitude,
                beam_of,
                sky.row[part],
                sky.offset_hz[part],
                np.sqrt(sky.weight[part]),
                frequencies_hz[0],
                step,
                half,
                real,
                imaginary,
            )
        with threads_for(real.size * n_even // 16):
            _add_products(real, imaginary, out)
    return out[:, :n_antennas, :n_antennas]


def _amplitudes(
    array: Array,
    sky: Columns,
    sources: list[Source],
    feed: int,
    declination_rad: float,
    direction: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Beam × √flux density as parabolas over the subband (0.8 % wide: good to 1e-6).

    Returns
    -------
    ndarray, shape (n_beams, n_rows, 3)
        Coefficients of 1, z, z²; z is −1 and 1 at the first and last channel.
    """
    ends = np.array([frequencies_hz[0], (frequencies_hz[0] + frequencies_hz[-1]) / 2, frequencies_hz[-1]])
    seen = geometry.lifted(direction, array.refractivity) if array.refractivity else direction
    voltage = array.dishes.voltages(feed, declination_rad, seen, ends)
    feed_part = 1.0 + (1 - 2 * feed) * np.array([s.polarisation for s in sources])
    flux = fluxes(sources, ends) * feed_part[:, None]
    voltage *= np.sqrt(flux[sky.row_source] * sky.row_weight[:, None])
    low, middle, high = np.moveaxis(voltage, -1, 0)
    return np.stack([middle, (high - low) / 2, (high + low) / 2 - middle], axis=-1)


def _delays(
    array: Array, sky: Columns, declination_rad: float, direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Delay of each antenna that is left when that of the tracked point is taken out, s.

    Shape (n_antennas, n_rows).
    """
    moments, which = np.unique(sky.after_s, return_inverse=True)
    stopped = array.nominal_m @ geometry.tracked(declination_rad, moments).T
    path = array.true_m @ direction.T - stopped[:, which]
    if array.refractivity:
        path += geometry.air_path(array.true_m, direction, array.refractivity)
    return path / LIGHT_M_S


@numba.njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _fill(
    delay: NDArray[np.float64],
    amplitude: NDArray[np.float64],
    beam_of: NDArray[np.int64],
    rows: NDArray[np.int64],
    offset_hz: NDArray[np.float64],
    root_weight: NDArray[np.float64],
    first_hz: float,
    step_hz: float,
    half_hz: float,
    real: NDArray[np.float32],
    imaginary: NDArray[np.float32],
) -> None:
    """Voltages of all columns: amplitude · exp(2πi delay ν), ν turned from channel to channel."""
    n_channels, _, n_columns = real.shape
    n_antennas = len(delay)
    n_blocks = (n_columns + _BLOCK - 1) // _BLOCK
    for index in numba.prange(n_antennas * n_blocks):
        a, first = index // n_blocks, index % n_blocks * _BLOCK
        n = min(_BLOCK, n_columns - first)
        re, im = np.empty(_BLOCK), np.empty(_BLOCK)
        turn_re, turn_im, shift = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
        c0, c1, c2 = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
        for k in range(n):
            r, off, root = rows[first + k], offset_hz[first + k], root_weight[first + k]
            phase = 2 * np.pi * (delay[a, r] * (first_hz + off))
            turn = 2 * np.pi * (delay[a, r] * step_hz)
            re[k], im[k] = np.cos(phase), np.sin(phase)
            turn_re[k], turn_im[k] = np.cos(turn), np.sin(turn)
            shift[k] = off / half_hz
            c0[k] = root * amplitude[beam_of[a], r, 0]
            c1[k] = root * amplitude[beam_of[a], r, 1]
            c2[k] = root * amplitude[beam_of[a], r, 2]
        for c in range(n_channels):
            place = c * step_hz / half_hz - 1.0
            for k in range(n):
                z = place + shift[k]
                size = c0[k] + z * (c1[k] + z * c2[k])
                real[c, a, first + k] = size * re[k]
                imaginary[c, a, first + k] = size * im[k]
                turned = re[k] * turn_re[k] - im[k] * turn_im[k]
                im[k] = re[k] * turn_im[k] + im[k] * turn_re[k]
                re[k] = turned


@numba.njit(parallel=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _add_products(
    real: NDArray[np.float32], imaginary: NDArray[np.float32], out: NDArray[np.complex64]
) -> None:
    """Add Σ conj(V_j) V_i over columns to ``out[c, i, j]`` for j ≤ i, two antennas by two.

    Half of the products of BLAS' ``cgemm`` and no start of threads for each channel: three
    times its speed here.
    """
    n_channels, n_antennas, n_columns = real.shape
    for c in numba.prange(n_channels):
        for first in range(0, n_columns, _PRODUCT_BLOCK):
            x = real[c, :, first : first + _PRODUCT_BLOCK]
            y = imaginary[c, :, first : first + _PRODUCT_BLOCK]
            for i in range(0, n_antennas, 2):
                for j in range(0, i + 2, 2):
                    re00 = re01 = re10 = re11 = np.float32(0)
                    im00 = im01 = im10 = im11 = np.float32(0)
                    for k in range(x.shape[1]):
                        re00 += x[j, k] * x[i, k] + y[j, k] * y[i, k]
                        im00 += x[j, k] * y[i, k] - y[j, k] * x[i, k]
                        re01 += x[j + 1, k] * x[i, k] + y[j + 1, k] * y[i, k]
                        im01 += x[j + 1, k] * y[i, k] - y[j + 1, k] * x[i, k]
                        re10 += x[j, k] * x[i + 1, k] + y[j, k] * y[i + 1, k]
                        im10 += x[j, k] * y[i + 1, k] - y[j, k] * x[i + 1, k]
                        re11 += x[j + 1, k] * x[i + 1, k] + y[j + 1, k] * y[i + 1, k]
                        im11 += x[j + 1, k] * y[i + 1, k] - y[j + 1, k] * x[i + 1, k]
                    out[c, i, j] += complex(re00, im00)
                    out[c, i, j + 1] += complex(re01, im01)
                    out[c, i + 1, j] += complex(re10, im10)
                    out[c, i + 1, j + 1] += complex(re11, im11)
