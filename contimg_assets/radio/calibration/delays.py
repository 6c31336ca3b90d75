"""Delays of antennas: the slope of their gains' phases over the band.

A bandpass holds delays as it holds everything else.  They are taken out of it since a phase that turns from
channel to channel is not to be interpolated over flagged ones, and since delays tell of cables and clocks.

Belongs here: finding delays in gains, and whether they are any.  Does not belong here: the gains
(``fit_gains.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.calibration.fit_gains import Gains

#: Delays are kept if they raise the sum over the band by this part.
_LEAST_HELP = 0.002
#: The Fourier transform over the band is this much finer than its resolution.
_FINER = 8
#: Newton's steps from its peak on; the first is right to a thousandth of the width.
_STEPS = 3


@dataclass(frozen=True)
class Delays:
    """Delays of one scan; arrays of shape (n_antennas_telescope, 2 feeds)."""

    ns: NDArray[np.float64]
    """Zero without a solution."""
    errors_ns: NDArray[np.float64]
    snr: NDArray[np.float64]
    """Of the sum over the band."""
    solved: NDArray[np.bool_]

    def none(self) -> "Delays":
        """No delays, for all antennas."""
        nothing = np.zeros(self.ns.shape)
        return Delays(nothing, nothing, nothing, np.ones(self.ns.shape, bool))


def fit_delays(gains: Gains, frequencies_hz: NDArray[np.float64]) -> Delays:
    """Delays that add up most of each antenna's gains over the band.

    Parameters
    ----------
    gains : Gains
        Of the channels.
    frequencies_hz : ndarray, shape (n_channels,)
        Uniformly spaced.
    """
    errors = gains.errors
    good = (errors > 0) & (gains.values != 0)
    values = np.divide(gains.values, errors**2, where=good, out=np.zeros_like(gains.values))
    n_fine = int(2 ** np.ceil(np.log2(_FINER * len(frequencies_hz))))
    step_hz = float(np.diff(frequencies_hz[[0, -1]])[0]) / max(len(frequencies_hz) - 1, 1)
    sums = np.abs(np.fft.fft(values, n_fine, axis=1))
    delays_s = np.fft.fftfreq(n_fine, step_hz)[sums.argmax(axis=1)]
    turns = 2 * np.pi * (frequencies_hz - frequencies_hz.mean())
    for _ in range(_STEPS):
        phased = values * np.exp(-1j * delays_s[:, None] * turns[:, None])
        total, first, second = ((phased * turns[:, None] ** power).sum(axis=1) for power in range(3))
        # Derivatives of |Σ|² with the delay.
        slope = 2 * np.imag(first * np.conj(total))
        bend = 2 * (np.abs(first) ** 2 - np.real(second * np.conj(total)))
        delays_s = delays_s - np.divide(slope, bend, where=bend < 0, out=np.zeros_like(slope))
    weight = np.divide(np.abs(gains.values) ** 2, errors**2, where=good, out=np.zeros(errors.shape))
    solved = good.any(axis=1)
    mean = _over((weight * turns[:, None]).sum(axis=1), weight.sum(axis=1))
    spread = (weight * (turns[:, None] - mean[:, None]) ** 2).sum(axis=1)
    noise = np.sqrt(np.divide(1.0, errors**2, where=good, out=np.zeros(errors.shape)).sum(axis=1))
    coherent = np.abs((values * np.exp(-1j * delays_s[:, None] * turns[:, None])).sum(axis=1))
    return Delays(
        np.where(solved, 1e9 * delays_s, 0.0),
        # Of a gain's error the phase has one part, the amplitude the other.
        1e9 * np.sqrt(_over(np.ones(spread.shape), 2 * spread)),
        _over(coherent, noise),
        solved,
    )


def _over(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(one, other, where=other > 0, out=np.zeros(one.shape))


def judge_delays(
    delays: Delays,
    product: NDArray[np.complex64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    frequencies_hz: NDArray[np.float64],
) -> tuple[Delays, str]:
    """Keep delays if they add up the band on the baselines, else have none; and what became of them.

    The bandpass takes up either; but a delay found in noise turns the phase
    between its channels at random.

    Parameters
    ----------
    delays : Delays
    product : ndarray, complex64, shape (n_baselines, n_channels, 2 feeds)
        Σ V M* of the scan.
    one, two : ndarray of int32, shape (n_baselines,)
        Antennas.
    frequencies_hz : ndarray, shape (n_channels,)
    """
    fair = np.asarray(delays.solved.all(axis=1))
    rows = fair[one] & fair[two]
    offsets_hz = frequencies_hz - frequencies_hz.mean()
    turns = np.exp(-2j * np.pi * 1e-9 * delays.ns[:, :, None] * offsets_hz).astype(np.complex64)
    before, after = _sums_over_band(product, one, two, rows, turns)
    if before > 0 and after > (1 + _LEAST_HELP) * before:
        rms_ns = float(delays.ns[fair].std())
        return (
            delays,
            f"kept: they raise the sum over the band by {after / before - 1:.1%}, rms {rms_ns:.3f} ns",
        )
    return delays.none(), "set to zero: they do not add up the band; the bandpass holds what there is"


@numba.njit(cache=True)
def _sums_over_band(
    product: NDArray[np.complex64],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    rows: NDArray[np.bool_],
    turns: NDArray[np.complex64],
) -> tuple[float, float]:
    """Σ |Σ over the band| of baselines and feeds, as they are and turned by the antennas' delays."""
    before, after = 0.0, 0.0
    for b in range(len(one)):
        if rows[b]:
            for p in range(product.shape[2]):
                plain, turned = 0j, 0j
                for f in range(product.shape[1]):
                    v = np.complex128(product[b, f, p])
                    plain += v
                    turned += v * turns[one[b], p, f] * turns[two[b], p, f].conjugate()
                before += abs(plain)
                after += abs(turned)
    return before, after
