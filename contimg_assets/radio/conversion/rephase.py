"""From one integration of one subband file to its place in the Measurement Set, compiled."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(parallel=True, cache=True, nogil=True)
def rephase(
    visibilities: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    samples: NDArray[np.float32],
    delays_s: NDArray[np.float64],
    first_hz: float,
    step_hz: float,
    descending: bool,
    conjugated: NDArray[np.bool_],
    hands: NDArray[np.int64],
    first_channel: int,
    out: NDArray[np.complex64],
    out_flags: NDArray[np.bool_],
    out_weights: NDArray[np.float32],
) -> int:
    """Turn phases by ``exp(−2πi τ ν)`` and put channels, hands and conjugates in order.

    Phases are computed in double precision; a subband's are linear in
    frequency, so one rotation a channel does.  What nobody can use (:func:`uvh5.unusable`)
    becomes zero, without weight, and flagged.

    Parameters
    ----------
    visibilities, flags, samples : ndarray, shape (n_baselines, n_channels, n_polarisations)
        As in the file.
    delays_s : ndarray, shape (n_baselines,)
        Delay from the file's phase centre to the new one.
    first_hz, step_hz : float
        Lowest channel and spacing (positive).
    descending : bool
        Whether the file's channels are.
    conjugated : ndarray, shape (n_baselines,)
        Baselines whose antennas change places.
    hands : ndarray, shape (2, n_polarisations)
        Place in the file of each product; second row: of conjugated baselines.
    first_channel : int
        Place of the lowest channel in the arrays ``out…``, shape
        (n_baselines, n_band, n_polarisations), which are filled.

    Returns
    -------
    int
        Values that nobody can use, and that the file has not flagged.
    """
    n_baselines, n_channels, n_polarisations = visibilities.shape
    n_unusable = 0
    for b in numba.prange(n_baselines):
        phasor = np.exp(-2j * np.pi * (delays_s[b] * first_hz))
        turn = np.exp(-2j * np.pi * (delays_s[b] * step_hz))
        order = hands[1] if conjugated[b] else hands[0]
        for f in range(n_channels):
            k = n_channels - 1 - f if descending else f
            for p in range(n_polarisations):
                value = visibilities[b, k, order[p]] * phasor
                flag = flags[b, k, order[p]]
                weight = samples[b, k, order[p]]
                out[b, first_channel + f, p] = np.conj(value) if conjugated[b] else value
                out_flags[b, first_channel + f, p] = flag
                out_weights[b, first_channel + f, p] = weight
                finite = np.isfinite(value.real) and np.isfinite(value.imag)
                if not flag and not (finite and 0 < weight < np.inf):
                    out[b, first_channel + f, p] = 0
                    out_flags[b, first_channel + f, p] = True
                    out_weights[b, first_channel + f, p] = 0
                    n_unusable += 1
            phasor *= turn
    return n_unusable


@numba.njit(parallel=True, cache=True, nogil=True)
def median_weights(weights: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Median over channels of weights, shape (n_rows, n_channels, n_polarisations)."""
    n_rows, n_channels, n_polarisations = weights.shape
    for row in numba.prange(n_rows):
        for p in range(n_polarisations):
            # Nearly always most channels have the same weight, which then is the median.
            usual = weights[row, n_channels // 2, p]
            count = 0
            for f in range(n_channels):
                count += weights[row, f, p] == usual
            out[row, p] = usual if 2 * count > n_channels else np.median(weights[row, :, p])
