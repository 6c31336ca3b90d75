"""The geometry, held against ERFA, pyuvdata and plain arithmetic (casacore: ``test_measures``)."""

from pathlib import Path

import erfa
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import NDArray

from contimg_assets.radio import earth_orientation, phasing, telescope
from contimg_assets.radio.conversion import pyuvdata_writer as reference
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.uvh5 import read_header
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import PERFECT
from contimg_assets_tests.radio.independent import erfa_vectors, gcrs_w
from contimg_assets_tests.radio.skies import START, around, observe

#: All seasons, since aberration and precession change through the year.
TIMES_JD = np.array([2460676.61, 2460765.13, 2460857.87, 2460950.29, 2461050.42])
LONGEST_M = 2710.0


def positions(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ICRS positions all over the sky that the telescope sees."""
    rng = np.random.default_rng(7)
    return rng.uniform(0, 2 * np.pi, n), np.deg2rad(rng.uniform(-20, 88, n))


def longest_baselines() -> NDArray[np.float64]:
    """The five longest baselines of the array and one along each of its arms, ECEF."""
    stations = telescope.stations().positions
    baselines = stations[None] - stations[:, None]
    i, j = np.triu_indices(len(stations), 1)
    longest = np.argsort(-np.linalg.norm(baselines[i, j], axis=1))[:5]
    return np.concatenate([baselines[i[longest], j[longest]], [baselines[0, 50], baselines[51, 101]]])


def test_directions_agree_with_erfa_to_a_twentieth_of_a_millimetre_on_the_longest_baseline() -> None:
    """ICRS → hour angle, declination is what ERFA gives with the installed IERS values.

    0.05 mm of 2.7 km is 4 mas, 1/4000 of a turn at 1.5 GHz; a wrong model of precession,
    nutation, aberration or polar motion shows as 10 mas (polar motion) to 20″ (aberration).
    """
    ra, dec = positions(40)
    error = phasing.apparent_vectors(TIMES_JD, ra, dec) - erfa_vectors(TIMES_JD, ra, dec)
    assert np.abs(error).max() * LONGEST_M < 0.05e-3


@pytest.mark.parametrize("dec_deg", [-10.0, 16.27, 54.57, 71.6])
def test_uvw_agree_with_erfa_and_the_textbook_rotation(dec_deg: float) -> None:
    """u, v, w of real baselines are those of hour angle and declination by ERFA.

    The textbook matrix has v towards the pole of date; the axes are turned by the angle between that
    and ICRS north and east, which are taken here from positions 10″ away.
    0.05 mm for the reason above; the finite step gives 1e-9 of the baseline.
    """
    ra, dec, step = 5.5, np.deg2rad(dec_deg), np.deg2rad(10.0 / 3600)
    baselines = phasing.to_meridian_frame(longest_baselines())
    centre, north, south, east, west = np.moveaxis(
        erfa_vectors(
            TIMES_JD,
            ra + np.array([0.0, 0.0, 0.0, step, -step]) / np.cos(dec),
            dec + np.array([0.0, step, -step, 0.0, 0.0]),
        ),
        1,
        0,
    )
    ha, app = -np.arctan2(centre[:, 1], centre[:, 0]), np.arcsin(centre[:, 2])
    axes = phasing.uvw_axes(TIMES_JD, ra, dec)
    for t in range(len(TIMES_JD)):
        sin_h, cos_h, sin_d, cos_d = np.sin(ha[t]), np.cos(ha[t]), np.sin(app[t]), np.cos(app[t])
        # Thompson, Moran & Swenson, eq. 4.1, in (x, y, z) = (meridian, east, pole).
        textbook = np.array(
            [
                [sin_h, cos_h, 0.0],
                [-sin_d * cos_h, sin_d * sin_h, cos_d],
                [cos_d * cos_h, -cos_d * sin_h, sin_d],
            ]
        )
        up, left = textbook @ (north[t] - south[t]), textbook @ (east[t] - west[t])
        turn = (np.arctan2(up[0], up[1]) + np.arctan2(-left[1], left[0])) / 2
        rotation = np.array(
            [[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
        )
        expected = baselines @ (rotation @ textbook).T
        assert np.abs(baselines @ axes[t].T - expected).max() < 0.05e-3


@pytest.mark.parametrize("dec_deg", [-10.0, 16.27, 54.57, 71.6])
def test_uvw_are_the_delay_and_its_slopes_on_the_sky(dec_deg: float) -> None:
    """w is the delay to the centre; u and v times the aberration scale are its slopes to ICRS east and north.

    This is what uvw are for, computed in another frame (GCRS) by ERFA.  w to 0.05 mm; the slopes to 0.3 mm,
    since the Sun (40° away) stretches the sky a little as well, by 15 mas for each radian.
    """
    ra, dec, step = 4.0, np.deg2rad(dec_deg), 1e-4
    east, north = np.array([0.0, step, -step, 0.0, 0.0]) / np.cos(dec), np.array([0.0, 0.0, 0.0, step, -step])
    baselines = longest_baselines()
    delays = gcrs_w(TIMES_JD, ra + east, dec + north, baselines)
    ours = phasing.to_meridian_frame(baselines) @ np.moveaxis(phasing.uvw_axes(TIMES_JD, ra, dec), 1, 2)
    assert np.abs(ours[:, :, 2] - delays[:, 0]).max() < 0.05e-3
    scale = np.array([phasing.aberration_scale(float(jd), ra, dec) for jd in TIMES_JD])
    slopes = np.stack([delays[:, 1] - delays[:, 2], delays[:, 3] - delays[:, 4]], axis=-1) / (
        2 * np.sin(step)
    )
    assert np.abs(ours[:, :, :2] * scale[:, None, None] - slopes).max() < 0.3e-3


@pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning")
@pytest.mark.parametrize("dec_deg", [16.27, 54.57])
def test_w_agrees_with_pyuvdata_for_a_group_as_the_telescope_writes_it(
    tmp_path: Path, dec_deg: float
) -> None:
    """pyuvdata's own w about the new centre, which turned the data's phases, is our w to 0.05 mm.

    So phases (pyuvdata) and uvw (ours) of a Measurement Set belong together: 0.05 mm is 0.1° of phase.
    """
    simulate(observe(around(START, dec_deg, [(0.0, 0.0, 1.0)]), dec_deg, PERFECT), tmp_path)
    headers = {h.subband: h for h in map(read_header, tmp_path.glob("*_sb0[01].hdf5"))}
    first = headers[0]
    centre = phasing.meridian_centre(float(first.times_jd.mean()), np.deg2rad(dec_deg))
    uvd = reference._read(first.path)
    reference.set_drift(uvd, np.deg2rad(dec_deg))
    uvd.phase(ra=centre[0], dec=centre[1], cat_name="centre", phase_frame="icrs", cat_type="sidereal")
    ours = reference._exact_uvw(uvd, centre)
    assert np.abs(uvd.uvw_array[:, 2] - ours[:, 2]).max() < 0.05e-3
    # Only the direction of north differs between u, v of the two, by less than half an arc minute.
    assert np.abs(uvd.uvw_array - ours).max() < np.deg2rad(0.5 / 60) * LONGEST_M


def test_the_meridian_centre_transits_at_its_time() -> None:
    """Seen from the site, the ICRS centre is at hour angle 0 and at the pointing's declination.

    Directions of double precision hold 1e-15; the chain ICRS ↔ apparent is inverted to 1e-12 rad (0.2 µas).
    """
    for jd in TIMES_JD:
        for dec_deg in (16.27, 54.57, 71.6):
            centre = phasing.meridian_centre(float(jd), np.deg2rad(dec_deg))
            x, y, z = phasing.apparent_vectors([jd], *centre)[0, 0]
            assert np.arctan2(-y, x) == pytest.approx(0.0, abs=1e-12)
            assert np.arcsin(z) == pytest.approx(np.deg2rad(dec_deg), abs=1e-12)


def test_aberration_scale_is_that_of_separations_all_over_the_field() -> None:
    """Apparent over ICRS separations are the scale in every direction (aberration is conformal).

    Over 1.5° the scale itself changes by β·θ = 1e-4 · 0.026; 3e-6 of 1.5° is 0.016″.
    """
    for jd in TIMES_JD:
        for dec_deg in (16.27, 71.6):
            centre = phasing.meridian_centre(float(jd), np.deg2rad(dec_deg))
            scale = phasing.aberration_scale(float(jd), *centre)
            middle = SkyCoord(*centre, unit="rad", frame="icrs")
            angles = np.arange(0, 360, 30) * u.deg
            for radius in (0.3, 1.5) * u.deg:
                ring = middle.directional_offset_by(angles, radius)
                vectors = phasing.apparent_vectors([jd], ring.ra.rad, ring.dec.rad)[0]
                centre_vector = phasing.apparent_vectors([jd], *centre)[0, 0]
                apparent = 2 * np.arcsin(np.linalg.norm(vectors - centre_vector, axis=1) / 2)
                assert np.abs(apparent / radius.to_value(u.rad) / scale - 1).max() < 3e-6


def test_aberration_scale_is_one_less_the_speed_towards_the_field() -> None:
    """First-order theory: 1 − β·n, with ERFA's velocity of the Earth in units of c.

    2e-6 holds the diurnal part (1.2e-6 at this latitude), second order is 1e-8.
    """
    for jd in TIMES_JD:
        time = Time(jd, format="jd", scale="utc").tdb
        _, barycentric = erfa.epv00(time.jd1, time.jd2)
        beta = barycentric["v"] / 173.1446326846693  # au/day of light
        for dec_deg in (16.27, 54.57):
            ra, dec = phasing.meridian_centre(float(jd), np.deg2rad(dec_deg))
            towards = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
            assert phasing.aberration_scale(float(jd), ra, dec) == pytest.approx(1 - beta @ towards, abs=2e-6)


def test_azimuth_and_elevation_give_the_declination_back() -> None:
    """North and south of the zenith, POINTING's azimuth and elevation stand for one declination."""
    latitude = telescope.SITE_LATITUDE_RAD
    for declination in np.deg2rad([-10.0, 16.27, 37.0, 37.5, 54.57, 71.6]):
        azimuth = 0.0 if declination > latitude else np.pi
        elevation = np.pi / 2 - abs(latitude - declination)
        assert phasing.declination_of_elevation(azimuth, elevation) == pytest.approx(declination, abs=1e-12)


def test_the_sidereal_angle_is_the_right_ascension_on_the_meridian() -> None:
    """A centre's apparent right ascension is the sidereal time: its ICRS one differs by precession only.

    26 years of precession, nutation and aberration are at most 0.6° of right ascension at these declinations.
    """
    for jd in TIMES_JD:
        ra, _ = phasing.meridian_centre(float(jd), np.deg2rad(16.27))
        difference = np.angle(np.exp(1j * (ra - phasing.sidereal_angle(float(jd)))))
        assert abs(np.rad2deg(difference)) < 0.6


def test_a_field_is_named_after_its_position() -> None:
    """IAU style: hours, minutes, seconds and signed degrees, minutes, seconds."""
    coordinate = SkyCoord("22h53m57.6s", "+16d08m53.2s", frame="icrs")
    assert phasing.centre_name(coordinate.ra.rad, coordinate.dec.rad) == "J225358+160853"


def test_the_longest_baseline_here_is_the_one_that_tolerances_are_for() -> None:
    """2.71 km, as the array's description says (to its 10 m): a millimetre is what it claims to be."""
    assert np.linalg.norm(longest_baselines(), axis=1).max() == pytest.approx(LONGEST_M, abs=10)


def test_the_kept_orientation_of_the_earth_is_that_of_the_bulletins(tmp_path: Path) -> None:
    """Directions of all years, with the bulletins and with what is kept of them: the same bits, twice."""
    times = np.linspace(2453000.5, TIMES_JD[-1], 500)
    iers.earth_orientation_table.set(iers.IERS_Auto.open())
    from_bulletins = phasing.apparent_vectors(times, 1.0, 0.9)
    for _ in range(2):
        earth_orientation.use_kept(tmp_path)
        np.testing.assert_array_equal(phasing.apparent_vectors(times, 1.0, 0.9), from_bulletins)


def test_times_past_the_bulletins_are_refused() -> None:
    """Without UT1 and polar motion directions would be off by arcseconds."""
    with pytest.raises(MissingInputError, match=r"astropy-iers-data .* expected it for MJD 70999"):
        phasing.apparent_vectors([2471000.0], 1.0, 0.9)
