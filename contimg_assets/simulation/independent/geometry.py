"""Where sources are, by ERFA: Earth-fixed unit vectors, delays, the point that the correlator tracks.

All vectors are Earth-fixed (ECEF axes), m.  Belongs here: directions and the atmosphere's
part in them.  Does not belong here: beams, visibilities.
"""

from functools import cache

import astropy_iers_data
import erfa
import numpy as np
from astropy import units as u
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import NDArray

from contimg_assets.simulation.independent.instrument import (
    EARTH_ROTATION_RAD_S,
    HEIGHT_M,
    LATITUDE_RAD,
    LONGITUDE_RAD,
)

Vectors = NDArray[np.float64]
_SIN, _COS = np.sin, np.cos
#: Rows east, north, up of the reference point.
LOCAL_AXES: Vectors = np.array(
    [
        [-_SIN(LONGITUDE_RAD), _COS(LONGITUDE_RAD), 0.0],
        [
            -_SIN(LATITUDE_RAD) * _COS(LONGITUDE_RAD),
            -_SIN(LATITUDE_RAD) * _SIN(LONGITUDE_RAD),
            _COS(LATITUDE_RAD),
        ],
        [
            _COS(LATITUDE_RAD) * _COS(LONGITUDE_RAD),
            _COS(LATITUDE_RAD) * _SIN(LONGITUDE_RAD),
            _SIN(LATITUDE_RAD),
        ],
    ]
)


@cache
def _bulletins() -> iers.IERS_A:
    """The Earth's orientation, of the installed package; nothing is fetched."""
    return iers.IERS_A.open(astropy_iers_data.IERS_A_FILE)


def _context(time_jd: float, after_s: float) -> np.void:
    """ERFA's star-independent parameters of one moment, without air."""
    time = Time(time_jd, after_s / 86400.0, format="jd", scale="utc")
    table = _bulletins()
    dut1 = float(table.ut1_utc(time).to_value(u.s))
    xp, yp = (float(value.to_value(u.rad)) for value in table.pm_xy(time))
    astrom, _ = erfa.apco13(
        time.jd1, time.jd2, dut1, LONGITUDE_RAD, LATITUDE_RAD, HEIGHT_M, xp, yp, 0.0, 0.0, 0.0, 0.0
    )
    return astrom


def directions(
    times_jd: NDArray[np.float64], after_s: NDArray[np.float64], ra_rad: Vectors, dec_rad: Vectors
) -> Vectors:
    """Apparent places of ICRS positions: light bent, aberrated, of date, without refraction.

    Parameters
    ----------
    times_jd : ndarray, shape (n_times,)
        UTC.
    after_s : ndarray, shape (n_moments,)
        Each of the moments after each of the times, s.
    ra_rad, dec_rad : ndarray, shape (n_sources,)

    Returns
    -------
    ndarray, shape (n_times, n_moments, n_sources, 3)
        Earth-fixed unit vectors.
    """
    out = np.empty((len(times_jd), len(after_s), len(ra_rad), 3))
    for t, time in enumerate(times_jd):
        for m, after in enumerate(after_s):
            context = _context(float(time), float(after))
            azimuth, zenith, *_ = erfa.atioq(*erfa.atciqz(ra_rad, dec_rad, context), context)
            out[t, m] = _earth_fixed(azimuth, zenith)
    return out


def _earth_fixed(azimuth: Vectors, zenith: Vectors) -> Vectors:
    """From azimuth (north through east) and zenith distance at the reference point."""
    local = [np.sin(azimuth) * np.sin(zenith), np.cos(azimuth) * np.sin(zenith), np.cos(zenith)]
    return np.stack(local, axis=-1) @ LOCAL_AXES


def tracked(declination_rad: float, after_s: NDArray[np.float64]) -> Vectors:
    """The point whose fringes are stopped: on the meridian at an integration's middle, then with the sky.

    Parameters
    ----------
    declination_rad : float
        Apparent.
    after_s : ndarray, shape (n,)
        After the middle of the integration, s.

    Returns
    -------
    ndarray, shape (n, 3)
    """
    longitude = LONGITUDE_RAD - EARTH_ROTATION_RAD_S * np.asarray(after_s)
    cos = np.cos(declination_rad)
    z = np.full_like(longitude, np.sin(declination_rad))
    return np.stack([cos * np.cos(longitude), cos * np.sin(longitude), z], axis=-1)


def pointing_axes(declination_rad: float) -> Vectors:
    """Rows: east, north and the axis of a dish that points to the meridian at a declination."""
    axis = tracked(declination_rad, np.zeros(1))[0]
    east = LOCAL_AXES[0]
    return np.stack([east, np.cross(axis, east), axis])


def uvw_at_meridian(baselines_m: Vectors, declination_rad: float) -> Vectors:
    """uvw as the files have them: once, at hour angle 0, shape (n_baselines, 3), m."""
    return baselines_m @ pointing_axes(declination_rad).T


def meridian_icrs(time_jd: float, declination_rad: float) -> tuple[float, float]:
    """ICRS place (rad) of the point at hour angle 0 and an apparent declination."""
    east, north, up = LOCAL_AXES @ tracked(declination_rad, np.zeros(1))[0]
    context = _context(time_jd, 0.0)
    cirs = erfa.atoiq("A", np.arctan2(east, north), np.arccos(up), context)
    ra, dec = erfa.aticq(*cirs, context)
    return float(ra), float(dec)


def hour_angle(time_jd: float, ra_rad: float, dec_rad: float) -> float:
    """Apparent hour angle, rad within ±π."""
    x, y, _ = directions(np.array([time_jd]), np.zeros(1), np.array([ra_rad]), np.array([dec_rad]))[0, 0, 0]
    return float((LONGITUDE_RAD - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi)


def lifted(vectors: Vectors, refractivity: float) -> Vectors:
    """Directions as dishes see them: raised by (n − 1) cot(elevation), plane-parallel air.

    Parameters
    ----------
    vectors : ndarray, shape (..., 3)
    refractivity : float
        n − 1 at the ground.
    """
    up = LOCAL_AXES[2]
    sine = vectors @ up
    # Towards the zenith by R radians is s + R (up − s sin e) / cos e; with R = (n − 1) cos e / sin e:
    moved = vectors + refractivity * (up - vectors * sine[..., None]) / sine[..., None]
    return moved / np.linalg.norm(moved, axis=-1, keepdims=True)


def air_path(positions_m: Vectors, vectors: Vectors, refractivity: float) -> Vectors:
    """What air adds to ``position · direction``: (n − 1) h / sin(elevation), m.

    Horizontal components keep their phase (Snell); only heights matter.

    Parameters
    ----------
    positions_m : ndarray, shape (n_antennas, 3)
    vectors : ndarray, shape (..., 3)

    Returns
    -------
    ndarray, shape (n_antennas, ...)
    """
    up = LOCAL_AXES[2]
    return refractivity * np.multiply.outer(positions_m @ up, 1.0 / (vectors @ up))
