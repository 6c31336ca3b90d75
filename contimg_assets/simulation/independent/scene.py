"""What a group has in common: what is observed, and all that is drawn and computed once."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.simulation.independent import (
    dishes,
    faults,
    gains,
    geometry,
    glitches,
    instrument,
    interference,
    visibilities,
)
from contimg_assets.simulation.independent.options import Fault, Glitch, Options
from contimg_assets.simulation.independent.sky import Source, fluxes, points

_SECONDS = 86400.0


@dataclass(frozen=True)
class Observation:
    """What to simulate."""

    size: instrument.Size
    start: Time
    """Of the first integration, UTC."""
    declination_rad: float
    """Apparent, of the pointing."""
    sources: list[Source]
    options: Options
    seed: int = 1
    """Of noise, faults, interference and stamps."""
    night_seed: int = 1
    """Of dishes, receivers and ionosphere: one for all groups of a night."""
    night_start_jd: float | None = None
    """Where the gains' walk starts; None: at the group's start."""
    delays_changed: bool = False
    """Whether the applied delays are those after the change."""

    @property
    def times_jd(self) -> NDArray[np.float64]:
        """Middles of the integrations, UTC."""
        seconds = (np.arange(self.size.n_integrations) + 0.5) * instrument.INTEGRATION_S
        return np.asarray(float(self.start.utc.jd) + seconds / _SECONDS, dtype=np.float64)

    @property
    def key(self) -> str:
        """Key of the group: its start to the nearest second."""
        return (self.start.utc.to_datetime() + timedelta(seconds=0.5)).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class Scene:
    """All that is drawn and computed once for a group; antennas in the correlator's order."""

    observation: Observation
    times_jd: NDArray[np.float64]
    antennas: NDArray[np.int64]
    """Station numbers less one."""
    one: NDArray[np.int64]
    """Index of each baseline's first antenna."""
    two: NDArray[np.int64]
    array: visibilities.Array
    rows: visibilities.Rows
    mean_apparent_jy: NDArray[np.float64]
    receivers: gains.Gains
    walk: NDArray[np.complex128]
    """Shape (n_integrations, n_antennas, 2)."""
    shift_arcsec: NDArray[np.float64]
    """The ionosphere's, shape (n_integrations, 2)."""
    faults: list[Fault]
    emitters: list[interference.Emitter]
    glitches: list[Glitch]

    @property
    def names(self) -> list[str]:
        """Antenna names."""
        return [str(a + 1) for a in self.antennas]

    @property
    def one_feed_does(self) -> bool:
        """Whether both feeds see the same sky."""
        polarised = any(s.polarisation for s in self.observation.sources)
        return self.array.dishes.feeds_alike and not polarised


def prepare(observation: Observation) -> Scene:
    """Draw and compute what a group has in common.

    Raises
    ------
    ValueError
        If the options ask for more than there is (faults, glitches), or for
        a sky wider than the beam's table.
    """
    options, size, times = observation.options, observation.size, observation.times_jd
    antennas = instrument.correlator_order(size)
    nominal = instrument.station_positions()[antennas] - instrument.site_position()
    receivers = gains.draw_gains(len(antennas), options.gains, observation.night_seed)
    array = visibilities.Array(
        nominal + receivers.position_error_m,
        nominal,
        dishes.draw_dishes(len(antennas), options.beam, observation.night_seed),
        options.atmosphere.refractivity,
    )
    two, one = np.tril_indices(len(antennas))
    longest = float(np.linalg.norm(nominal[one] - nominal[two], axis=1).max())
    mean, largest = apparent_flux(observation.sources, array, times, observation.declination_rad)
    made_of = points(observation.sources, longest)
    begin = float(times[0]) if observation.night_start_jd is None else observation.night_start_jd
    seconds = (times - begin) * _SECONDS
    rng = np.random.default_rng([observation.seed, 7])
    names = [str(a + 1) for a in antennas]
    n_times, n_band = len(times), instrument.N_SUBBANDS * size.n_channels
    return Scene(
        observation,
        times,
        antennas,
        one,
        two,
        array,
        visibilities.rows(
            made_of,
            largest[made_of.source] * made_of.part,
            times,
            observation.declination_rad,
            longest,
            options.tolerance_jy if options.smearing else None,
        ),
        mean,
        receivers,
        receivers.walk(seconds),
        gains.ionosphere_shift(seconds, options.atmosphere, observation.night_seed),
        faults.draw_faults(options.faults, names, n_times, rng),
        interference.draw_emitters(options.interference, antennas + 1, nominal, n_times, n_band, rng),
        glitches.draw_glitches(options.glitches, n_times, rng),
    )


def apparent_flux(
    sources: list[Source], array: visibilities.Array, times_jd: NDArray[np.float64], declination_rad: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flux densities through the true beams: mean over pairs of different antennas, feeds and band.

    Returns
    -------
    mean, largest : ndarray, shape (n_sources,)
        Over the integrations, Jy.
    """
    if not sources:
        return np.zeros(0), np.zeros(0)
    ends = instrument.CENTRE_HZ + np.array([-0.5, 0.5]) * 187.5e6
    node, weight = np.polynomial.legendre.leggauss(3)
    frequency = ends.mean() + node * np.ptp(ends) / 2
    ra, dec = (np.deg2rad([getattr(s, k) for s in sources]) for k in ("ra_deg", "dec_deg"))
    flux = fluxes(sources, frequency)
    found = []
    for where in geometry.directions(times_jd, np.zeros(1), ra, dec)[:, 0]:
        seen = geometry.lifted(where, array.refractivity) if array.refractivity else where
        power = np.mean(
            [_pair_mean(array, feed, declination_rad, seen, frequency) for feed in (0, 1)], axis=0
        )
        found.append((power * flux) @ weight / 2)
    return np.mean(found, axis=0), np.max(found, axis=0)


def _pair_mean(
    array: visibilities.Array,
    feed: int,
    declination_rad: float,
    seen: NDArray[np.float64],
    frequency_hz: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean of E_a E_b over pairs, shape (n_sources, n_frequencies)."""
    voltage = array.dishes.voltages(feed, declination_rad, seen, frequency_hz)
    n = len(voltage)
    if n == 1:
        return voltage[0] ** 2
    return (voltage.sum(axis=0) ** 2 - (voltage**2).sum(axis=0)) / (n * (n - 1))
