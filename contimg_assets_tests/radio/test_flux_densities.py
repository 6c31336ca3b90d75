"""Flux densities with dates: between two, beyond them; who varies, and files that are wrong."""

from pathlib import Path

import pytest

from contimg_assets.radio.calibration.calibrators import find_calibrator, flux_model, named_calibrator
from contimg_assets.radio.calibration.flux_densities import at_time, may_vary, read_measurements
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CatalogueError

#: 2025-06-01; the group in which 3C454.3 transits.
DAY, TRANSIT = 60827.0, 60827.5883


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "flux.csv"
    path.write_text(
        "name,date,flux_jy,spectral_index\n"
        "3c454.3,2025-06-11,10.0,0.2\n"
        "3C454.3,2025-05-22,20.0,\n"
        "3C286,2025-06-01,1.0,0\n"
    )
    return path


def test_between_and_beyond_the_dates(measured: Path) -> None:
    """3C454.3 has 12.5 Jy in the table; half-way from 20 to 10 Jy it has 15."""
    table, found = named_calibrator("3C454.3"), read_measurements(measured)
    middle = at_time(table, found, DAY)
    assert (middle.flux_jy, middle.spectral_index, middle.measured_days) == pytest.approx((15.0, 0.1, 10.0))
    late = at_time(table, found, DAY + 100)
    assert (late.flux_jy, late.spectral_index, late.measured_days) == pytest.approx((10.0, 0.2, 90.0))
    assert at_time(table, found, DAY - 100).flux_jy == 20.0
    other = named_calibrator("3C309.1")
    assert at_time(other, found, DAY) is other
    primary = named_calibrator("3C286")
    assert at_time(primary, found, DAY) is primary


def test_a_scan_is_solved_with_the_flux_density_of_its_day(measured: Path) -> None:
    """The apparent flux density of the brightest calibrator follows, and its model says from where."""
    plain = find_calibrator(16.27, TRANSIT, CalibrationOptions())
    dated = find_calibrator(16.27, TRANSIT, CalibrationOptions(flux_densities=measured))
    assert plain is not None
    assert dated is not None
    assert dated.apparent_jy / plain.apparent_jy == pytest.approx(14.7 / 12.5, rel=0.01)
    told, untold = flux_model(dated.source), flux_model(plain.source)
    assert told["source"] == "measured, with dates"
    assert told["days_from_measurement"] == pytest.approx(9.4, abs=0.1)
    assert (told["may_vary"], untold["may_vary"]) == (False, True)


def test_flat_spectra_vary_and_scales_and_lobes_do_not() -> None:
    for name, varies in (("3C454.3", True), ("J2202+422", True), ("3C309.1", False), ("3C138", False)):
        assert may_vary(named_calibrator(name)) == varies


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,date\n", "columns.*flux_jy"),
        ("name,date,flux_jy\n3C454.3,yesterday,10\n", "line 2"),
        ("name,date,flux_jy\n3C454.3,2025-06-01,-1\n", "line 2.*more than 0"),
        (None, "cannot be read"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "flux.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CatalogueError, match=why):
        read_measurements(path)
