"""What the correlator gives for a sky: sums over points of products of antennas' voltages.

Every point and moment within an integration is a *row*: a voltage for each antenna.
Visibilities are the product of the matrix of voltages with its conjugate, so the average over
moments (Gauss–Legendre nodes) is part of the sum; averages over channels are means of the sum's
values at other frequencies (``spectrum.py``).  Smearing needs no formula.  Belongs here: that sum.

Operations of a full-size group (96 antennas, 24 integrations, 16 × 48 channels, a sky of 10 000
sources in 14 900 rows, one feed): 8 for each baseline, channel, integration and row would be 1.0e13.
Samples are as far apart as each baseline allows (452 for the 768 channels, of the long baselines alone in two
thirds), and BLAS multiplies: 2.9e12, and 1.5e10 voltages.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import factorial

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent import geometry
from contimg_assets.simulation.independent.dishes import Dishes
from contimg_assets.simulation.independent.instrument import (
    CENTRE_HZ,
    DISH_M,
    EARTH_ROTATION_RAD_S,
    INTEGRATION_S,
    LIGHT_M_S,
)
from contimg_assets.simulation.independent.sky import Points, Source, fluxes
from contimg_assets.simulation.independent.spectrum import MOST_STEPS, Samples, samples_for
from contimg_assets.simulation.independent.threads import threads_for

#: Rows that are held at once: 90 MB with 96 antennas and 230 frequencies.
_CHUNK = 512
#: More nodes than this are not tried.
_MOST_NODES = 12
#: Rows that a thread turns at once: they stay in its cache.
_BLOCK = 64
#: Terms of the polynomials in frequency that stand for beams and spectra: good to 1e-8 over 100 MHz.
_TERMS = 6
#: What a source moves in half an integration, rad, and more.
_MOVED_RAD = 1e-3


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
class Rows:
    """Points at moments."""

    directions: NDArray[np.float64]
    """Earth-fixed, shape (n_integrations, n_rows, 3)."""
    after_s: NDArray[np.float64]
    """Moment of each row after the middle of the integration, shape (n_rows,)."""
    weight: NDArray[np.float64]
    """Part of the source's flux density, shape (n_rows,)."""
    source: NDArray[np.int64]
    farthest: float
    """Largest distance of a row from the tracked point, as a length of the difference of unit vectors."""


def rows(
    points: Points,
    apparent_jy: NDArray[np.float64],
    times_jd: NDArray[np.float64],
    declination_rad: float,
    longest_m: float,
    tolerance_jy: float | None,
) -> Rows:
    """Choose the moments of every point and find where it is at each.

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
    tolerance_jy : float or None
        Largest error of the average; None: no average, middles only.
    """
    middle = geometry.directions(times_jd, np.zeros(1), points.ra_rad, points.dec_rad)[:, 0]
    away = np.linalg.norm(middle - geometry.tracked(declination_rad, np.zeros(1)), axis=-1).max(axis=0)
    turns = np.ones(len(away), np.int64)
    if tolerance_jy is not None:
        # 7 % above the band's centre is its top.
        path = np.pi * longest_m * away / LIGHT_M_S
        half_turn = path * INTEGRATION_S * EARTH_ROTATION_RAD_S * 1.07 * CENTRE_HZ
        error = tolerance_jy / np.maximum(apparent_jy, 1e-12)
        turns = np.array([nodes_needed(*k) for k in zip(half_turn, error, strict=True)], np.int64)
    directions, after, weight, source = [], [], [], []
    for n_time in np.unique(turns):
        chosen = np.flatnonzero(turns == n_time)
        moment, part = np.polynomial.legendre.leggauss(n_time)
        seconds = moment * INTEGRATION_S / 2
        where = geometry.directions(times_jd, seconds, points.ra_rad[chosen], points.dec_rad[chosen])
        directions.append(where.reshape(len(times_jd), -1, 3))
        after.append(np.repeat(seconds, len(chosen)))
        weight.append(np.outer(part / 2, points.part[chosen]).ravel())
        source.append(np.tile(points.source[chosen], n_time))
    if not directions:
        return Rows(np.zeros((len(times_jd), 0, 3)), np.zeros(0), np.zeros(0), np.zeros(0, np.int64), 0.0)
    return Rows(
        np.concatenate(directions, axis=1),
        np.concatenate(after),
        np.concatenate(weight),
        np.concatenate(source),
        float(away.max()) + _MOVED_RAD,
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


@dataclass(frozen=True)
class Plan:
    """How a stretch of the band is computed: samples, and which baselines need how many of them."""

    samples: Samples
    order: NDArray[np.int64]
    """Antennas, those first that are in most of the longest baselines."""
    class_of: NDArray[np.int64]
    """Of each baseline in the correlator's order, shape (n_baselines,)."""
    n_first: NDArray[np.int64]
    """Of each sample, so many antennas, the first in ``order``, times all are all that is wanted."""


def plan(array: Array, sky: Rows, channels_hz: NDArray[np.float64], width_hz: float) -> Plan:
    """Choose the samples for all channels of a stretch of the band.

    Parameters
    ----------
    array : Array
    sky : Rows
    channels_hz : ndarray, shape (n_channels,)
    width_hz : float
        Of a channel; 0: no average.
    """
    two, one = np.tril_indices(len(array.true_m))
    # A dish's own beam is a sum of turns, too.
    length = np.linalg.norm(array.true_m[two] - array.true_m[one], axis=1) + DISH_M
    longest = float(length.max())
    samples = samples_for(channels_hz, width_hz, longest * sky.farthest / LIGHT_M_S)
    class_of = np.minimum(np.floor(np.log2(longest / length)), np.log2(MOST_STEPS)).astype(np.int64)
    wanted = np.zeros((len(samples.steps), len(array.true_m), len(array.true_m)), bool)
    wanted[class_of, two, one] = wanted[class_of, one, two] = True
    order = _covering(wanted)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    # A baseline is in the product of the first antennas and all if either of its ends is among the first.
    nearer = np.minimum(place[two], place[one])
    n_first = np.zeros(len(samples.index), np.int64)
    for k, used in enumerate(samples.used):
        if (class_of == k).any():
            n_first[used] = np.maximum(n_first[used], nearer[class_of == k].max() + 1)
    return Plan(samples, order, class_of, n_first)


def _covering(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Antennas in such an order that few of the first are in all baselines of a class and those before.

    Parameters
    ----------
    wanted : ndarray of bool, shape (n_classes, n_antennas, n_antennas)
    """
    left = np.ones(wanted.shape[1], bool)
    order: list[int] = []
    for pairs in wanted:
        while (degree := (pairs & left).sum(axis=1) * left).any():
            order.append(int(np.argmax(degree)))
            left[order[-1]] = False
    return np.array(order + np.flatnonzero(left).tolist(), np.int64)


def sky_visibilities(
    array: Array,
    sky: Rows,
    sources: list[Source],
    feed: int,
    declination_rad: float,
    integration: int,
    plan: Plan,
) -> NDArray[np.complex64]:
    """Noise-free visibilities of one integration and feed over a stretch of the band, Jy.

    Returns
    -------
    ndarray, complex64, shape (n_baselines, n_channels)
        conj(V_j) V_i of antennas j ≤ i, in the order of ``numpy.tril_indices``.
    """
    n_antennas, samples = len(array.true_m), plan.samples
    frequency = samples.frequencies_hz
    sums = np.zeros((len(frequency), n_antennas, n_antennas), np.complex64)
    direction = sky.directions[integration]
    amplitude = _amplitudes(array, sky, sources, feed, declination_rad, direction, frequency)
    delay = _delays(array, sky, declination_rad, direction)[plan.order]
    beam_of = array.dishes.beam_of()[plan.order]
    for first in range(0, len(sky.source), _CHUNK):
        part = slice(first, min(first + _CHUNK, len(sky.source)))
        # Real parts of all antennas, then imaginary ones: a product of real matrices has all that is needed.
        voltage = np.empty((len(frequency), 2 * n_antennas, part.stop - part.start), np.float32)
        with threads_for(voltage.size):
            _fill(
                np.ascontiguousarray(delay[:, part]),
                np.ascontiguousarray(amplitude[:, :, part]),
                beam_of,
                samples.index,
                samples.first_hz,
                samples.step_hz,
                voltage,
            )
        _add_products(voltage, plan.n_first, sums)
    return _channels(sums, plan)


def _add_products(
    voltage: NDArray[np.float32], n_first: NDArray[np.int64], out: NDArray[np.complex64]
) -> None:
    """Add Σ conj(V_j) V_i over rows to ``out[sample, i, j]``, for the first antennas i of each sample.

    BLAS multiplies; samples are shared out among threads, which wait for nobody.
    """
    n = voltage.shape[1] // 2

    def add(total: NDArray[np.complex64], both: NDArray[np.float32], many: int) -> None:
        if 2 * many > n:
            # numpy sees a product with the own transpose, and does half of it.
            product = both @ both.T
            total.real += product[:n, :n] + product[n:, n:]
            total.imag += product[n:, :n] - product[:n, n:]
        elif many:
            x, y = both[:many] @ both.T, both[n : n + many] @ both.T
            total[:many].real += x[:, :n] + y[:, n:]
            total[:many].imag += y[:, :n] - x[:, n:]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(add, out, voltage, n_first.tolist()):
            pass


def _channels(sums: NDArray[np.complex64], plan: Plan) -> NDArray[np.complex64]:
    """Means over channels, shape (n_baselines, n_channels)."""
    place = np.empty(len(plan.order), np.int64)
    place[plan.order] = np.arange(len(plan.order))
    two, one = np.tril_indices(len(place))
    # Of the two places of a baseline in the sums, that in the row of the antenna that comes first.
    turned = place[one] < place[two]
    row, column = np.minimum(place[two], place[one]), np.maximum(place[two], place[one])
    out = np.empty((len(two), len(plan.samples.weights[0])), np.complex64)
    for k, weights in enumerate(plan.samples.weights):
        mine = np.flatnonzero(plan.class_of == k)
        values = np.ascontiguousarray(sums[plan.samples.used[k]][:, row[mine], column[mine]])
        out[mine] = (weights @ values.view(np.float32)).view(np.complex64).T
    out[turned] = out[turned].conj()
    return out


def _amplitudes(
    array: Array,
    sky: Rows,
    sources: list[Source],
    feed: int,
    declination_rad: float,
    direction: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Beam × √flux density as polynomials over the samples' frequencies.

    Returns
    -------
    ndarray, shape (n_terms, n_beams, n_rows)
        Coefficients of 1, z, z² …; z is −1 and 1 at the first and last sample.
    """
    node = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    low, high = frequencies_hz[0], frequencies_hz[-1]
    at = (low + high) / 2 + node * (high - low) / 2
    seen = geometry.lifted(direction, array.refractivity) if array.refractivity else direction
    voltage = array.dishes.voltages(feed, declination_rad, seen, at)
    feed_part = 1.0 + (1 - 2 * feed) * np.array([s.polarisation for s in sources])
    flux = fluxes(sources, at) * feed_part[:, None]
    voltage *= np.sqrt(flux[sky.source] * sky.weight[:, None])
    fit = np.linalg.inv(np.vander(node, increasing=True))
    return np.ascontiguousarray(np.moveaxis(voltage @ fit.T, -1, 0))


def _delays(
    array: Array, sky: Rows, declination_rad: float, direction: NDArray[np.float64]
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
    index: NDArray[np.int64],
    first_hz: float,
    step_hz: float,
    voltage: NDArray[np.float32],
) -> None:
    """Voltages of rows: amplitude · exp(2πi delay ν), ν turned from step to step."""
    n_samples, _, n_rows = voltage.shape
    n_antennas = len(delay)
    n_blocks = (n_rows + _BLOCK - 1) // _BLOCK
    for block in numba.prange(n_antennas * n_blocks):
        a, first = block // n_blocks, block % n_blocks * _BLOCK
        n = min(_BLOCK, n_rows - first)
        re, im = np.empty(_BLOCK), np.empty(_BLOCK)
        turn_re, turn_im = np.empty(_BLOCK), np.empty(_BLOCK)
        terms = np.zeros((_TERMS, _BLOCK))
        terms[:, :n] = amplitude[:, beam_of[a], first : first + n]
        re[:], im[:], turn_re[:], turn_im[:] = 0.0, 0.0, 1.0, 0.0
        for k in range(n):
            phase = 2 * np.pi * (delay[a, first + k] * first_hz)
            turn = 2 * np.pi * (delay[a, first + k] * step_hz)
            re[k], im[k] = np.cos(phase), np.sin(phase)
            turn_re[k], turn_im[k] = np.cos(turn), np.sin(turn)
        here = np.empty((2, _BLOCK), np.float32)
        at = 0
        for c in range(n_samples):
            while at < index[c]:
                for k in range(_BLOCK):
                    turned = re[k] * turn_re[k] - im[k] * turn_im[k]
                    im[k] = re[k] * turn_im[k] + im[k] * turn_re[k]
                    re[k] = turned
                at += 1
            z = 2.0 * index[c] / index[-1] - 1.0
            for k in range(_BLOCK):
                size = terms[5, k]
                size = terms[4, k] + z * size
                size = terms[3, k] + z * size
                size = terms[2, k] + z * size
                size = terms[1, k] + z * size
                size = terms[0, k] + z * size
                here[0, k] = size * re[k]
                here[1, k] = size * im[k]
            voltage[c, a, first : first + n] = here[0, :n]
            voltage[c, n_antennas + a, first : first + n] = here[1, :n]
