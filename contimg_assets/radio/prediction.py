"""Visibilities of point sources, compiled: what a model and the simulator sum.

Both signs of the telescope come from the same expression: the correlator's
files and our Measurement Sets differ only in which antenna is called the first.
"""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT


@numba.njit(parallel=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _sum_sources(
    baselines: NDArray[np.float64],
    offsets: NDArray[np.float64],
    first_hz: float,
    step_hz: float,
    amplitude: NDArray[np.float64],
    out: NDArray[np.complex64],
) -> None:
    n_times, n_sources, _ = offsets.shape
    n_baselines = baselines.shape[0]
    n_channels = amplitude.shape[2]
    for row in numba.prange(n_times * n_baselines):
        t, b = row // n_baselines, row % n_baselines
        total = np.zeros(n_channels, np.complex128)
        for s in range(n_sources):
            delay = (
                baselines[b, 0] * offsets[t, s, 0]
                + baselines[b, 1] * offsets[t, s, 1]
                + baselines[b, 2] * offsets[t, s, 2]
            ) / SPEED_OF_LIGHT
            # The phase is linear in frequency, so one rotation a channel does.
            phasor = np.exp(2j * np.pi * (delay * first_hz))
            turn = np.exp(2j * np.pi * (delay * step_hz))
            for f in range(n_channels):
                total[f] += amplitude[t, s, f] * phasor
                phasor *= turn
        for f in range(n_channels):
            out[row, f] = total[f]


def point_source_visibilities(
    baselines_m: NDArray[np.float64],
    offsets: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
    amplitude_jy: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """Visibilities ``Σ A exp(+2πi b·(s − s₀) ν/c)``.

    Parameters
    ----------
    baselines_m : ndarray, shape (n_baselines, 3)
        Position of antenna 2 less that of antenna 1, meridian frame, m.
    offsets : ndarray, shape (n_times, n_sources, 3)
        Source direction less the direction that is phased to, meridian frame.
    frequencies_hz : ndarray, shape (n_channels,)
        Uniformly spaced, either direction.
    amplitude_jy : ndarray, shape (n_times, n_sources, n_channels)
        Flux density through the beam.

    Returns
    -------
    ndarray, complex64, shape (n_times × n_baselines, n_channels)
        Row = time × n_baselines + baseline.
    """
    n_channels = len(frequencies_hz)
    out = np.zeros((offsets.shape[0] * len(baselines_m), n_channels), np.complex64)
    step = (frequencies_hz[-1] - frequencies_hz[0]) / (n_channels - 1) if n_channels > 1 else 0.0
    _sum_sources(
        np.ascontiguousarray(baselines_m),
        np.ascontiguousarray(offsets),
        float(frequencies_hz[0]),
        float(step),
        np.ascontiguousarray(amplitude_jy),
        out,
    )
    return out
