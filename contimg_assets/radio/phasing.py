"""Where things are: topocentric directions, uvw axes, phases of re-phasing.

Everything here works in the *meridian frame*: x towards hour angle 0 on the
equator, y towards the east, z towards the pole, all true equator of date at
the array's reference point.  Directions come from astropy's ``HADec`` (with
precession, nutation, annual and diurnal aberration, polar motion; no
refraction, which a small array does not see).

Belongs here: geometry.  Does not belong here: files, visibilities.
"""

from importlib.metadata import version

import numpy as np
from astropy import units as u
from astropy.coordinates import HADec, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import ArrayLike, NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import MissingInputError

# No step may touch the network; the IERS tables are those of the installed package.
iers.conf.auto_download = False
iers.conf.auto_max_age = None

#: Julian date of Modified Julian Date 0.
JD_OF_MJD_0 = 2400000.5
#: Half-step on the sky of the numerical directions of north and east, rad.  Large
#: against rounding (1e-16), small against the curvature of aberration (relative 1e-9).
_STEP = 1e-4


def _time(times_jd: ArrayLike) -> Time:
    latest = float(np.max(times_jd, initial=JD_OF_MJD_0)) - JD_OF_MJD_0
    known = iers.earth_orientation_table.get()["MJD"][-1].to_value(u.d)
    if latest > known:
        # astropy would go on without UT1 and polar motion, arcseconds off.
        raise MissingInputError(
            f"astropy-iers-data {version('astropy-iers-data')}: the Earth's orientation is known "
            f"to MJD {known:.0f}; expected it for MJD {latest:.3f}: a newer release of that package has it"
        )
    return Time(np.asarray(times_jd, dtype=np.float64), format="jd", scale="utc", location=telescope.site())


def to_meridian_frame(ecef: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn ECEF vectors about the pole into the meridian frame of the site.

    Parameters
    ----------
    ecef : ndarray, shape (..., 3)
        Vectors, m.

    Returns
    -------
    ndarray, shape (..., 3)
    """
    cos, sin = np.cos(telescope.SITE_LONGITUDE_RAD), np.sin(telescope.SITE_LONGITUDE_RAD)
    rotation = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return ecef @ rotation.T


def pointing_vector(declination_rad: float) -> NDArray[np.float64]:
    """Unit vector of the meridian point of an apparent declination, shape (3,)."""
    return np.array([np.cos(declination_rad), 0.0, np.sin(declination_rad)])


def apparent_vectors(times_jd: ArrayLike, ra_rad: ArrayLike, dec_rad: ArrayLike) -> NDArray[np.float64]:
    """Topocentric apparent directions of ICRS positions.

    Parameters
    ----------
    times_jd : array_like, shape (n_times,)
        UTC Julian dates.
    ra_rad, dec_rad : array_like, shape (n_sources,)
        ICRS positions.

    Returns
    -------
    ndarray, shape (n_times, n_sources, 3)
        Unit vectors in the meridian frame.
    """
    coords = SkyCoord(np.atleast_1d(ra_rad) * u.rad, np.atleast_1d(dec_rad) * u.rad, frame="icrs")
    frame = HADec(obstime=_time(np.atleast_1d(times_jd))[:, None], location=telescope.site())
    hadec = coords[None, :].transform_to(frame)
    ha, dec = hadec.ha.rad, hadec.dec.rad
    return np.stack([np.cos(dec) * np.cos(ha), -np.cos(dec) * np.sin(ha), np.sin(dec)], axis=-1)


def meridian_centre(time_jd: float, declination_rad: float) -> tuple[float, float]:
    """ICRS position of the meridian point at an apparent declination.

    Parameters
    ----------
    time_jd : float
        UTC Julian date.
    declination_rad : float
        Apparent declination of the pointing.

    Returns
    -------
    ra_rad, dec_rad : float
        ICRS right ascension in [0, 2π) and declination.
    """
    frame = HADec(
        ha=0 * u.rad, dec=declination_rad * u.rad, obstime=_time(time_jd), location=telescope.site()
    )
    icrs = SkyCoord(frame).icrs
    return float(icrs.ra.rad), float(icrs.dec.rad)


def uvw_axes(times_jd: ArrayLike, ra_rad: float, dec_rad: float) -> NDArray[np.float64]:
    """Unit vectors of u, v and w for one ICRS centre at each time.

    w points to the centre's apparent place, v to ICRS north as seen there,
    u to the east.  Near the Sun the bending of light shears the sky, so that
    north and east are not at right angles (by 0.3″ at 13°); the axes are turned
    by the mean of both, which is what a field turns by.

    Parameters
    ----------
    times_jd : array_like, shape (n_times,)
        UTC Julian dates.
    ra_rad, dec_rad : float
        ICRS phase centre.

    Returns
    -------
    ndarray, shape (n_times, 3, 3)
        Rows u, v, w in the meridian frame; ``axes @ baseline`` is the uvw.
    """
    east = _STEP / np.cos(dec_rad)
    ra, dec = (
        ra_rad + np.array([0.0, 0.0, 0.0, east, -east]),
        dec_rad + np.array([0.0, _STEP, -_STEP, 0.0, 0.0]),
    )
    centre, north, south, east, west = np.moveaxis(apparent_vectors(times_jd, ra, dec), 1, 0)
    v = north - south + np.cross(centre, east - west)
    v -= np.sum(v * centre, axis=-1, keepdims=True) * centre
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    return np.stack([np.cross(v, centre), v, centre], axis=1)


def aberration_scale(time_jd: float, ra_rad: float, dec_rad: float) -> float:
    """Apparent size of a small ICRS field, as a ratio to its true size.

    Annual aberration shrinks or stretches a field by up to 1e-4 (0.5″ at 1.5°)
    without distorting it, since the map is conformal.  uvw that follow the
    centre's apparent place see the apparent field, so an image made with them
    has pixels that are larger (or smaller) on the ICRS sky by the inverse.

    Returns
    -------
    float
        Apparent separation / ICRS separation.
    """
    step = 5e-3
    offsets_dec = np.array([step, -step])
    vectors = apparent_vectors([time_jd], np.full(2, ra_rad), dec_rad + offsets_dec)[0]
    chord = np.linalg.norm(vectors[0] - vectors[1])
    return float(2.0 * np.arcsin(chord / 2.0) / (2.0 * step))


def sidereal_angle(time_jd: float) -> float:
    """Local apparent sidereal time of the site, rad in [0, 2π)."""
    return float(_time(time_jd).sidereal_time("apparent").rad)


def centre_name(ra_rad: float, dec_rad: float) -> str:
    """IAU-style name of a field, ``J123456+543412``."""
    coord = SkyCoord(ra_rad * u.rad, dec_rad * u.rad, frame="icrs")
    ra = coord.ra.to_string(unit=u.hourangle, sep="", precision=0, pad=True)
    dec = coord.dec.to_string(unit=u.deg, sep="", precision=0, pad=True, alwayssign=True)
    return f"J{ra}{dec}"


def declination_of_elevation(azimuth_rad: float, elevation_rad: float) -> float:
    """Declination of a point on the meridian, from azimuth (0 or π) and elevation, rad."""
    zenith_distance = np.pi / 2 - elevation_rad
    north = np.cos(azimuth_rad) > 0
    return float(telescope.SITE_LATITUDE_RAD + (zenith_distance if north else -zenith_distance))
