"""The instrument: every constant of the DSA-110 that the project uses, once.

Belongs here: numbers that describe the telescope, its correlator and its files,
each with unit and origin.  Does not belong here: settings (``settings.py``) or
limits on quality (``radio/limits.toml``).
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

# Who only wants a constant need not wait for astropy.
if TYPE_CHECKING:
    from astropy.coordinates import EarthLocation

#: Name that Measurement Sets carry (the files say ``OVRO_MMA``, the site's name).
TELESCOPE_NAME = "DSA_110"
#: Name of the site in CASA's observatory table and in the files.
SITE_NAME = "OVRO_MMA"
#: Geodetic latitude of the array's reference point, rad (CASA ``OVRO_MMA``).
SITE_LATITUDE_RAD = 0.6498455107238486
#: East longitude of the array's reference point, rad (CASA ``OVRO_MMA``).
SITE_LONGITUDE_RAD = -2.064427799136453
#: Height of the reference point above WGS84, m (CASA ``OVRO_MMA``).
SITE_HEIGHT_M = 1188.0519

#: Height of a station whose height was not surveyed, m.
STATION_HEIGHT_M = 1182.6
#: Dish diameter, m.
DISH_DIAMETER_M = 4.65
#: System-equivalent flux density of one antenna and polarisation, Jy.
SEFD_JY = 6500.0
#: Antennas that a typical observation correlates; the other stations are inactive.
N_ACTIVE_ANTENNAS = 96
#: Stations without an active antenna in a typical observation.
INACTIVE_STATIONS = (10, 21, 22, 23, *range(52, 68), 117)

#: Correlator: channels over the digitised band, before averaging.
CORRELATOR_CHANNELS = 8192
#: Digitised bandwidth, Hz.
CORRELATOR_BANDWIDTH_HZ = 250e6
#: Sky frequency of correlator channel 0, Hz; frequency falls with channel number.
CORRELATOR_TOP_HZ = 1.53e9
#: Correlator channel at which subband 0 starts.
FIRST_CORRELATOR_CHANNEL = 1024
#: Correlator channels in one subband.
SUBBAND_CORRELATOR_CHANNELS = 384
#: Subbands in an observation group.
N_SUBBANDS = 16
#: Channels a subband has in its file, after averaging eight correlator channels.
SUBBAND_CHANNELS = 48
#: Width of a subband, Hz.
SUBBAND_BANDWIDTH_HZ = SUBBAND_CORRELATOR_CHANNELS * CORRELATOR_BANDWIDTH_HZ / CORRELATOR_CHANNELS
#: Rotation of the Earth, rad per second of UT1 (IERS).
EARTH_ROTATION_RAD_S = 7.292115e-5
#: Integration time, s (96 × 0.134217728 s).
INTEGRATION_S = 12.884901888
#: Integrations in a full file.
N_INTEGRATIONS = 24
#: Length of a full group, s.
GROUP_S = N_INTEGRATIONS * INTEGRATION_S
#: Correlator samples in one integration: the value of ``nsamples`` for good data.
SAMPLES_PER_INTEGRATION = 96
#: Fewest subbands with which a group is processed.
MIN_SUBBANDS = 12

#: A group's usual pointing declinations, deg.
USUAL_DECLINATIONS_DEG = (16.27, 33.0, 43.5, 50.5, 54.57, 65.7, 71.6)


def site() -> "EarthLocation":
    """Reference point of the array as an astropy location (WGS84)."""
    from astropy.coordinates import EarthLocation

    return EarthLocation.from_geodetic(
        lon=np.rad2deg(SITE_LONGITUDE_RAD), lat=np.rad2deg(SITE_LATITUDE_RAD), height=SITE_HEIGHT_M
    )


def site_ecef() -> NDArray[np.float64]:
    """Reference point of the array, ECEF, shape (3,), m."""
    location = site()
    return np.array([location.x.to_value("m"), location.y.to_value("m"), location.z.to_value("m")])


@dataclass(frozen=True)
class Stations:
    """The station table: names ``1``…``117`` and positions relative to the site."""

    names: tuple[str, ...]
    """Station names as antennas carry them; name = zero-based number + 1."""
    positions: NDArray[np.float64]
    """ECEF(station) − ECEF(site), shape (117, 3), m, not rotated."""

    @property
    def active(self) -> NDArray[np.int64]:
        """Zero-based numbers of the stations active in a typical observation."""
        inactive = {str(s) for s in INACTIVE_STATIONS}
        return np.array([i for i, name in enumerate(self.names) if name not in inactive])


@lru_cache(maxsize=1)
def stations() -> Stations:
    """Read the station table that the package carries.

    Returns
    -------
    Stations
        All 117 stations, in order of number.
    """
    from astropy.coordinates import EarthLocation

    path = resources.files("contimg_assets.radio") / "stations.csv"
    with path.open() as handle:
        table = np.genfromtxt(handle, delimiter=",", skip_header=1, dtype=np.float64)
    height = np.where(np.isnan(table[:, 3]), STATION_HEIGHT_M, table[:, 3])
    location = EarthLocation.from_geodetic(lon=table[:, 2], lat=table[:, 1], height=height)
    ecef = np.stack([location.x.to_value("m"), location.y.to_value("m"), location.z.to_value("m")], axis=1)
    return Stations(tuple(str(int(n)) for n in table[:, 0]), ecef - site_ecef())


def antenna_index(name: str, names: list[str]) -> int:
    """Zero-based index of an antenna given by name.

    Antenna *names* count from 1, indices and CASA ids from 0; this is the one
    place where the one becomes the other.

    Raises
    ------
    KeyError
        If no antenna has that name.
    """
    if name not in names:
        raise KeyError(f"no antenna is named {name!r}; there are {', '.join(names)}")
    return names.index(name)


def subband_frequencies(subband: int, n_channels: int = SUBBAND_CHANNELS) -> NDArray[np.float64]:
    """Channel frequencies of one subband in the order of its file (descending).

    Parameters
    ----------
    subband : int
        0…15; subband 0 is the highest in frequency.
    n_channels : int
        Channels in the file: 48 at the telescope, fewer in small simulations
        (which then average more correlator channels into one).

    Returns
    -------
    ndarray, shape (n_channels,)
        Channel centres in Hz.
    """
    spacing = CORRELATOR_BANDWIDTH_HZ / CORRELATOR_CHANNELS
    average = SUBBAND_CORRELATOR_CHANNELS / n_channels
    first = FIRST_CORRELATOR_CHANNEL + SUBBAND_CORRELATOR_CHANNELS * subband
    centre = first + average * np.arange(n_channels) + (average - 1) / 2
    return np.asarray(CORRELATOR_TOP_HZ - centre * spacing, dtype=np.float64)


def band_frequencies(n_channels: int = SUBBAND_CHANNELS) -> NDArray[np.float64]:
    """All channel frequencies of a group, ascending, shape (16 × n_channels,), Hz."""
    return np.sort(np.concatenate([subband_frequencies(k, n_channels) for k in range(N_SUBBANDS)]))


def visibility_sigma_jy(channel_width_hz: float, integration_s: float) -> float:
    """Noise of one visibility's real (or imaginary) part, Jy: SEFD / √(2 Δν τ)."""
    return SEFD_JY / np.sqrt(2.0 * channel_width_hz * integration_s)
