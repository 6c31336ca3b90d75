"""The sources that are seen wherever the telescope looks: the Sun, Cas A, Cyg A, Tau A, Vir A.

Through a dish's far sidelobes the Sun has some 150 Jy on the shortest baselines, and Cas A, 4° from a strip,
30 Jy.  No survey has them, and nothing cleans them, so they are known by their place.

Belongs here: where they are, and how bright they may appear.  Does not belong here: what they did to an image
(``quality/``), or the primary beam within which sources are modelled (``beam.py``).
"""

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import HADec, get_sun
from astropy.time import Time
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.sky import perley_butler

#: ICRS positions, deg: Cas A and Tau A of their remnants' middles, Cyg A and Vir A of their nuclei (SIMBAD).
_PLACES_DEG = {
    "CasA": (350.850, 58.815),
    "CygA": (299.868, 40.734),
    "TauA": (83.633, 22.014),
    "VirA": (187.706, 12.391),
}
#: Of the Sun at 1.4 GHz: 50 solar flux units (10⁴ Jy) when it is quiet, more than 100 when active.
_SUN_JY = 7e5
#: A source is named from this apparent flux density on: some noise of a visibility, averaged over a group.
NAMED_JY = 1.0
#: The horizon hides what is below it.
_HORIZON_DEG = 0.0


@dataclass(frozen=True)
class StrongSource:
    """One of them, as it may appear in a group."""

    name: str
    separation_deg: float
    """From the pointing."""
    elevation_deg: float
    flux_jy: float
    """On the sky, at the frequency asked for."""
    apparent_jy: float
    """Through the dishes' sidelobes, on baselines that do not resolve it: an order of magnitude."""

    @property
    def text(self) -> str:
        """In a few words."""
        return f"{self.name} {self.separation_deg:.1f} deg away, about {self.apparent_jy:.0f} Jy in sidelobes"


def strong_sources(
    mjd: float, declination_rad: float, frequency_hz: float, least_jy: float = NAMED_JY
) -> list[StrongSource]:
    """Strong sources above the horizon that a pointing on the meridian may show, the brightest first.

    Parameters
    ----------
    mjd : float
        UTC.
    declination_rad : float
        Apparent declination of the pointing.
    frequency_hz : float
    least_jy : float
        Apparent flux density from which a source is named.
    """
    names = ["Sun", *_PLACES_DEG]
    places = np.deg2rad(list(_PLACES_DEG.values()))
    flux = [_SUN_JY, *(float(perley_butler(name, frequency_hz)) for name in _PLACES_DEG)]
    fixed = phasing.apparent_vectors([mjd + phasing.JD_OF_MJD_0], *places.T)[0]
    directions = np.concatenate([_sun(mjd)[None], fixed])
    away = np.arccos(np.clip(directions @ phasing.pointing_vector(declination_rad), -1, 1))
    zenith = phasing.pointing_vector(telescope.SITE_LATITUDE_RAD)
    elevation = np.rad2deg(np.arcsin(np.clip(directions @ zenith, -1, 1)))
    apparent = np.array(flux) * sidelobe_level(away, frequency_hz)
    found = [
        StrongSource(name, float(np.rad2deg(away[k])), float(elevation[k]), flux[k], float(apparent[k]))
        for k, name in enumerate(names)
        if elevation[k] > _HORIZON_DEG and apparent[k] >= least_jy
    ]
    return sorted(found, key=lambda one: -one.apparent_jy)


def _sun(mjd: float) -> NDArray[np.float64]:
    """Direction of the Sun in the meridian frame, shape (3,).

    Not by way of ICRS, whose origin it is next to.
    """
    when = Time(mjd, format="mjd", scale="utc", location=telescope.site())
    seen = get_sun(when).transform_to(HADec(obstime=when, location=telescope.site()))
    ha, dec = seen.ha.rad, seen.dec.rad
    return np.array([np.cos(dec) * np.cos(ha), -np.cos(dec) * np.sin(ha), np.sin(dec)])


def sidelobe_level(away_rad: NDArray[np.float64], frequency_hz: float) -> NDArray[np.float64]:
    """Power that a dish may have towards a direction, over that of its axis.

    The Airy pattern's main lobe, then the envelope of its sidelobes, 8 / (π x³), since where their nulls are
    is not known, but no less than a dish without preference would have, (λ / πD)².

    Parameters
    ----------
    away_rad : ndarray
        Angles from the axis.
    frequency_hz : float
    """
    scale = np.pi * telescope.DISH_DIAMETER_M * frequency_hz / SPEED_OF_LIGHT
    x = scale * np.sin(np.minimum(np.abs(away_rad), np.pi / 2))
    envelope = 8.0 / (np.pi * np.maximum(x, 1.0) ** 3)
    main = beam.airy_power(np.sin(away_rad), frequency_hz)
    # Before the first sidelobe's peak the envelope is above the pattern.
    level = np.where(x < 3.0, main, np.maximum(main, envelope))
    return np.maximum(level, scale**-2.0)
