"""Calibrators: NRAO's list, the flux scale, and which one transits when."""

from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.calibration.calibrators import (
    calibrators,
    find_calibrator,
    flux_model,
    merged,
    named_calibrator,
)
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.calibration.transits import expected_snr, transit_times, transits
from contimg_assets.radio.catalogues.vla_calibrators import read_vla_calibrators
from contimg_assets.radio.errors import CatalogueError, NoCalibratorError
from contimg_assets.radio.sky import PERLEY_BUTLER_2017, Source, perley_butler, read_sources
from contimg_assets.simulation.night import transit_start

#: In the format of NRAO's list, with made-up sources: page text, J2000 and B1950 lines, columns of
#: array quality, flux density and uv limits, of which any can be blank.
VLA_LIST = """\
                       List of VLA Calibrators

IAU NAME  EQUINOX PC  RA(hh,mm,ss)    DEC(ddd,mm,ss)    POS.REF  ALT. NAME

0000+162   J2000  A 00h00m10.500000s  16d16'12.000000"  Aug01
2357+159   B1950  A 23h57m36.500000s  15d59'30.000000"
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
 90cm    P  S S S X       7.0                       1
 20cm    L  P P P P       6.0                      50
  6cm    C  P P P P       3.0                          visplot

0100+200   J2000  B 01h00m00.000000s  20d00'00.000000"
0057+197   B1950  B 00h57m19.000000s  19d43'50.000000"
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
  6cm    C  P P P P       2.10
3.7cm    X  P P P P       1.70                       visplot

0200-101   J2000  C 02h00m00.000000s -10d06'00.000000"  Aug01
0157-103   B1950  C 01h57m32.000000s -10d20'28.000000"
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
 20cm    L  X P P P                                40
  6cm    C  X S P P       5.48                     40

0300+330   J2000  A 03h00m00.000000s  33d00'00.000000"  Aug01  3C999 BOGUS
0256+328   B1950  A 02h56m55.000000s  32d48'10.000000"
-----------------------------------------------------
BAND        A B C D    FLUX(Jy)    UVMIN(kL)  UVMAX(kL)
=====================================================
 90cm    P  S X X X         40           13
 20cm    L  P P X X       23.9           12
"""


@pytest.fixture
def vla_list(tmp_path: Path) -> Path:
    """A small list in NRAO's format."""
    path = tmp_path / "vlacalibrators.txt"
    path.write_text(VLA_LIST)
    return path


def mid_mjd_of(source: Source, after: str) -> float:
    """Middle of the full group in which a source transits next."""
    start = transit_start(source, Time(after, scale="utc"), telescope.GROUP_S)
    return float(start.mjd) + telescope.GROUP_S / 2 / 86400.0


def test_the_list_gives_names_positions_and_20_cm_flux_densities(vla_list: Path) -> None:
    """J2000 positions (1e-6° is 4 mas), flux densities at 20 cm, aliases; never the B1950 line."""
    found = {source.name: source for source in read_vla_calibrators(vla_list)}
    assert set(found) == {"J0000+162", "3C999"}
    first = SkyCoord("00h00m10.5s", "+16d16m12s")
    assert found["J0000+162"].ra_deg == pytest.approx(first.ra.deg, abs=1e-6)
    assert found["J0000+162"].dec_deg == pytest.approx(first.dec.deg, abs=1e-6)
    assert found["J0000+162"].flux_jy == 6.0
    assert found["3C999"].flux_jy == 23.9


def test_entries_without_a_20_cm_flux_density_stay_out(vla_list: Path) -> None:
    """No 20 cm line, or one whose flux column is blank: no calibrator, and no number from another column.

    Published code gave such sources 1.0 Jy; a uv limit taken for a flux density would be as bad.
    """
    names = {source.name for source in read_vla_calibrators(vla_list)}
    assert not {"J0100+200", "J0200-101"} & names


def test_spectral_indices_are_those_between_listed_bands(vla_list: Path) -> None:
    """20 to 6 cm where both are listed, else 20 to 90 cm; by hand: log(3/6)/log(5/1.4) = −0.5445."""
    found = {source.name: source for source in read_vla_calibrators(vla_list)}
    assert found["J0000+162"].spectral_index == pytest.approx(np.log(0.5) / np.log(5 / 1.4))
    assert found["3C999"].spectral_index == pytest.approx(np.log(40 / 23.9) / np.log(0.33 / 1.4))


@pytest.mark.parametrize("text", ["", "not a list at all\n", VLA_LIST.replace("20cm", "21cm")])
def test_a_file_without_any_calibrator_is_refused(tmp_path: Path, text: str) -> None:
    """A wrong file is an error that names it, not an empty list that later finds no calibrator."""
    path = tmp_path / "wrong.txt"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=r"wrong\.txt.*20 cm"):
        read_vla_calibrators(path)
    with pytest.raises(CatalogueError, match="cannot be read"):
        read_vla_calibrators(tmp_path / "absent.txt")


def test_the_user_s_list_adds_to_ours_but_does_not_repeat_it(tmp_path: Path) -> None:
    """A source of both (3C48, whose position is given here) is ours, with its polynomial; others are new."""
    entry = VLA_LIST[VLA_LIST.index("0300+330") :]
    own = entry.replace("03h00m00.000000s", "01h37m41.299431s").replace("33d00'00.000000", "33d09'35.132990")
    path = tmp_path / "list.txt"
    path.write_text(VLA_LIST + "\n" + own.replace("3C999", "3C48"))
    known = calibrators(path)
    assert [s.name for s in known].count("3C48") == 1
    assert named_calibrator("3C48", path).scale_name == "3C48"
    assert {"J0000+162", "3C999"} <= {s.name for s in known}


def test_a_calibrator_at_0h_is_found_from_either_side(tmp_path: Path) -> None:
    """A source at 0h00m10s calibrates groups whose meridian is at 23h58m, 0h00m and 0h02m."""
    entry = VLA_LIST[VLA_LIST.index("0000+162") : VLA_LIST.index("0100+200")]
    path = tmp_path / "list.txt"
    path.write_text(entry)
    mid = mid_mjd_of(read_vla_calibrators(path)[0], "2025-09-01T00:00:00")
    found = find_calibrator(16.27, mid, CalibrationOptions(calibrator_list=path))
    assert found is not None
    assert found.name == "J0000+162"
    # Precession since 2000 moves a source on the equinox by 0.14° in declination.
    assert found.separation_deg < 0.2
    for minutes in (-2, 2):
        near = find_calibrator(16.27, mid + minutes / 1440, CalibrationOptions(calibrator_list=path))
        assert near is not None
        assert near.name == "J0000+162"


def test_3c286_is_15_jy_at_1_4_ghz() -> None:
    """Perley & Butler 2017, by hand: 10^(1.2481 − 0.4507 x − 0.1798 x² + 0.0357 x³), x = lg 1.4."""
    x = np.log10(1.4)
    expected = 10 ** (1.2481 - 0.4507 * x - 0.1798 * x * x + 0.0357 * x * x * x)
    assert perley_butler("3C286", 1.4e9) == pytest.approx(expected, rel=1e-12)
    assert perley_butler("3C286", 1.4e9) == pytest.approx(15.08, abs=0.01)
    # At 1 GHz the polynomial is its first coefficient.
    for name, coefficients in PERLEY_BUTLER_2017.items():
        assert perley_butler(name, 1e9) == pytest.approx(10 ** coefficients[0])


def test_every_calibrator_of_ours_has_a_plausible_flux_density_and_place() -> None:
    """The 20 cm value agrees with the primary scale (5 %), and a usual declination has it in its beam."""
    for source in calibrators():
        assert source.flux_jy >= 3.0
        if source.scale_name is not None:
            assert source.flux(1.4e9) == pytest.approx(source.flux_jy, rel=0.05)
            assert flux_model(source)["source"] == "Perley & Butler 2017"
        nearest = min(abs(source.dec_deg - dec) for dec in (16.27, 33.0, 43.5, 50.5, 54.57, 65.7, 71.6))
        assert nearest < 3.0


def test_3c454_3_calibrates_the_group_in_which_it_transits() -> None:
    """At +16.27° on any day: found in transit, with its flux density through the beam; none 6 h later.

    Precession and nutation put it 0.05° off the pointing, and the source drifts ±0.62° in the group.
    """
    source = named_calibrator("3C454.3")
    mid = mid_mjd_of(source, "2025-06-01T00:00:00")
    found = find_calibrator(16.27, mid, CalibrationOptions())
    assert found is not None
    assert found.name == "3C454.3"
    assert found.separation_deg < 0.1
    centre_hz = telescope.band_frequencies().mean()
    times = mid + 2400000.5 + np.linspace(-0.5, 0.5, 51) * telescope.GROUP_S / 86400
    track = phasing.apparent_vectors(times, np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg))[:, 0]
    power = beam.drifting_power(track, np.deg2rad(16.27), np.array([centre_hz])).mean()
    # Five points stand for the drift: 3 % of the flux density, against a limit that is a choice.
    assert found.apparent_jy == pytest.approx(12.5 * power, rel=0.03)
    assert find_calibrator(16.27, mid + 0.25, CalibrationOptions()) is None


@pytest.mark.parametrize("dec_deg", telescope.USUAL_DECLINATIONS_DEG)
def test_every_usual_declination_has_a_calibrator_a_day(dec_deg: float) -> None:
    """With the default settings and our own table alone, some transit of the day can be calibrated on."""
    found = set()
    for source in calibrators():
        if abs(source.dec_deg - dec_deg) < 3.0:
            scan = find_calibrator(dec_deg, mid_mjd_of(source, "2025-06-01T00:00:00"), CalibrationOptions())
            found |= {scan.name} if scan else set()
    assert found


def test_faint_and_far_calibrators_are_not_used() -> None:
    """Below the least flux density, or below half power of the beam, a source does not count."""
    source = named_calibrator("3C454.3")
    mid = mid_mjd_of(source, "2025-06-01T00:00:00")
    assert find_calibrator(16.27, mid, CalibrationOptions(backup_calibrator_jy=13.0)) is None
    assert find_calibrator(16.27, mid + 9 / 1440, CalibrationOptions()) is None  # 2.1° off
    assert find_calibrator(19.0, mid, CalibrationOptions()) is None


def test_of_two_calibrators_the_brighter_in_the_beam_is_taken(tmp_path: Path) -> None:
    """Apparent flux density decides: a source of 20 Jy beside 3C454.3 takes its place."""
    place = SkyCoord(named_calibrator("3C454.3").ra_deg + 0.3, 16.2, unit="deg").to_string(
        "hmsdms", precision=6
    )
    ra, dec = place.split()
    entry = VLA_LIST[VLA_LIST.index("0300+330") :].replace("3C999", "")
    entry = entry.replace("03h00m00.000000s", ra)
    entry = entry.replace("33d00'00.000000\"", dec.lstrip("+").replace("m", "'").replace("s", '"'))
    path = tmp_path / "list.txt"
    path.write_text(entry)
    mid = mid_mjd_of(named_calibrator("3C454.3"), "2025-06-01T00:00:00")
    found = find_calibrator(16.27, mid, CalibrationOptions(calibrator_list=path))
    assert found is not None
    assert found.name == "J0300+330"


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    """A misspelt calibrator is an error that lists the others."""
    with pytest.raises(NoCalibratorError, match=r"3C454\.4.*3C286"):
        named_calibrator("3C454.4")
    assert named_calibrator("3c286").name == "3C286"


def test_catalogues_of_sources_are_refused_by_file_and_line(tmp_path: Path) -> None:
    """A value that is no number, and a missing column, are told with file and line or name."""
    path = tmp_path / "sky.csv"
    path.write_text("name,ra_deg,dec_deg,flux_jy,spectral_index\na,10,20,0.5,-0.7\nb,11,21,1.5,\n")
    assert read_sources(path) == [Source("a", 10, 20, 0.5, -0.7), Source("b", 11, 21, 1.5, 0.0)]
    path.write_text("name,ra_deg,dec_deg,flux_jy\na,10,20,bright\n")
    with pytest.raises(CatalogueError, match=r"sky\.csv, line 2"):
        read_sources(path)
    path.write_text("name,ra_deg,dec_deg\na,10,20\n")
    with pytest.raises(CatalogueError, match="flux_jy"):
        read_sources(path)


def test_transits_are_where_the_hour_angle_is_zero_on_either_side_of_0h() -> None:
    """Held against an hour angle worked out by astropy's sidereal time and apparent place; 1 s is 15″.

    Sources at right ascensions of 359.9°, 0.1° and 180°, over ten days: one transit a sidereal day.
    """
    sources = [Source("a", 359.9, 16.0, 1.0), Source("b", 0.1, 16.0, 1.0), Source("c", 180.0, 54.0, 1.0)]
    start = 60827.0
    for source, times in zip(sources, transit_times(sources, start, start + 10), strict=True):
        assert len(times) in (10, 11)
        assert np.diff(times) == pytest.approx(0.9972696, abs=1e-6)
        for time in times:
            vector = phasing.apparent_vectors(
                [time + phasing.JD_OF_MJD_0], np.deg2rad(source.ra_deg), np.deg2rad(source.dec_deg)
            )[0, 0]
            assert vector[0] > 0
            assert abs(np.rad2deg(vector[1])) < 15 / 3600


def test_the_day_s_transits_are_ranked_by_what_the_beam_lets_through() -> None:
    """At +16.27°: 3C454.3 first, with its flux density through the beam; J0204+152, fainter than 3 Jy
    through the beam, is a back-up."""
    start = Time("2025-06-01", scale="utc").mjd
    found = transits(16.27, start, start + 1, CalibrationOptions())
    assert [t.source.name for t in found][:3] == ["3C454.3", "3C138", "J0318+164"]
    assert {t.source.name: t.role for t in found}["J0204+152"] == "back-up"
    first = found[0]
    assert first.mjd == pytest.approx(mid_mjd_of(first.source, "2025-06-01T00:00:00"), abs=1 / 86400)
    assert first.separation_deg < 0.05
    assert first.apparent_jy == pytest.approx(12.5 * first.beam_power)
    # √95 baselines' worth of 12.5 Jy over 0.53 Jy of noise (6500 Jy / √(2 · 244 kHz · 309 s)).
    assert expected_snr(12.5) == pytest.approx(12.5 * 95**0.5 / 0.529, rel=1e-3)
    assert all(start <= t.mjd < start + 1 for t in found)


def test_a_calibrator_beside_the_sun_is_a_back_up() -> None:
    """In the middle of June the Sun is 7° from 3C138, whose 8 Jy stand before thousands through sidelobes;
    half a year later it is not even up."""
    for day, role, near in (("2025-06-13", "back-up", True), ("2025-12-13", "calibrator", False)):
        start = Time(day, scale="utc").mjd
        found = {t.source.name: t for t in transits(16.27, start, start + 1, CalibrationOptions())}
        assert found["3C138"].role == role
        assert any(one.name == "Sun" for one in found["3C138"].strong) == near
        if near:
            assert found["3C138"].strong[0].separation_deg == pytest.approx(7.2, abs=0.2)
            assert found["3C454.3"].role == "calibrator"


def test_entries_of_a_list_that_repeat_ours_are_left_out_across_0h() -> None:
    """A list's entry 7″ from one of ours, on the other side of 0h, is the same source."""
    own = [Source("ours", 359.999, 16.27, 5.0)]
    others = [Source("same", 0.001, 16.27, 5.0), Source("other", 0.1, 16.27, 5.0)]
    assert [s.name for s in merged(own, others)] == ["ours", "other"]
