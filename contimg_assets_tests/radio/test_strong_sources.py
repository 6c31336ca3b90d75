"""Where the strongest sources are and how bright they may appear: against ERFA, and known cases."""

import erfa
import numpy as np
import pytest
from astropy.time import Time

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.beam import airy_power
from contimg_assets.radio.strong_sources import sidelobe_level, strong_sources

MHZ_1405 = 1.405e9
DAY = 60827.0  # 2025-06-01


def transit_of(ra_deg: float) -> float:
    """MJD within the day at which a right ascension is on the meridian, to a minute."""
    times = DAY + np.arange(0, 1, 1 / 2880)
    vectors = phasing.apparent_vectors(times + phasing.JD_OF_MJD_0, np.deg2rad(ra_deg), 0.0)[:, 0]
    hour_angle = np.arctan2(-vectors[:, 1], vectors[:, 0])
    return float(times[np.argmin(np.abs(hour_angle))])


def test_cas_a_beside_the_northern_strip() -> None:
    """At transit it is 4.2° from +54.57° and has some 28 Jy through the Airy pattern's first sidelobe."""
    found = strong_sources(transit_of(350.85), np.deg2rad(54.57), MHZ_1405)
    cas = next(one for one in found if one.name == "CasA")
    # Precession since 2000 takes it 0.14° north.
    assert cas.separation_deg == pytest.approx(4.24 + 0.14, abs=0.03)
    assert cas.flux_jy == pytest.approx(1770, rel=0.02)
    assert 25 < cas.apparent_jy < 40
    assert "CasA 4.4 deg" in cas.text


def test_the_sun_by_day_and_nobody_by_night() -> None:
    """Its place by ERFA's ephemeris, to an arcminute; below the horizon it is not there."""
    noon = DAY + 20 / 24
    found = {one.name: one for one in strong_sources(noon, np.deg2rad(54.57), MHZ_1405)}
    sun = found["Sun"]
    when = Time(noon, format="mjd", scale="utc")
    heliocentric, _ = erfa.epv00(when.tdb.jd1, when.tdb.jd2)
    towards = -np.asarray(heliocentric["p"])
    turned = erfa.pnm06a(when.tt.jd1, when.tt.jd2) @ (towards / np.linalg.norm(towards))
    declination = np.arcsin(turned[2])
    sidereal = when.sidereal_time("apparent", longitude=np.rad2deg(telescope.SITE_LONGITUDE_RAD)).rad
    hour_angle = sidereal - np.arctan2(turned[1], turned[0])
    away = np.arccos(
        np.sin(declination) * np.sin(np.deg2rad(54.57))
        + np.cos(declination) * np.cos(np.deg2rad(54.57)) * np.cos(hour_angle)
    )
    assert sun.separation_deg == pytest.approx(np.rad2deg(away), abs=1 / 60)
    assert 50 < sun.apparent_jy < 500
    midnight = strong_sources(DAY + 8 / 24, np.deg2rad(54.57), MHZ_1405)
    assert "Sun" not in {one.name for one in midnight}
    assert all(one.elevation_deg > 0 for one in midnight)


def test_the_level_of_sidelobes() -> None:
    """The pattern within the main lobe; never below it, nor below the level without direction."""
    away = np.deg2rad(np.linspace(0, 90, 400))
    level = sidelobe_level(away, MHZ_1405)
    pattern = airy_power(np.sin(away), MHZ_1405)
    inside = away < np.deg2rad(2.5)
    assert np.array_equal(level[inside], pattern[inside])
    assert np.all(level >= pattern)
    assert level[-1] == pytest.approx(2.1e-4, rel=0.1)
    assert np.all(np.diff(level[away > np.deg2rad(4)]) <= 0)
