"""Which dish points where, how wide its beam is, and what its two feeds see."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent import aperture, geometry
from contimg_assets.simulation.independent.instrument import DISH_M, LIGHT_M_S
from contimg_assets.simulation.independent.options import BeamOptions
from contimg_assets.simulation.independent.threads import threads_for


@dataclass(frozen=True)
class Dishes:
    """The beams of all dishes, both feeds; antennas in the correlator's order."""

    table: NDArray[np.float64]
    east_deg: NDArray[np.float64]
    """Pointing offset, shape (n_antennas,); the same in every group of a night."""
    north_deg: NDArray[np.float64]
    """South of the zenith this is elevation, north of it its opposite."""
    width: NDArray[np.float64]
    """Factor of each beam's width, shape (n_antennas,)."""
    options: BeamOptions

    @property
    def alike(self) -> bool:
        """Whether all dishes have one beam."""
        return not (np.ptp(self.east_deg) or np.ptp(self.north_deg) or np.ptp(self.width))

    @property
    def feeds_alike(self) -> bool:
        """Whether both feeds have one beam."""
        return not (self.options.feed_ellipticity or self.options.feed_squint_deg)

    def beam_of(self) -> NDArray[np.int64]:
        """Index of each antenna's beam in what ``voltages`` returns."""
        n = len(self.width)
        return np.zeros(n, np.int64) if self.alike else np.arange(n)

    def voltages(
        self,
        feed: int,
        declination_rad: float,
        directions: NDArray[np.float64],
        frequencies_hz: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Voltage of every different beam of a feed, shape (n_beams, n_directions, n_frequencies).

        Parameters
        ----------
        feed : int
            0 X, 1 Y.
        declination_rad : float
            To which all dishes are sent.
        directions : ndarray, shape (n_directions, 3)
            Earth-fixed.
        frequencies_hz : ndarray, shape (n_frequencies,)

        Raises
        ------
        ValueError
            For a direction outside the table.
        """
        kept = slice(0, 1) if self.alike else slice(None)
        sign = 1.0 - 2.0 * feed
        east = np.deg2rad(self.east_deg[kept] + sign * self.options.feed_squint_deg / 2)
        north = np.deg2rad(self.north_deg[kept])
        nominal = geometry.pointing_axes(declination_rad)
        axes = np.stack([_turned(nominal, e, n) for e, n in zip(east, north, strict=True)])
        stretch = sign * self.options.feed_ellipticity / 2
        width = self.width[kept, None] * np.array([1.0 + stretch, 1.0 - stretch])
        frequencies_hz = np.asarray(frequencies_hz, dtype=np.float64)
        # A look-up is sixteen steps.
        with threads_for(16 * len(axes) * len(directions) * len(frequencies_hz)):
            found = aperture.voltages(
                self.table,
                axes,
                DISH_M / LIGHT_M_S / width,
                np.ascontiguousarray(directions),
                frequencies_hz,
            )
        if np.isnan(found).any():
            raise ValueError(f"a source is farther than D l / λ = {aperture.TABLE_REACH} from the axis")
        return found


def _turned(axes: NDArray[np.float64], east: float, north: float) -> NDArray[np.float64]:
    """Axes of a dish whose axis lies east and north (rad) of where it was sent."""
    axis = axes[2] + np.tan(east) * axes[0] + np.tan(north) * axes[1]
    axis /= np.linalg.norm(axis)
    first = axes[0] - (axes[0] @ axis) * axis
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(axis, first), axis])


def draw_dishes(n_antennas: int, options: BeamOptions, seed: int) -> Dishes:
    """The dishes of one night."""
    rng = np.random.default_rng([seed, 1])
    return Dishes(
        aperture.voltage_table(options.aperture),
        options.pointing_rms_deg * rng.standard_normal(n_antennas),
        options.pointing_rms_deg * rng.standard_normal(n_antennas),
        options.width_factor * (1.0 + options.width_scatter * rng.standard_normal(n_antennas)),
        options,
    )
