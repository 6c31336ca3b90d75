"""The archive tells what the station has, reads whatever state its files are in, and changes nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contimg_assets.archive import PLANES, Archive
from contimg_assets.radio.errors import DatabaseError, MissingInputError, SettingsError
from contimg_assets.station import database
from contimg_assets.station.database import engine_for
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.conftest import PostgresServer
from contimg_assets_tests.fake_stages import registration
from contimg_assets_tests.finished_home import BAD, FAILED, GOOD, KEYS
from contimg_assets_tests.radio.image_folder import CELL_ARCSEC, N

PROGRAM = """
import sys
from contimg_assets.archive import Archive
archive = Archive(sys.argv[1])
group = archive.groups().index[0]
archive.sources(group), archive.image(group), archive.calibration_sets(), archive.performance()
archive.versions(group), archive.lineage(group), archive.numbers(), archive.verdicts()
print(sorted({name.partition(".")[0] for name in sys.modules} & {
    "dagster", "dagster_pipes", "casatools", "casatasks", "casacore", "casadata", "pyuvdata", "alembic"}))
"""


@pytest.fixture
def archive(finished: Path) -> Archive:
    return Archive(finished)


def test_groups_are_told_with_verdicts_and_numbers(archive: Archive) -> None:
    """Oldest first; flags too, which the summary has not; and only those that are asked for."""
    groups = archive.groups()
    assert tuple(groups.index) == KEYS
    assert groups.loc[GOOD, ["state", "verdict", "rms_ratio"]].tolist() == ["completed", "PASS", 1.02]
    assert groups.loc[BAD, "worst_check"] == "image_qa.rms_ratio"
    assert groups.loc[GOOD, "flag_fraction"] == 0.11
    assert groups["has_report"].tolist() == [True, True, False]
    assert groups.loc[FAILED, "reason"].startswith("too few antennas")
    assert str(groups["image_made_at"].dt.tz) == "UTC"
    assert list(archive.groups(verdict="ERROR").index) == [BAD]
    assert list(archive.groups(state="failed").index) == [FAILED]
    assert list(archive.groups(since="2025-06-01T14:30", until="2025-06-02").index) == [BAD]
    assert list(archive.groups(since="2030").columns) == list(groups.columns)


def test_numbers_verdicts_sets_and_performance_are_tables(archive: Archive) -> None:
    assert archive.numbers().loc[BAD, "rms_ratio"] == 3.1
    assert list(archive.numbers("no_product").index) == []
    verdicts = archive.verdicts()
    assert verdicts[["group", "check", "status"]].to_numpy().tolist() == [
        [GOOD, "rms_ratio", "PASS"],
        [BAD, "rms_ratio", "ERROR"],
    ]
    (found,) = archive.calibration_sets().to_dict("records")
    assert (found["group"], found["calibrator"], found["tables"]) == (GOOD, "J0834+555", ("K", "BA", "GA"))
    assert found["median_snr"] == 40.0
    assert Path(found["path"]).is_dir()
    cost = archive.performance("image")
    assert cost["group"].tolist() == [GOOD, GOOD, BAD]
    assert cost[["wall_s", "peak_memory_mib"]].to_numpy().tolist() == [[28.5, 900.0]] * 3


def test_versions_and_lineage_are_those_of_the_station(archive: Archive) -> None:
    versions = archive.versions(GOOD, "image")
    assert len(versions) == 2
    assert versions["superseded"].isna().tolist() == [False, True]
    lineage = archive.lineage(GOOD, "image_qa")
    assert lineage[["steps", "product"]].to_numpy().tolist() == [[0, "image_qa"], [1, "image"]]
    assert lineage["version"].iloc[1] == versions["version"].iloc[1]


def test_sources_of_several_groups_are_one_table(archive: Archive) -> None:
    sources = archive.sources([GOOD, BAD])
    assert sources.groupby("group").size().tolist() == [len(archive.sources(GOOD))] * 2
    assert {"name", "ra_deg", "flux_jy", "major_arcsec", "x_pixel"} <= set(sources.columns)
    assert sources["name"].str.match(r"J\d{6}\.\d[+-]\d{6}$").all()


def test_an_image_has_its_unit_its_place_its_noise_and_its_header(archive: Archive) -> None:
    image = archive.image(GOOD)
    assert isinstance(image, CCDData)
    assert (image.shape, image.unit, image.dtype) == ((N, N), u.Jy / u.beam, np.dtype("float32"))
    brightest = archive.sources(GOOD).sort_values("flux_jy").iloc[-1]
    place = image.wcs.pixel_to_world(*np.unravel_index(np.nanargmax(image.data), image.shape)[::-1])
    assert (
        place.separation(SkyCoord(brightest.ra_deg, brightest.dec_deg, unit="deg")) < CELL_ARCSEC * u.arcsec
    )
    noise, power = archive.image(GOOD, "noise").data, archive.image(GOOD, "pb").data
    np.testing.assert_allclose(image.uncertainty.array, noise / power, rtol=1e-6)
    assert image.header["OBJECT"] == "J2320+1618"


def test_a_cutout_is_the_image_there(archive: Archive, tmp_path: Path) -> None:
    """The same pixels at the same places, also after it has been written and read by others."""
    brightest = archive.sources(GOOD).sort_values("flux_jy").iloc[-1]
    place = SkyCoord(brightest.ra_deg, brightest.dec_deg, unit="deg")
    cutout, whole = archive.cutout(GOOD, place, 10 * u.arcmin, "image"), archive.image(GOOD, "image")
    assert cutout.shape == (30, 30)
    x, y = cutout.wcs.world_to_pixel(place)
    far_x, far_y = whole.wcs.world_to_pixel(place)
    assert (
        cutout.data[round(float(y)), round(float(x))] == whole.data[round(float(far_y)), round(float(far_x))]
    )
    cutout.write(tmp_path / "cutout.fits")
    read = CCDData.read(tmp_path / "cutout.fits")
    assert read.wcs.pixel_to_world(0, 0).separation(cutout.wcs.pixel_to_world(0, 0)) < 1e-6 * u.arcsec
    assert fits.getheader(tmp_path / "cutout.fits")["BMAJ"] == whole.header["BMAJ"]


@pytest.mark.parametrize("plane", ["image", "pbcor", "pb", "noise", "residual", "psf"])
def test_every_plane_that_is_there_can_be_had(archive: Archive, plane: str) -> None:
    assert plane in PLANES
    assert archive.image(GOOD, plane).shape == (N, N)


@pytest.mark.parametrize(
    "spelling", ["20250601T140549", "2025-06-01T14:05:49_sb03.hdf5", "2025-06-01 14:05:49"]
)
def test_a_group_is_known_by_each_of_its_names(archive: Archive, spelling: str) -> None:
    assert archive.path(spelling) == archive.path(GOOD)


def test_what_is_not_there_is_a_typed_error_that_names_it(archive: Archive, tmp_path: Path) -> None:
    elsewhere = SkyCoord(10, -30, unit="deg")
    for wrong, named in (
        (lambda: archive.image("2020-01-01T00:00:00"), "2020-01-01T00:00:00"),
        (lambda: archive.image("last night"), "last night"),
        (lambda: archive.image(FAILED), f"{FAILED} has no image"),
        (lambda: archive.image(GOOD, "dirty"), "dirty"),
        (lambda: archive.image(GOOD, "mask"), "mask.fits"),
        (lambda: archive.cutout(GOOD, elsewhere, 1 * u.arcmin), "outside the image"),
        (lambda: archive.lineage(GOOD, "light_curves"), "light_curves"),
        (lambda: Archive(tmp_path / "nowhere"), "nowhere"),
        (lambda: Archive(tmp_path), "catalogue.sqlite"),
    ):
        with pytest.raises(MissingInputError, match=named):
            wrong()
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_read_is_a_typed_error(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be read"):
        Archive(finished, "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(SettingsError, match="expected sqlite"):
        Archive(finished, "the database")
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    database.upgrade(url)
    engine = database.create(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(DatabaseError, match="found the schema 0001"):
        Archive(finished, url)


def test_nothing_can_be_written_through_it(archive: Archive) -> None:
    with archive.engine.connect() as connection, pytest.raises(DBAPIError, match="readonly"):
        connection.execute(text("DELETE FROM verdict"))


def test_it_reads_postgresql_and_cannot_write_there(finished: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_schema()
    database.upgrade(url)
    engine = database.create(url)
    StationRecords(engine).register(registration(GOOD, finished), ready=True)
    engine.dispose()
    archive = Archive(finished, url)
    assert list(archive.groups().index) == [GOOD]
    with archive.engine.connect() as connection, pytest.raises(DBAPIError, match="read-only"):
        connection.execute(text("DELETE FROM group_summary"))
    archive.engine.dispose()


def test_it_sees_what_a_running_station_writes_meanwhile(home: Path) -> None:
    """Beside a writer that holds the write lock, without waiting for it, and anew at every question."""
    records = StationRecords(engine_for(f"sqlite:///{home / 'catalogue.sqlite'}"))
    records.register(registration(GOOD, home), ready=True)
    archive = Archive(home)
    with database.transaction(records.engine) as session:
        session.execute(text("UPDATE group_summary SET reason = 'being changed'"))
        assert archive.groups()["reason"].tolist() != ["being changed"]
    assert archive.groups()["reason"].tolist() == ["being changed"]


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who owns nothing, where the test runs as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_it_reads_a_home_in_which_nothing_can_be_written(finished: Path) -> None:
    """After the station has ended, when SQLite's -wal and -shm are gone; nothing is made."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(shutil.copytree(finished, Path(name) / "home", symlinks=True))
        folders = [Path(name), *(path for path in home.rglob("*") if path.is_dir()), home]
        for folder in folders:
            folder.chmod(0o555)
        before = sorted(home.rglob("*"))
        try:
            with nobody():
                with pytest.raises(PermissionError):
                    (home / "written").touch()
                archive = Archive(home)
                assert tuple(archive.groups().index) == KEYS
                assert archive.image(GOOD).shape == (N, N)
                archive.engine.dispose()
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert sorted(home.rglob("*")) == before


def test_neither_dagster_nor_casa_is_loaded(finished: Path) -> None:
    """In a fresh interpreter, after every kind of question."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(finished)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_homes_own_settings_file_names_its_database(tmp_path: Path, finished: Path) -> None:
    """A home that is named is read by its own file; the environment is of another."""
    (tmp_path / "contimg.toml").write_text(f"database_url = 'sqlite:///{finished / 'catalogue.sqlite'}'")
    assert tuple(Archive(tmp_path).groups().index) == KEYS
    (tmp_path / "contimg.toml").write_text("database_url = ")
    with pytest.raises(SettingsError, match="no TOML"):
        Archive(tmp_path)
