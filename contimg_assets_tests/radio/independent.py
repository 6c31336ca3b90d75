"""The same physics by other means: ERFA for directions, scipy for the beam, textbook projections."""

import erfa
import numpy as np
from astropy import units as u
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import NDArray
from scipy.special import j1

from contimg_assets.radio import telescope
from contimg_assets.radio.sky import Source

LIGHT = 299792458.0

Array = NDArray[np.float64]


def erfa_hadec(times_jd: Array, ra_rad: Array, dec_rad: Array) -> tuple[Array, Array]:
    """Topocentric hour angle and declination by ERFA alone, each of shape (n_times, n_sources)."""
    table = iers.earth_orientation_table.get()
    found = []
    for jd in times_jd:
        time = Time(jd, format="jd", scale="utc")
        xp, yp = (float(value.to_value(u.rad)) for value in table.pm_xy(time))
        _, _, ha, dec, _, _ = erfa.atco13(
            ra_rad,
            dec_rad,
            *(0.0, 0.0, 0.0, 0.0),  # no proper motion, no parallax, no radial velocity
            time.jd1,
            time.jd2,
            float(table.ut1_utc(time).to_value(u.s)),
            telescope.SITE_LONGITUDE_RAD,
            telescope.SITE_LATITUDE_RAD,
            telescope.SITE_HEIGHT_M,
            xp,
            yp,
            *(0.0, 0.0, 0.0, 0.0),  # no air, no refraction
        )
        found.append((ha, dec))
    ha, dec = np.moveaxis(np.array(found), 1, 0)
    return ha, dec


def erfa_vectors(times_jd: Array, ra_rad: Array, dec_rad: Array) -> Array:
    """Unit vectors (meridian, east, pole) by ERFA alone, shape (n_times, n_sources, 3)."""
    ha, dec = erfa_hadec(times_jd, ra_rad, dec_rad)
    return np.stack([np.cos(dec) * np.cos(ha), -np.cos(dec) * np.sin(ha), np.sin(dec)], axis=-1)


def gcrs_w(times_jd: Array, ra_rad: Array, dec_rad: Array, baselines_ecef: Array) -> Array:
    """w = baseline · proper direction, both in GCRS axes, of shape (n_times, n_sources, n_baselines), m.

    The baseline goes from ITRS to GCRS by one matrix; the direction is bent by the Sun and aberrated by the
    barycentric velocity of the site (annual and diurnal), and never becomes an hour angle.
    """
    table = iers.earth_orientation_table.get()
    place = [np.cos(dec_rad) * np.cos(ra_rad), np.cos(dec_rad) * np.sin(ra_rad), np.sin(dec_rad)]
    found = []
    for jd in times_jd:
        time = Time(jd, format="jd", scale="utc")
        xp, yp = (float(value.to_value(u.rad)) for value in table.pm_xy(time))
        dut1 = float(table.ut1_utc(time).to_value(u.s))
        site = (telescope.SITE_LONGITUDE_RAD, telescope.SITE_LATITUDE_RAD, telescope.SITE_HEIGHT_M)
        astrom, _ = erfa.apco13(time.jd1, time.jd2, dut1, *site, xp, yp, 0.0, 0.0, 0.0, 0.0)
        natural = erfa.ldsun(np.stack(place, axis=-1), astrom["eh"], astrom["em"])
        proper = erfa.ab(natural, astrom["v"], astrom["em"], astrom["bm1"])
        ut1, tt = time.ut1, time.tt
        to_itrs = erfa.c2t06a(tt.jd1, tt.jd2, ut1.jd1, ut1.jd2, xp, yp)
        found.append(proper @ to_itrs.T @ baselines_ecef.T)
    return np.array(found)


def airy(theta_rad: Array, frequency_hz: Array) -> Array:
    """Power of a uniform 4.65 m dish at an angle (not zero) from its axis."""
    x = np.pi * 4.65 * np.sin(theta_rad) * frequency_hz / LIGHT
    return (2 * j1(x) / x) ** 2


def apparent_flux(times_jd: Array, declination_rad: float, source: Source, frequency_hz: Array) -> Array:
    """Flux density through the beam on the meridian, shape (n_times, n_channels), Jy."""
    ha, dec = erfa_hadec(times_jd, np.deg2rad([source.ra_deg]), np.deg2rad([source.dec_deg]))
    # Haversines: precise at small angles.
    half = (
        np.sin((dec - declination_rad) / 2) ** 2 + np.cos(dec) * np.cos(declination_rad) * np.sin(ha / 2) ** 2
    )
    theta = 2 * np.arcsin(np.sqrt(half))
    spectrum = source.flux_jy * (frequency_hz / 1.4e9) ** source.spectral_index
    return airy(theta, frequency_hz[None]) * spectrum


def direction_cosines(source: Source, centre: tuple[float, float]) -> tuple[float, float]:
    """ICRS l, m of a source about a centre (rad): the orthographic projection of textbooks."""
    ra, dec = np.deg2rad([source.ra_deg, source.dec_deg])
    ra0, dec0 = centre
    l = np.cos(dec) * np.sin(ra - ra0)
    m = np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)
    return float(l), float(m)
