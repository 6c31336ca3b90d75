"""What receivers and cables do to an antenna's voltage, and how it changes over a night.

``g(t, ν) = a · (1 + r sin(2πν/p + s)) · exp(iφ + 2πi (ν − ν₀) τ) · walk(t) · exp(−2πi ν Δ)``
by antenna and feed; the ionosphere's gradient is a phase of the same kind.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent.geometry import LOCAL_AXES
from contimg_assets.simulation.independent.instrument import CENTRE_HZ, LIGHT_M_S
from contimg_assets.simulation.independent.options import AtmosphereOptions, GainOptions

#: Step of the random walk, s, and the time that its size is given for.
_STEP_S, _HALF_HOUR_S = 10.0, 1800.0
_ARCSEC = np.deg2rad(1.0 / 3600.0)


@dataclass(frozen=True)
class Gains:
    """Receivers of one night; arrays of shape (n_antennas, 2), antennas in the correlator's order."""

    amplitude: NDArray[np.float64]
    phase_rad: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    ripple: NDArray[np.float64]
    ripple_period_hz: NDArray[np.float64]
    ripple_phase_rad: NDArray[np.float64]
    sefd_factor: NDArray[np.float64]
    """SEFD over the nominal one."""
    position_error_m: NDArray[np.float64]
    """True less nominal, Earth-fixed, shape (n_antennas, 3)."""
    delay_change_ns: NDArray[np.float64]
    """Of the delays applied at the target to those at the calibrator."""
    options: GainOptions
    seed: int

    def bandpass(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Gain at the night's start, shape (n_antennas, n_frequencies, 2)."""
        f = frequency_hz[None, :, None]
        size = self.amplitude[:, None] * (
            1.0
            + self.ripple[:, None]
            * np.sin(2 * np.pi * f / self.ripple_period_hz[:, None] + self.ripple_phase_rad[:, None])
        )
        phase = self.phase_rad[:, None] + 2 * np.pi * (f - CENTRE_HZ) * self.delay_s[:, None]
        return np.asarray(size * np.exp(1j * phase), dtype=np.complex128)

    def walk(self, seconds: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Change since the night's start, shape (n_times, n_antennas, 2).

        Parameters
        ----------
        seconds : ndarray, shape (n_times,)
            Since the start, not negative.
        """
        n_steps = int(np.ceil(max(float(seconds.max()), 0.0) / _STEP_S)) + 2
        # Drawn in the order of time, so that a later group continues an earlier one's path.
        steps = np.random.default_rng([self.seed, 4]).standard_normal((n_steps, *self.amplitude.shape, 2))
        path = np.cumsum(steps, axis=0) * np.sqrt(_STEP_S / _HALF_HOUR_S)
        path -= path[:1]
        place = seconds / _STEP_S
        low = np.floor(place).astype(int)
        part = (place - low)[:, None, None, None]
        at = path[low] * (1 - part) + path[low + 1] * part
        size = np.exp(self.options.walk_amplitude * at[..., 0])
        return size * np.exp(1j * np.deg2rad(self.options.walk_phase_deg) * at[..., 1])

    def delay_phases(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """What changed applied delays do: exp(−2πi ν Δ), shape (n_antennas, n_frequencies, 2)."""
        return np.exp(-2e-9j * np.pi * frequency_hz[None, :, None] * self.delay_change_ns[:, None])

    def truth(self) -> dict[str, object]:
        """Parameters as plain lists."""
        arrays = {k: v.tolist() for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return {**arrays, "walk_seed": self.seed}


def draw_gains(n_antennas: int, options: GainOptions, seed: int) -> Gains:
    """The receivers of one night."""
    rng = np.random.default_rng([seed, 2])
    shape = (n_antennas, 2)

    def normal(sigma: float) -> NDArray[np.float64]:
        return sigma * rng.standard_normal(shape)

    phase = rng.uniform(-np.pi, np.pi, shape)
    amplitude = options.amplitude * np.exp(normal(options.amplitude_scatter))
    change = np.zeros(shape)
    who = rng.permutation(n_antennas)[: options.n_delay_changes]
    change[who] = (options.delay_change_ns * rng.choice([-1.0, 1.0], len(who)))[:, None]
    return Gains(
        amplitude,
        phase if options.random_phases else np.zeros(shape),
        normal(1e-9 * options.delay_ns),
        normal(options.ripple),
        rng.uniform(20e6, 60e6, shape),
        rng.uniform(-np.pi, np.pi, shape),
        np.exp(normal(options.sefd_scatter)),
        options.position_error_m * rng.standard_normal((n_antennas, 3)),
        change,
        options,
        seed,
    )


def ionosphere_shift(
    seconds: NDArray[np.float64], options: AtmosphereOptions, seed: int
) -> NDArray[np.float64]:
    """Shift of the sky at 1405 MHz, east and north, arcsec, shape (n_times, 2)."""
    start = np.random.default_rng([seed, 5]).uniform(0, 2 * np.pi, 2)
    turn = 2 * np.pi * seconds[:, None] / options.ionosphere_period_s
    return options.ionosphere_arcsec * np.sin(turn + start)


def ionosphere_phases(
    positions_m: NDArray[np.float64], shift_arcsec: NDArray[np.float64], frequency_hz: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Phase of a gradient of the electron content: 2π ν/c · b·shift · (ν₀/ν)².

    Parameters
    ----------
    positions_m : ndarray, shape (n_antennas, 3)
    shift_arcsec : ndarray, shape (2,)
        East and north, at the band's centre.
    frequency_hz : ndarray, shape (n_frequencies,)

    Returns
    -------
    ndarray, shape (n_antennas, n_frequencies)
    """
    path = positions_m @ LOCAL_AXES[:2].T @ shift_arcsec * _ARCSEC
    return np.exp(2j * np.pi * np.outer(path, CENTRE_HZ**2 / frequency_hz) / LIGHT_M_S)
