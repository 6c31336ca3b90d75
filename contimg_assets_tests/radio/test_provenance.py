"""What made an image goes into its header and comes out again, and tables are held against the disk."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from contimg_assets.cli import calibration
from contimg_assets.radio.errors import CatalogueError, MissingInputError
from contimg_assets.radio.images.provenance import (
    add_provenance,
    commented,
    read_provenance,
    software_versions,
    verify_tables,
)
from contimg_assets_tests.fake_stages import write_tables

#: Longer than one card of a header holds, with characters that cards quote.
COEFFICIENTS = [1.2481, -0.4507, -0.1798, 0.0357]


def made(folder: Path) -> dict[str, Any]:
    """A provenance whose tables are in ``folder``."""
    return {
        "set_id": "20260115T050000-0123abcd",
        "path": str(folder),
        "calibrator": "3C286",
        "group": "2026-01-15T05:00:00",
        "flux_model": {"source": "Perley & Butler 2017", "coefficients": COEFFICIENTS},
        "refant": "31",
        "tables": write_tables(folder),
        "solved_with": {"casatasks": "6.7.0.31"},
        "hours": -1.25,
        "fallback": "backup_calibrator",
        "warning": "calibration is 7.0 h away, more than 6 h; no solutions for antennas 5, 13, 31, 44, 45",
        "flags": {"sha256": "ab" * 32},
        "self_calibration": None,
        "software": software_versions(),
    }


def image_of(path: Path, provenance: dict[str, Any] | None) -> Path:
    header = fits.Header()
    header["ORIGIN"], header["OBJECT"] = "contimg 0.1.0", "J1331+3030"
    add_provenance(header, provenance)
    fits.PrimaryHDU(np.zeros((1, 1, 4, 4), np.float32), header).writeto(path, checksum=True)
    return path


@pytest.fixture
def made_from(tmp_path: Path) -> dict[str, Any]:
    return made(tmp_path / "set")


def test_everything_comes_back_from_the_header(made_from: dict[str, Any], tmp_path: Path) -> None:
    """Through a file: long strings over CONTINUE cards, numbers, nested entries, tables in their order."""
    found = read_provenance(image_of(tmp_path / "a.fits", made_from))
    tables = [{k: t[k] for k in ("type", "file", "sha256")} for t in made_from["tables"]]
    expected = {k: v for k, v in made_from.items() if k not in ("tables", "self_calibration")}
    assert found == {**expected, "tables": tables, "origin": "contimg 0.1.0", "object": "J1331+3030"}
    assert {"contimg", "python", "casatools", "ducc0", "pyuvdata"} <= found["software"].keys()


def test_tables_are_verified_changed_or_missing(made_from: dict[str, Any], tmp_path: Path) -> None:
    found = read_provenance(image_of(tmp_path / "a.fits", made_from))

    def statuses() -> list[str]:
        return [table.status for table in verify_tables(found, tmp_path / "nowhere")]

    assert statuses() == ["verified"] * 3
    (tmp_path / "set" / "B.cal" / "table.dat").write_text("edited")
    (tmp_path / "set" / "G.cal").rename(tmp_path / "set" / "H.cal")
    assert statuses() == ["verified", "changed", "missing"]


def test_tables_of_a_home_that_moved_are_found_by_the_set_s_name(
    made_from: dict[str, Any], tmp_path: Path
) -> None:
    found = read_provenance(image_of(tmp_path / "a.fits", made_from))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set").rename(tmp_path / "elsewhere" / made_from["set_id"])
    assert [t.status for t in verify_tables(found, tmp_path / "elsewhere")] == ["verified"] * 3


def test_the_command_tells_it_and_its_exit_code_says_whether_the_tables_are_those(
    made_from: dict[str, Any], tmp_path: Path, home: Path
) -> None:
    command = {c.name: c for c in calibration.commands}["provenance"]
    image = str(image_of(tmp_path / "a.fits", made_from))
    told = CliRunner().invoke(command, [image])
    assert told.exit_code == 0, told.output
    for text in ("3C286, group 2026-01-15T05:00:00", "Perley & Butler 2017", "back", "verified", "casatools"):
        assert text in told.output
    as_json = json.loads(CliRunner().invoke(command, [image, "--json"]).stdout)
    assert as_json["flags"] == {"sha256": "ab" * 32}
    (tmp_path / "set" / "B.cal" / "table.dat").write_text("edited")
    assert CliRunner().invoke(command, [image]).exit_code == 1
    plain = CliRunner().invoke(command, [str(image_of(tmp_path / "b.fits", None))])
    assert (plain.exit_code, "none, the data were imaged as they came" in plain.output) == (0, True)
    assert not (home / "catalogue.sqlite").exists()


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"a\.fits: found no file"):
        read_provenance(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_text("no image")
    with pytest.raises(CatalogueError, match=r"a\.fits: cannot be read as FITS"):
        read_provenance(tmp_path / "a.fits")
    fits.PrimaryHDU().writeto(tmp_path / "b.fits")
    with pytest.raises(CatalogueError, match="found no CALSET"):
        read_provenance(tmp_path / "b.fits")


def test_a_comment_that_has_no_room_on_its_card_is_left_out() -> None:
    """A cut one would be a warning in every image's log: astropy warns when it writes the card."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in range(1, 120):
            header = fits.Header()
            header["STRONG"] = commented("x" * length, "strong sources above the horizon")
            told = fits.Header.fromstring(header.tostring())
            assert told["STRONG"] == "x" * length
            assert told.comments["STRONG"] in ("", "strong sources above the horizon")
