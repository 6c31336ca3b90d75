"""uvw by casacore's measures: sidereal time, precession, nutation and annual aberration that are not ours.

Belongs here: what is asked of casacore's measures, to hold ``phasing`` against.
Nothing in the chain computes with it.
"""

import numpy as np
from astropy import units as u
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import ArrayLike, NDArray

from contimg_assets.radio import telescope

#: Rotation of the Earth, rad/s (IERS Conventions 2010), over the speed of light, m/s.
_ROTATION_PER_LIGHT = 7.292115e-5 / 299792458.0


def _unit_vector(measure: dict[str, dict[str, float]]) -> NDArray[np.float64]:
    longitude, latitude = measure["m0"]["value"], measure["m1"]["value"]
    return np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def _turned(vectors: NDArray[np.float64], rotation: ArrayLike) -> NDArray[np.float64]:
    """Vectors turned by a small rotation vector, rad (to its square, 3e-12 here)."""
    return vectors + np.cross(np.asarray(rotation), vectors)


def measures_uvw(
    times_s: NDArray[np.float64], baselines_ecef: NDArray[np.float64], ra_rad: float, dec_rad: float
) -> NDArray[np.float64]:
    """uvw about an ICRS centre.

    casacore's conversion of a baseline from ITRF to the equator of date has two
    terms wrong (``MeasMath.cc``, ``deapplyTOPOtoHADEC``): polar motion stays fixed
    to the equinox instead of turning with the Earth, and diurnal aberration goes
    to the zenith instead of the east.  Together they are up to 0.7″.  These two are
    done here and the rest is left to casacore.  UT1 and the pole are astropy's:
    casacore's tables end with the installed ``casadata``, and are zero from there on.

    Parameters
    ----------
    times_s : ndarray, shape (n_times,)
        MJD seconds, UTC.
    baselines_ecef : ndarray, shape (n_baselines, 3)
        ITRF, m.
    ra_rad, dec_rad : float

    Returns
    -------
    ndarray, shape (n_times, n_baselines, 3)
        m.
    """
    from casacore.measures import measures

    tool = measures()
    site = telescope.site_ecef()
    tool.do_frame(tool.position("itrf", *(f"{float(x)!r}m" for x in site)))
    centre = tool.direction("icrs", f"{float(ra_rad)!r}rad", f"{float(dec_rad)!r}rad")
    tool.do_frame(centre)
    w = _unit_vector(centre)
    east = np.array([-np.sin(ra_rad), np.cos(ra_rad), 0.0])
    uvw_axes = np.stack([east, np.cross(w, east), w])
    times = Time(np.asarray(times_s) / 86400.0, format="mjd", scale="utc")
    pole_x, pole_y = (x.to_value(u.rad) for x in iers.earth_orientation_table.get().pm_xy(times))
    out = np.empty((len(times_s), len(baselines_ecef), 3))
    for t, ut1 in enumerate(times.ut1.mjd):
        epoch = tool.epoch("ut1", f"{float(ut1)!r}d")
        tool.do_frame(epoch)
        angle = 2.0 * np.pi * (tool.measure(epoch, "gast")["m0"]["value"] % 1.0)
        cos, sin = np.cos(angle), np.sin(angle)
        sidereal = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        topocentric = _turned(baselines_ecef, [-pole_y[t], -pole_x[t], 0.0]) @ sidereal.T
        velocity = _ROTATION_PER_LIGHT * np.cross([0.0, 0.0, 1.0], sidereal @ site)
        apparent = _unit_vector(tool.measure(centre, "app"))
        # Turning the baseline back has the effect of turning the source towards the velocity.
        geocentric = _turned(topocentric, np.cross(velocity, apparent))
        axes = [tool.baseline("app", *(f"{x}m" for x in axis)) for axis in np.eye(3).tolist()]
        to_icrs = np.stack([_unit_vector(tool.measure(axis, "icrs")) for axis in axes], axis=1)
        out[t] = geocentric @ (uvw_axes @ to_icrs).T
    return out
