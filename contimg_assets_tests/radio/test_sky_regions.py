"""Coverage maps and maps of probability: the field of a group, and what is read of files."""

from pathlib import Path

import ducc0
import numpy as np
import pytest
from astropy.table import Table
from mocpy import MOC

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.healpix import nested, tile_key
from contimg_assets.radio.phasing import JD_OF_MJD_0, meridian_centre
from contimg_assets.radio.sidereal_day import sidereal_time_deg
from contimg_assets.radio.sky_regions import (
    COVERAGE_ORDER,
    Region,
    discs,
    field_radius_deg,
    mean_places,
    read_region,
    region_of,
    write_moc,
)


def probability_map(order: int, ra: float, dec: float, sigma_deg: float) -> np.ndarray:
    """A Gaussian about a place: probabilities of all pixels, nested."""
    n = 12 * 4**order
    angle = ducc0.healpix.Healpix_Base(1 << order, "NEST").pix2ang(np.arange(n))
    there = np.stack([np.sin(angle[:, 0]) * np.cos(angle[:, 1]), np.sin(angle[:, 0]) * np.sin(angle[:, 1])])
    z = np.cos(angle[:, 0])
    a, d = np.deg2rad([ra, dec])
    cosine = there[0] * np.cos(d) * np.cos(a) + there[1] * np.cos(d) * np.sin(a) + z * np.sin(d)
    values = np.exp((cosine - 1) / np.deg2rad(sigma_deg) ** 2)
    return values / values.sum()


def test_where_groups_point_is_told_by_precession_alone() -> None:
    """To less than a minute of arc, of cells of fourteen."""
    for mjd in (55000.7, 60900.3):
        ra, dec = np.rad2deg(meridian_centre(mjd + JD_OF_MJD_0, np.deg2rad(16.27)))
        found = mean_places(np.array([sidereal_time_deg(mjd)]), np.array([16.27]), mjd)
        assert abs(found[0][0] - ra) < 1 / 60
        assert abs(found[1][0] - dec) < 1 / 60


def test_the_field_of_a_group() -> None:
    """Half the beam is where the Airy disc has it, and a coverage map of discs is as large as they are."""
    assert field_radius_deg(16.27, 0.5) == pytest.approx(1.3, abs=0.06)
    assert field_radius_deg(16.27, 0.1) > field_radius_deg(16.27, 0.5)
    assert len(discs([], [], []).flatten()) == 0
    one = Region(discs([40.0], [16.0], [2.0]))
    assert np.pi * 4 < one.area_deg2 < 1.35 * np.pi * 4
    assert one.contains([40.0, 41.9, 40.0, 43.0], [16.0, 16.0, 17.9, 16.0]).tolist() == [
        True,
        True,
        True,
        False,
    ]
    assert tile_key(int(nested(40.0, 16.0, 4)[0])) in one.tiles()
    assert one.contains([], []).shape == (0,)
    assert one.probability_within(one.moc) is None


@pytest.mark.parametrize("form", ["fits", "txt", "json"])
def test_a_coverage_map_comes_back(tmp_path: Path, form: str) -> None:
    moc = discs([10.0, 350.0], [-20.0, 60.0], [1.0, 3.0])
    write_moc(moc, tmp_path / f"moc.{form}", {"MOCID": "x"})
    assert read_region(tmp_path / f"moc.{form}").moc == moc
    with pytest.raises(SettingsError, match="ends with one of"):
        write_moc(moc, tmp_path / "moc.png", {})


def test_the_credible_part_of_a_map(tmp_path: Path) -> None:
    """Of a Gaussian, 90 % lie within 2.146 σ; the same from pixels in rings, nested, and in cells."""
    order, sigma = 6, 6.0
    values = probability_map(order, 200.0, 30.0, sigma)
    ring = ducc0.healpix.Healpix_Base(1 << order, "RING").ring2nest(np.arange(len(values)))
    columns = {"PROB": values}
    Table(columns, meta={"ORDERING": "NESTED"}).write(tmp_path / "nested.fits")
    Table({"PROB": values[ring]}, meta={"ORDERING": "RING"}).write(tmp_path / "ring.fits")
    cells = (4 * 4**order + np.arange(len(values))).astype(np.int64)
    density = values * len(values) / (4 * np.pi)
    Table({"UNIQ": cells, "PROBDENSITY": density}).write(tmp_path / "cells.fits")
    found = [read_region(tmp_path / f"{name}.fits", 0.9) for name in ("nested", "ring", "cells")]
    assert found[0].moc == found[1].moc == found[2].moc
    expected = 2 * np.pi * (1 - np.cos(np.deg2rad(2.146 * sigma))) * np.rad2deg(1) ** 2
    assert found[0].area_deg2 == pytest.approx(expected, rel=0.03)
    assert 0.9 <= (found[0].probability_within(found[0].moc) or 0) < 0.905
    assert found[0].probability_within(MOC.from_string("0/0-11")) == pytest.approx(1.0)
    assert read_region(tmp_path / "cells.fits", 0.5).area_deg2 < found[0].area_deg2 / 2
    with pytest.raises(SettingsError, match="level"):
        read_region(tmp_path / "cells.fits", 1.5)


def test_files_that_are_no_maps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="found no file"):
        read_region(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("no FITS")
    with pytest.raises(MissingInputError, match="cannot be read"):
        read_region(tmp_path / "text.fits")
    (tmp_path / "moc.txt").write_text("5/x")
    with pytest.raises(MissingInputError, match="cannot be read"):
        read_region(tmp_path / "moc.txt")
    Table({"PROB": np.full(12 * 16, 1.0)}).write(tmp_path / "many.fits")
    with pytest.raises(MissingInputError, match="found a probability of 192"):
        read_region(tmp_path / "many.fits")
    Table({"PROB": np.full(100, 0.01)}).write(tmp_path / "part.fits")
    with pytest.raises(MissingInputError, match="expected those of a HEALPix map"):
        read_region(tmp_path / "part.fits")
    with pytest.raises(SettingsError, match="expected a MOC"):
        region_of("5/x")
    assert region_of(f"{COVERAGE_ORDER}/7").moc.max_order == COVERAGE_ORDER
