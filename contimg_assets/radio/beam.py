"""The primary beam of the array: its pattern, how wide it is, and where it points.

The pattern is that of one dish: an Airy pattern, or a measured one from a file
(``beam_file.py``).  The array's beam is the mean over pairs of dishes, near enough the
pattern with a width and an offset of its own, which a calibrator's transit tells
(``calibration/transit_beams.py``).

Belongs here: power response towards a direction, at an instant or averaged over
a group.  Does not belong here: images (``imaging/beam_image.py`` samples this), files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import c as SPEED_OF_LIGHT
from scipy.interpolate import CubicSpline
from scipy.special import j1

from contimg_assets.radio import telescope

#: Version of the Airy pattern of the dish, which is assumed where none is given.
AIRY = "airy"


def airy_power(sin_theta: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Power response of a uniformly lit circular dish.

    ``(2 J1(x) / x)²`` with ``x = π D sin θ / λ`` (Born & Wolf, section 8.5.2);
    1 on axis, half at 0.5145 λ/D, first null at 1.2197 λ/D.

    Parameters
    ----------
    sin_theta : array_like
        Sine of the angle from the beam's axis.
    frequency_hz : array_like
        Broadcasts against ``sin_theta``.

    Returns
    -------
    ndarray
        Power response, 0…1.
    """
    x = np.pi * telescope.DISH_DIAMETER_M / SPEED_OF_LIGHT * np.asarray(frequency_hz) * np.abs(sin_theta)
    small = x < 1e-4
    safe = np.where(small, 1.0, x)
    # Series 1 − x²/4 below 1e-4, where the next term is under 1e-17.
    return np.where(small, 1.0 - x**2 / 4.0, (2.0 * j1(safe) / safe) ** 2)


@dataclass(frozen=True, eq=False)
class Pattern:
    """Power of one dish's beam as it was measured, round, against radius and frequency."""

    version: str
    """Name that products carry."""
    frequencies_hz: NDArray[np.float64]
    """Ascending, shape (n_frequencies,)."""
    radii_rad: NDArray[np.float64]
    """From 0 upwards, the same at all frequencies, shape (n_radii,)."""
    power: NDArray[np.float64]
    """Shape (n_frequencies, n_radii); 1 on the axis."""

    @cached_property
    def _splines(self) -> list[CubicSpline]:
        # Over D sin θ / λ a pattern hardly changes along the band.
        sines = np.sin(self.radii_rad)
        return [CubicSpline(sines * hz, row) for hz, row in zip(self.frequencies_hz, self.power, strict=True)]

    def __call__(self, sin_theta: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
        """Power response; 0 beyond the largest radius, where nothing was measured.

        Between the frequencies it is interpolated at the same radius in wavelengths, and beyond them
        that of the nearest.
        """
        sine, hz = np.broadcast_arrays(np.abs(sin_theta), np.asarray(frequency_hz, np.float64))
        scaled = sine * hz
        rows = [np.where(scaled <= s.x[-1], np.maximum(s(scaled), 0.0), 0.0) for s in self._splines]
        if len(rows) == 1:
            return rows[0]
        place = np.interp(hz, self.frequencies_hz, np.arange(len(rows)))
        lower = np.minimum(place.astype(int), len(rows) - 2)
        stacked = np.stack(rows)
        low, high = (np.take_along_axis(stacked, (lower + k)[None], axis=0)[0] for k in (0, 1))
        return low + (place - lower) * (high - low)


@dataclass(frozen=True)
class Beam:
    """The array's beam: the pattern of a dish, wider or narrower, and where it points."""

    pattern: Pattern | None = None
    """As measured; None: Airy."""
    width: float = 1.0
    """Over that of the pattern."""
    east_deg: float = 0.0
    """How far east of the meridian point it points."""
    north_deg: float = 0.0

    @property
    def version(self) -> str:
        """Version of the pattern."""
        return AIRY if self.pattern is None else self.pattern.version

    def power(self, sin_theta: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
        """Power response at an angle from the beam's axis; as :func:`airy_power`."""
        shape = airy_power if self.pattern is None else self.pattern
        return shape(np.asarray(sin_theta) / self.width, frequency_hz)

    def axis(self, declination_rad: float) -> NDArray[np.float64]:
        """Where it points when sent to an apparent declination: unit vector, meridian frame."""
        cos, sin = np.cos(declination_rad), np.sin(declination_rad)
        axis = np.array([cos, 0.0, sin])
        axis = axis + np.tan(np.deg2rad(self.east_deg)) * np.array([0.0, 1.0, 0.0])
        axis += np.tan(np.deg2rad(self.north_deg)) * np.array([-sin, 0.0, cos])
        return axis / np.linalg.norm(axis)

    def drifting_power(
        self, directions: NDArray[np.float64], declination_rad: float, frequency_hz: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Power response towards moving directions through the beam on the meridian.

        Parameters
        ----------
        directions : ndarray, shape (..., 3)
            Unit vectors in the meridian frame.
        declination_rad : float
            Apparent declination of the pointing.
        frequency_hz : ndarray, shape (n_frequencies,)

        Returns
        -------
        ndarray, shape (..., n_frequencies)
            Zero for directions behind the dish.
        """
        axis = self.axis(declination_rad)
        # |s × p| keeps its precision near the axis, where 1 − (s·p)² does not.
        x, y, z = (directions[..., k] for k in range(3))
        across = (y * axis[2] - z * axis[1], z * axis[0] - x * axis[2], x * axis[1] - y * axis[0])
        sine = np.sqrt(across[0] ** 2 + across[1] ** 2 + across[2] ** 2)
        front = directions @ axis > 0
        return np.where(front[..., None], self.power(sine[..., None], frequency_hz), 0.0)

    def half_power_radius(self, frequency_hz: float) -> float:
        """Angle from the axis at which the power response is one half, rad."""
        if self.pattern is None:
            return half_power_radius(frequency_hz) * self.width
        radii = np.linspace(0.0, self.pattern.radii_rad[-1], 4001)
        below = self.pattern(np.sin(radii), frequency_hz) <= 0.5
        return float(radii[int(np.argmax(below))]) * self.width

    def as_json(self) -> dict[str, Any]:
        """As plain values, the pattern with it."""
        told: dict[str, Any] = {
            "version": self.version,
            "width": self.width,
            "east_deg": self.east_deg,
            "north_deg": self.north_deg,
        }
        if self.pattern is not None:
            told["pattern"] = {
                "frequencies_hz": self.pattern.frequencies_hz.tolist(),
                "radii_rad": self.pattern.radii_rad.tolist(),
                "power": self.pattern.power.tolist(),
            }
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Beam":
        """What :meth:`as_json` told."""
        pattern = None
        if "pattern" in told:
            arrays = {name: np.array(values, np.float64) for name, values in told["pattern"].items()}
            pattern = Pattern(version=str(told["version"]), **arrays)
        return cls(pattern, float(told["width"]), float(told["east_deg"]), float(told["north_deg"]))


#: What is taken for the beam where nothing is known of it.
ASSUMED = Beam()


def drifting_power(
    directions: NDArray[np.float64], declination_rad: float, frequency_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Power response of the assumed beam; see :meth:`Beam.drifting_power`."""
    return ASSUMED.drifting_power(directions, declination_rad, frequency_hz)


def half_power_radius(frequency_hz: float) -> float:
    """Angle from the axis at which the power response of the Airy pattern is one half, rad: 0.5145 λ/D."""
    return 0.5145 * SPEED_OF_LIGHT / frequency_hz / telescope.DISH_DIAMETER_M
