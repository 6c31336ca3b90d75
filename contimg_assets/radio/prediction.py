"""Visibilities of point sources, compiled: what a model and the simulator sum.

Both signs of the telescope come from the same expression: the correlator's
files and our Measurement Sets differ only in which antenna is called the first.

The correlator stops the fringes of one direction and averages over an integration
and a channel: the fringes of every other go on meanwhile (``Averaging``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import telescope

_NORTH = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Averaging:
    """Where sources are while the correlator averages, seen from the direction that it tracks."""

    offsets: NDArray[np.float64]
    """Direction of each source less the tracked one, shape (n_times, n_sources, 3)."""
    turns: NDArray[np.float64]
    """Their change in an integration, up to its sign, same shape."""

    @classmethod
    def of(
        cls, offsets: NDArray[np.float64], integration_s: float, pole: NDArray[np.float64] = _NORTH
    ) -> "Averaging":
        """From offsets in a frame in which the celestial pole is at ``pole`` (of the meridian frame: +z)."""
        return cls(offsets, integration_s * telescope.EARTH_ROTATION_RAD_S * np.cross(pole, offsets))


#: Channels whose phases turn side by side, a power of two.
_LANES = 16


@numba.njit(cache=True, inline="always")
def _delay(baseline: NDArray[np.float64], offset: NDArray[np.float64]) -> float:
    return (baseline[0] * offset[0] + baseline[1] * offset[1] + baseline[2] * offset[2]) / SPEED_OF_LIGHT


@numba.njit(cache=True, inline="always")
def _sinc(turns: float) -> float:
    x = np.pi * turns
    if abs(x) > 0.5:
        return np.sin(x) / x
    square = x * x
    return 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))


@numba.njit(cache=True, inline="always")
def _phasor(turns: float) -> tuple[float, float]:
    """Cosine and sine of full turns, to 10⁻¹⁰: series for a quarter of the angle, doubled twice."""
    x = np.pi / 2 * (turns - np.floor(turns + 0.5))
    square = x * x
    s = x * (1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72 * (1 - square / 110)))))
    c = 1 - square / 132
    c = 1 - square / 2 * (1 - square / 12 * (1 - square / 30 * (1 - square / 56 * (1 - square / 90 * c))))
    c, s = c * c - s * s, 2 * c * s
    return c * c - s * s, 2 * c * s


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sum_sources(
    baselines: NDArray[np.float64],
    offsets: NDArray[np.float64],
    first_hz: float,
    step_hz: float,
    width_hz: float,
    amplitude: NDArray[np.float64],
    averaged: bool,
    tracked: NDArray[np.float64],
    turns: NDArray[np.float64],
    out: NDArray[np.complex64],
) -> None:
    n_times, n_sources, _ = offsets.shape
    n_baselines = baselines.shape[0]
    n_channels = out.shape[1]
    middle_hz = first_hz + step_hz * (n_channels - 1) / 2
    n_blocks = -(-n_channels // _LANES)
    for row in numba.prange(n_times * n_baselines):
        t, b = row // n_baselines, row % n_baselines
        real, imaginary = np.zeros(n_blocks * _LANES), np.zeros(n_blocks * _LANES)
        phasor_real, phasor_imaginary = np.empty(_LANES), np.empty(_LANES)
        for s in range(n_sources):
            delay = _delay(baselines[b], offsets[t, s])
            # The phase is linear in frequency, so one rotation a channel does; neighbouring channels
            # turn side by side, which is what a processor does at once.
            phasor_real[0], phasor_imaginary[0] = _phasor(delay * first_hz)
            turn_real, turn_imaginary = _phasor(delay * step_hz)
            filled = 1
            while filled < _LANES:
                for k in range(filled):
                    phasor_real[filled + k] = (
                        phasor_real[k] * turn_real - phasor_imaginary[k] * turn_imaginary
                    )
                    phasor_imaginary[filled + k] = (
                        phasor_real[k] * turn_imaginary + phasor_imaginary[k] * turn_real
                    )
                turn_real, turn_imaginary = (
                    turn_real * turn_real - turn_imaginary * turn_imaginary,
                    2 * turn_real * turn_imaginary,
                )
                filled *= 2
            # The mean over an integration falls with the square of frequency, near enough.
            kept, falling = 1.0, 0.0
            if averaged:
                kept = _sinc(_delay(baselines[b], tracked[t, s]) * width_hz)
                falling = (1 - _sinc(_delay(baselines[b], turns[t, s]) * middle_hz)) / middle_hz**2
            source = amplitude[t, s]
            for block in range(n_blocks):
                start = block * _LANES
                for k in range(_LANES):
                    frequency = first_hz + (start + k) * step_hz
                    height = source[start + k] * (kept * (1 - falling * frequency * frequency))
                    real[start + k] += height * phasor_real[k]
                    imaginary[start + k] += height * phasor_imaginary[k]
                    turned = phasor_real[k] * turn_real - phasor_imaginary[k] * turn_imaginary
                    phasor_imaginary[k] = phasor_real[k] * turn_imaginary + phasor_imaginary[k] * turn_real
                    phasor_real[k] = turned
        for f in range(n_channels):
            out[row, f] = complex(real[f], imaginary[f])


def point_source_visibilities(
    baselines_m: NDArray[np.float64],
    offsets: NDArray[np.float64],
    frequencies_hz: NDArray[np.float64],
    amplitude_jy: NDArray[np.float64],
    averaging: Averaging | None = None,
    width_hz: float | None = None,
) -> NDArray[np.complex64]:
    """Visibilities ``Σ A exp(+2πi b·(s − s₀) ν/c)``, averaged as the correlator does.

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
    averaging : Averaging, optional
        None: visibilities in the middles of integrations and channels.
    width_hz : float, optional
        Width of a channel; None: their spacing.

    Returns
    -------
    ndarray, complex64, shape (n_times × n_baselines, n_channels)
        Row = time × n_baselines + baseline.
    """
    n_channels = len(frequencies_hz)
    out = np.zeros((offsets.shape[0] * len(baselines_m), n_channels), np.complex64)
    within = averaging or Averaging(offsets, offsets)
    step = (frequencies_hz[-1] - frequencies_hz[0]) / (n_channels - 1) if n_channels > 1 else 0.0
    _sum_sources(
        np.ascontiguousarray(baselines_m),
        np.ascontiguousarray(offsets),
        float(frequencies_hz[0]),
        float(step),
        float(step) if width_hz is None else width_hz,
        # Whole blocks of channels; the last ones are of no source and go nowhere.
        np.pad(amplitude_jy, ((0, 0), (0, 0), (0, -n_channels % _LANES))),
        averaging is not None,
        np.ascontiguousarray(within.offsets),
        np.ascontiguousarray(within.turns),
        out,
    )
    return out
