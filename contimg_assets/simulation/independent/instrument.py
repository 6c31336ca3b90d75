"""The instrument as the simulator knows it: its own numbers, and two tables read as data.

Belongs here: what the telescope *is*.  What goes wrong stands in ``options.py``.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import erfa
import numpy as np
from numpy.typing import NDArray

#: Speed of light, m/s (by definition).
LIGHT_M_S = 299792458.0
#: Reference point: latitude and east longitude (rad), height above WGS84 (m); CASA's ``OVRO_MMA``.
LATITUDE_RAD, LONGITUDE_RAD, HEIGHT_M = 0.6498455107238486, -2.064427799136453, 1188.0519
#: Height of stations whose own is not in the table, m.
STATION_HEIGHT_M = 1182.6
#: Diameter of a dish, m.
DISH_M = 4.65
#: System-equivalent flux density of an antenna and feed, Jy.
SEFD_JY = 6500.0
#: Integration, s, and correlator samples in it.
INTEGRATION_S, SAMPLES = 12.884901888, 96
N_SUBBANDS = 16
#: Correlator channels of a subband; their width, Hz; frequency of channel 0, Hz; first channel of subband 0.
_FINE_CHANNELS, _FINE_HZ, _TOP_HZ, _FIRST = 384, 250e6 / 8192, 1.53e9, 1024
#: Centre of the band, Hz.
CENTRE_HZ = 1.405e9
#: Rotation of the Earth, rad per second of UT1.
EARTH_ROTATION_RAD_S = 7.292115e-5
#: Seed of the correlator's antenna order, the same in every group.
_ORDER_SEED = 96
#: Last stations of the east–west and of the north–south arm; the rest are outriggers.
LAST_OF_EAST_WEST, LAST_OF_NORTH_SOUTH = 51, 102


@dataclass(frozen=True)
class Size:
    """How much of the instrument a simulation has."""

    stations: tuple[int, ...]
    """Station numbers, from 1."""
    n_integrations: int
    n_channels: int
    """Channels a subband; fewer than 48 are wider ones."""


_IDLE = {10, 21, 22, 23, *range(52, 68), 117}
_ACTIVE = tuple(s for s in range(1, 118) if s not in _IDLE)
SIZES = {
    "tiny": Size(
        (1, 2, 4, 8, 13, 18, 24, 26, 30, 36, 43, 47, 51, 69, 72, 76, 81, 86, 91, 96, 99, 102, 103, 104), 6, 4
    ),
    "demo": Size(tuple(s for s in _ACTIVE if (s <= 104 and s % 2 == 1) or s in (2, 50, 68, 102, 104)), 12, 8),
    "full": Size(_ACTIVE, 24, 48),
}


@cache
def station_positions() -> NDArray[np.float64]:
    """ECEF of all stations, m, shape (117, 3); row = station number − 1.

    The table is the pipeline's (``radio/stations.csv``), read as data: columns station,
    latitude and longitude (deg, WGS84), height (m, may be empty).
    """
    text = (resources.files("contimg_assets") / "radio" / "stations.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    height = [float(r["height_m"] or STATION_HEIGHT_M) for r in rows]
    longitude, latitude = (np.deg2rad([float(r[k]) for r in rows]) for k in ("longitude_deg", "latitude_deg"))
    return np.asarray(erfa.gd2gc(1, longitude, latitude, height), dtype=np.float64)


def site_position() -> NDArray[np.float64]:
    """ECEF of the reference point, m, shape (3,)."""
    return np.asarray(erfa.gd2gc(1, LONGITUDE_RAD, LATITUDE_RAD, HEIGHT_M), dtype=np.float64)


def correlator_order(size: Size) -> NDArray[np.int64]:
    """Antenna numbers (station − 1) in the correlator's order, which is not sorted."""
    antennas = np.array(size.stations, dtype=np.int64) - 1
    return np.random.default_rng(_ORDER_SEED).permutation(antennas)


def subband_hz(subband: int, n_channels: int) -> NDArray[np.float64]:
    """Channel centres of a subband as its file has them: falling, Hz, shape (n_channels,)."""
    wide = _FINE_CHANNELS // n_channels
    fine = _FIRST + _FINE_CHANNELS * subband + np.arange(_FINE_CHANNELS, dtype=np.float64)
    return _TOP_HZ - _FINE_HZ * fine.reshape(n_channels, wide).mean(axis=1)


def channel_width_hz(n_channels: int) -> float:
    """Width of a channel, Hz."""
    return _FINE_HZ * _FINE_CHANNELS / n_channels


def noise_jy(n_channels: int) -> float:
    """Noise of a visibility's real or imaginary part: SEFD / √(2 Δν τ), Jy."""
    return SEFD_JY / float(np.sqrt(2.0 * channel_width_hz(n_channels) * INTEGRATION_S))


def image_noise_jy(size: Size) -> float:
    """Thermal noise of a natural image of everything: SEFD / √(2 N (N−1) Δν t), Jy/beam."""
    n = len(size.stations)
    seconds = size.n_integrations * INTEGRATION_S
    band = N_SUBBANDS * _FINE_CHANNELS * _FINE_HZ
    return SEFD_JY / float(np.sqrt(2.0 * n * (n - 1) * band * seconds))
