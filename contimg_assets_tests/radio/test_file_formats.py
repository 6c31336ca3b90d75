"""Files that other tools take: FITS by NASA's verifier, VOTable, DS9 and CARTA regions, ObsCore.

The verifier is Debian's ``fitsverify``; where it is absent the test says so and is skipped.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from pyvo.dam.obscore import ObsCoreMetadata
from regions import Regions

from contimg_assets.radio.images.fits import RestoringBeam, celestial_wcs, image_header, write_image
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.source_files import UCDS, write_source_files
from contimg_assets.radio.images.source_table import source_name
from contimg_assets.radio.quality.products import complete_products
from contimg_assets_tests.radio.image_folder import spread_sources, write_image_folder
from contimg_assets_tests.radio.test_beam import shape_of
from contimg_assets_tests.radio.test_provenance import made

BEAM = RestoringBeam(45.0, 17.0, 30.0)


def verify(*paths: Path) -> None:
    """Hold FITS files against the standard, warnings counted as errors."""
    program = shutil.which("fitsverify")
    if program is None:
        pytest.skip("NO fitsverify ON THIS MACHINE, so no file was verified: install Debian's fitsverify")
    for path in paths:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        assert "found 0 warning(s) and 0 error(s)" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete folder of an image, as it is published."""
    folder = write_image_folder(tmp_path_factory.mktemp("formats") / "image", spread_sources())
    complete_products(folder, "g", ArchiveOptions())
    return folder


def test_an_image_passes_the_verifier_and_says_what_tools_look_for(tmp_path: Path) -> None:
    """With a provenance that needs long strings; a beam has no brightness, a mask no quantity at all."""
    shape, frequency_hz = shape_of(16.0, 24, np.linspace(1.31e9, 1.5e9, 48)), 1.405e9
    header = image_header(
        shape,
        ImageGrid(64, 5.0),
        BEAM,
        frequency_hz,
        1.8e8,
        {"robust": 0, "scales_arcsec": list(range(40))},
        {"NOISE": 1e-3},
        made(tmp_path / "set"),
    )
    pixels = np.zeros((64, 64), np.float32)
    write_image(tmp_path / "i.fits", pixels, header)
    write_image(tmp_path / "b.fits", pixels, header, "", "Beam")
    write_image(tmp_path / "m.fits", pixels > 0, header, "", "Undefined")
    found, beam, mask = (fits.getheader(tmp_path / f"{name}.fits") for name in "ibm")
    assert (found["BUNIT"], found["BTYPE"], beam["BTYPE"], mask["BTYPE"]) == (
        *("Jy/beam", "Intensity", "Beam", "Undefined"),
    )
    assert found["RESTFRQ"] == found["CRVAL3"] == frequency_hz
    assert found["DATE"] >= "2025"
    assert (found["TELESCOP"], found["INSTRUME"]) == ("DSA_110", "DSA_110")
    assert celestial_wcs(found).has_celestial
    assert b"CONTINUE  '" in (tmp_path / "i.fits").read_bytes()
    assert found["LONGSTRN"] == "OGIP 1.0"
    verify(*tmp_path.glob("*.fits"))


def test_every_fits_file_of_a_folder_passes_the_verifier(folder: Path) -> None:
    """Tables too: the source list has its date and its checksums."""
    assert fits.getheader(folder / "g.sources.fits")["DATE"] >= "2025"
    verify(folder / "g.noise.fits", folder / "g.sources.fits")


def test_the_list_is_a_votable_with_the_words_of_the_observatory(folder: Path, tmp_path: Path) -> None:
    """Units, UCDs that the vocabulary has, ICRS, and the numbers of the FITS table to the last bit."""
    path = folder / "g.sources.vot"
    with (tmp_path / "validation").open("w") as told:
        assert validate(str(path), told), (tmp_path / "validation").read_text()
    votable = parse(path, verify="exception")
    (frame,) = votable.resources[0].coordinate_systems
    assert frame.system == "ICRS"
    fields = {field.name: field for field in votable.get_first_table().fields}
    assert {name: field.ucd for name, field in fields.items()} == UCDS
    assert all(check_ucd(field.ucd, check_controlled_vocabulary=True) for field in fields.values())
    assert {fields[name].ref for name in ("ra_deg", "dec_deg")} == {frame.ID}
    listed, table = Table.read(folder / "g.sources.fits"), Table.read(path)
    assert len(table) == len(listed) > 30
    for name in listed.colnames:
        assert (table[name].unit or "") == (listed[name].unit or ""), name
        np.testing.assert_array_equal(table[name].astype(listed[name].dtype), listed[name])


@pytest.mark.parametrize("suffix", ["reg", "crtf"])
def test_regions_are_the_sources_where_and_as_large_as_they_are(folder: Path, suffix: str) -> None:
    """Read back by another library's parser: positions to 0.02″, full widths, names."""
    regions = Regions.read(folder / f"g.sources.{suffix}", format={"reg": "ds9"}.get(suffix, suffix))
    listed = Table.read(folder / "g.sources.fits")
    assert len(regions) == len(listed)
    centres = SkyCoord([region.center.icrs for region in regions])
    places = SkyCoord(listed["ra_deg"], listed["dec_deg"])
    assert centres.separation(places).max() < 0.02 * u.arcsec
    heights = np.array([region.height.to_value("arcsec") for region in regions])
    np.testing.assert_allclose(heights, listed["major_arcsec"], atol=0.1)
    named = [region.meta.get("text", region.meta.get("label")) for region in regions]
    assert named == list(listed["name"])


def test_a_region_covers_its_source_and_leans_as_it_does(folder: Path, tmp_path: Path) -> None:
    """In the image's pixels: along the position angle, from north through east, it reaches further."""
    listed = Table.read(folder / "g.sources.fits")[:1]
    for column in ("major_arcsec", "minor_arcsec", "position_angle_deg"):
        listed[column] = np.nan
    wcs = celestial_wcs(fits.getheader(folder / "g.image.fits"))
    write_source_files(listed, tmp_path, "g", RestoringBeam(400.0, 100.0, 30.0))
    place = SkyCoord(listed["ra_deg"], listed["dec_deg"])[0]
    along = place.directional_offset_by(30 * u.deg, 150 * u.arcsec)
    across = place.directional_offset_by(-60 * u.deg, 150 * u.arcsec)
    for suffix, form in (("reg", "ds9"), ("crtf", "crtf")):
        (region,) = Regions.read(tmp_path / f"g.sources.{suffix}", format=form)
        assert (region.contains(along, wcs), region.contains(across, wcs)) == (True, False), suffix


def test_an_image_without_sources_has_its_files_all_the_same(folder: Path, tmp_path: Path) -> None:
    write_source_files(Table.read(folder / "g.sources.fits")[:0], tmp_path, "g", BEAM)
    assert len(Table.read(tmp_path / "g.sources.vot")) == 0
    assert [len(Regions.read(tmp_path / "g.sources.reg", format="ds9"))] == [0]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ((343.4905833, 16.1482111), "J225357.7+160853"),
        ((0.0, -0.5), "J000000.0-003000"),
        # Truncated, never rounded: 23:59:59.99 is not the next day.
        ((359.99996, 89.99999), "J235959.9+895959"),
        ((15.0, 10.0), "J010000.0+100000"),
    ],
)
def test_names_are_the_positions_truncated(place: tuple[float, float], name: str) -> None:
    assert source_name(*place) == name


def test_obscore_has_every_mandatory_column(folder: Path) -> None:
    """As pyvo names them, none null, with one name of telescope and instrument."""
    known = json.loads((folder / "obscore.json").read_text())
    mandatory = [
        *("dataproduct_type", "calib_level", "obs_collection", "obs_id", "obs_publisher_did", "access_url"),
        *("access_format", "access_estsize", "target_name", "s_ra", "s_dec", "s_fov", "s_region"),
        *("s_resolution", "s_xel1", "s_xel2", "t_min", "t_max", "t_exptime", "t_resolution", "t_xel"),
        *("em_min", "em_max", "em_res_power", "em_xel", "o_ucd", "pol_states", "pol_xel"),
        *("facility_name", "instrument_name"),
    ]
    assert set(mandatory) <= set(vars(ObsCoreMetadata())) | {"s_xel1", "s_xel2"}
    assert [name for name in mandatory if known.get(name) in (None, "")] == []
    assert known["obs_publisher_did"] == "ivo://dsa110/contimg?g.pbcor"
    assert known["access_url"] == "g.pbcor.fits"
    assert (known["facility_name"], known["instrument_name"]) == ("DSA_110", "DSA_110")
    assert check_ucd(known["o_ucd"], check_controlled_vocabulary=True)


def test_obscore_says_where_an_archive_has_its_images(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "image", spread_sources(3))
    archive = ArchiveOptions(authority="example.org", access_url="https://example.org/{name}/{file}")
    complete_products(folder, "g", archive)
    known = json.loads((folder / "obscore.json").read_text())
    assert known["access_url"] == "https://example.org/g/g.pbcor.fits"
    assert known["obs_publisher_did"] == "ivo://example.org/contimg?g.pbcor"
