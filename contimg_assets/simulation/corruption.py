"""What the instrument and its surroundings do to visibilities.

Gains are a product of terms whose parameters stand in the truth file:
``g(t, ν) = amplitude · exp(iφ) · exp(2πi (ν−ν₀) τ) · ripple(ν) · drift(t)``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope

#: Frequency at which a delay turns no phase, Hz.
DELAY_REFERENCE_HZ = 1.405e9


@dataclass(frozen=True)
class Gains:
    """Parameters of every antenna's gain; arrays of shape (n_antennas, n_polarisations)."""

    amplitude: NDArray[np.float64]
    phase_rad: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    ripple_amplitude: NDArray[np.float64]
    ripple_period_hz: NDArray[np.float64]
    ripple_phase_rad: NDArray[np.float64]
    drift_amplitude_per_hour: NDArray[np.float64]
    drift_phase_rad_per_hour: NDArray[np.float64]
    epoch_jd: float
    """Time at which the drift is zero."""

    def bandpass(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Gain at the epoch, shape (n_antennas, n_frequencies, n_polarisations)."""
        f = frequency_hz[None, :, None]
        ripple = 1.0 + self.ripple_amplitude[:, None] * np.sin(
            2 * np.pi * f / self.ripple_period_hz[:, None] + self.ripple_phase_rad[:, None]
        )
        phase = self.phase_rad[:, None] + 2 * np.pi * (f - DELAY_REFERENCE_HZ) * self.delay_s[:, None]
        return np.asarray(self.amplitude[:, None] * ripple * np.exp(1j * phase), dtype=np.complex128)

    def drift(self, times_jd: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Change since the epoch, shape (n_times, n_antennas, n_polarisations)."""
        hours = ((times_jd - self.epoch_jd) * 24.0)[:, None, None]
        size = 1.0 + self.drift_amplitude_per_hour * hours
        return np.asarray(size * np.exp(1j * self.drift_phase_rad_per_hour * hours), dtype=np.complex128)

    def truth(self) -> dict[str, object]:
        """The parameters as plain lists, for the truth file."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}


def random_gains(
    n_antennas: int, n_polarisations: int, epoch_jd: float, seed: int, delay_sigma_ns: float
) -> Gains:
    """Gains of one night.

    The same seed and epoch give the same instrument, so that a calibrator and a
    target of one night differ by the drift alone.
    """
    rng = np.random.default_rng(seed)
    shape = (n_antennas, n_polarisations)
    return Gains(
        amplitude=0.03 * np.exp(rng.normal(0.0, 0.15, shape)),
        phase_rad=rng.uniform(-np.pi, np.pi, shape),
        delay_s=rng.normal(0.0, delay_sigma_ns * 1e-9, shape),
        ripple_amplitude=np.abs(rng.normal(0.03, 0.015, shape)),
        ripple_period_hz=rng.uniform(20e6, 60e6, shape),
        ripple_phase_rad=rng.uniform(-np.pi, np.pi, shape),
        drift_amplitude_per_hour=rng.normal(0.0, 0.004, shape),
        drift_phase_rad_per_hour=rng.normal(0.0, np.deg2rad(2.0), shape),
        epoch_jd=epoch_jd,
    )


def no_gains(n_antennas: int, n_polarisations: int, epoch_jd: float) -> Gains:
    """Unit gains: visibilities in Jy."""
    zero, one = np.zeros((n_antennas, n_polarisations)), np.ones((n_antennas, n_polarisations))
    return Gains(one, zero, zero, zero, 40e6 * one, zero, zero, zero, epoch_jd)


@dataclass(frozen=True)
class Interference:
    """RFI of one group as emitters: where in time × frequency, how strong, seen by whom."""

    cells: NDArray[np.bool_]
    """Shape (n_emitters, n_times, n_channels), channels ascending over the band."""
    strength_jy: NDArray[np.float64]
    """Shape (n_emitters,): correlated flux density where it is seen in full."""
    response: NDArray[np.complex128]
    """Shape (n_emitters, n_antennas): voltage response, zero where not seen."""

    def truth(self) -> list[dict[str, object]]:
        """Each emitter: its channels, integrations, strength and antennas."""
        return [
            {
                "integrations": np.flatnonzero(cells.any(axis=1)).tolist(),
                "channels_ascending": np.flatnonzero(cells.any(axis=0)).tolist(),
                "strength_jy": float(strength),
                "antenna_indices": np.flatnonzero(response).tolist(),
            }
            for cells, strength, response in zip(self.cells, self.strength_jy, self.response, strict=True)
        ]


def random_interference(n_times: int, n_channels: int, n_antennas: int, seed: int) -> Interference:
    """Two narrow-band carriers, one broad-band burst, short bursts, one local emitter."""
    rng = np.random.default_rng(seed)
    cells: list[NDArray[np.bool_]] = []
    strength: list[float] = []
    response: list[NDArray[np.complex128]] = []

    def add(mask: NDArray[np.bool_], jy: float, seen: NDArray[np.bool_]) -> None:
        cells.append(mask)
        strength.append(jy)
        phase = np.exp(2j * np.pi * rng.random(n_antennas))
        response.append(np.where(seen, rng.uniform(0.7, 1.3, n_antennas) * phase, 0))

    everyone = np.ones(n_antennas, bool)
    for _ in range(2):
        mask = np.zeros((n_times, n_channels), bool)
        first = rng.integers(0, n_channels)
        mask[:, first : first + max(1, n_channels // 256)] = True
        add(mask, rng.uniform(20, 200), everyone)
    mask = np.zeros((n_times, n_channels), bool)
    first = rng.integers(0, n_channels - n_channels // 4)
    mask[rng.integers(0, n_times), first : first + n_channels // 4] = True
    add(mask, rng.uniform(20, 100), everyone)
    mask = np.zeros((n_times, n_channels), bool)
    n_short = max(2, n_times * n_channels // 1500)
    mask[rng.integers(0, n_times, n_short), rng.integers(0, n_channels, n_short)] = True
    add(mask, rng.uniform(50, 300), everyone)
    mask = np.zeros((n_times, n_channels), bool)
    first = rng.integers(0, n_channels)
    mask[:, first : first + max(1, n_channels // 128)] = True
    near = np.zeros(n_antennas, bool)
    near[: max(2, n_antennas // 6)] = True
    add(mask, rng.uniform(50, 200), near)
    return Interference(np.array(cells), np.array(strength), np.array(response))


def dish_noise_jy(channel_width_hz: float, integration_s: float) -> tuple[float, float]:
    """Noise of a cross-correlation's parts, and of an autocorrelation, Jy."""
    cross = telescope.visibility_sigma_jy(channel_width_hz, integration_s)
    return cross, float(np.sqrt(2.0) * cross)
