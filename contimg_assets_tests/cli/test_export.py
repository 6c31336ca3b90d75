"""A night handed over: everything of it is there, hashed and described, or nothing is."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table, validate
from astropy.io.votable.ucd import check_ucd
from click.testing import CliRunner, Result

from contimg_assets.cli import main
from contimg_assets.radio.files import file_sha256
from contimg_assets.settings import get_settings
from contimg_assets.station import database
from contimg_assets.station import export as exporting
from contimg_assets_tests.finished_home import BAD, FAILED, GOOD

SLUG = "20250601T140549"


@pytest.fixture
def night(finished: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished home, as the one that commands work on."""
    home.rmdir()
    shutil.copytree(finished, home, symlinks=True)
    monkeypatch.chdir(home.parent)
    get_settings.cache_clear()
    database.engine_for.cache_clear()
    return home


def export(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["export", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_night_is_handed_over_whole(night: Path) -> None:
    """Files as published, sums that a stranger's tool agrees with, and who was left out and why."""
    result = export("handed", "--night", "2025-06-01")
    assert f"left out: {BAD}, its verdict is ERROR (image_qa.rms_ratio)" in result.stdout
    folder = night.parent / "handed"
    assert f"{folder}: 1 groups, " in result.stdout
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    listed = {entry["path"]: entry for entry in manifest["files"]}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(listed) | {"SHA256SUMS", "MANIFEST.json"}
    for name, entry in listed.items():
        assert (file_sha256(folder / name), (folder / name).stat().st_size) == (
            entry["sha256"],
            entry["bytes"],
        )
    assert {
        f"{SLUG}/{SLUG}.{kind}" for kind in ("pbcor.fits", "sources.vot", "sources.reg", "sources.crtf")
    } <= there
    published = night / "products" / SLUG / "image" / f"{SLUG}.pbcor.fits"
    assert file_sha256(published) == listed[f"{SLUG}/{SLUG}.pbcor.fits"]["sha256"]
    (group,) = manifest["groups"]
    assert (group["group"], group["verdict"], group["checks"]["image_qa"]["rms_ratio"]["value"]) == (
        GOOD,
        "PASS",
        1.02,
    )
    assert [step["product"] for step in group["made_from"]] == ["image"]
    assert manifest["left_out"] == [{"group": BAD, "reason": manifest["left_out"][0]["reason"]}]
    with (folder / "groups.csv").open() as handle:
        assert [row["group"] for row in csv.DictReader(handle)] == [GOOD]
    readme = (folder / "README.md").read_text()
    assert SLUG in readme
    assert BAD in readme


def test_the_images_are_described_as_the_virtual_observatory_does(night: Path, tmp_path: Path) -> None:
    """Where they are, by default and where they will be served; a VOTable that a validator passes."""
    export("handed", GOOD)
    table = parse_single_table(night.parent / "handed" / "obscore.vot", verify="exception").to_table()
    assert table["access_url"][0] == (night.parent / "handed" / SLUG / f"{SLUG}.pbcor.fits").as_uri()
    assert table["obs_publisher_did"][0] == f"ivo://dsa110/contimg?{SLUG}.pbcor"
    assert str(table["s_ra"].unit) == "deg"
    assert all(
        check_ucd(table[name].meta["ucd"], check_controlled_vocabulary=True) for name in table.colnames
    )
    with (tmp_path / "told").open("w") as told:
        assert validate(str(night.parent / "handed" / "obscore.vot"), told)
    export("served", GOOD, "--url", "https://archive.example.org/dsa/")
    table = parse_single_table(night.parent / "served" / "obscore.vot").to_table()
    assert table["access_url"][0] == f"https://archive.example.org/dsa/{SLUG}/{SLUG}.pbcor.fits"


def test_a_group_is_named_in_any_way_and_bad_ones_only_on_request(night: Path) -> None:
    told = json.loads(export("one", f"{BAD}_sb00.hdf5", "--with-errors", "--everything", "--json").stdout)
    assert (told["groups"], told["left_out"]) == ([BAD], {})
    residual = night.parent / "one" / "20250601T143549" / "20250601T143549.residual.fits"
    assert fits.getheader(residual)["TELESCOP"] == "DSA_110"
    export("other", BAD, code=3)
    export("other", FAILED, code=3)
    assert not (night.parent / "other").exists()


REPORT = (
    "<nav aria-label='Other pages'><ul><li><a href='../../20250601T143549/image_qa/report.html'>next</a></li>"
    "<li><a href='../flags/thumbnail.png'>flags, large</a></li></ul><ul><li class=note>On the panel:</li>"
    "<li><a href='../../../groups/2025-06-01T14:05:49'>this group</a></li></ul></nav>"
    "<a href='#files'>Files</a> <svg>"
    "<a href='../../20250601T140549/image_qa/report.html' aria-label='x'>.</a>"
    "<a href='../../20250531T140549/image_qa/report.html' aria-label='y'>.</a></svg>"
    "<td><a href='../image/20250601T140549.pbcor.fits'>the image</a></td>"
    "<td><a href='../image/20250601T140549.psf.fits'>the beam</a></td>"
)


def links_of(page: Path) -> list[str]:
    return re.findall(r"href='([^']*)'", page.read_text())


def test_links_of_a_report_lead_to_what_is_handed_over_or_are_none(night: Path) -> None:
    """Of one group alone, and of two: neighbours, files, the panel, the chart's points."""
    (night / "products" / SLUG / "image_qa" / "report.html").write_text(REPORT)
    export("one", GOOD)
    report = night.parent / "one" / SLUG / "report.html"
    alone = [link for link in links_of(report) if not link.startswith("#")]
    assert alone == ["report.html", f"{SLUG}.pbcor.fits"]
    assert "the beam" in report.read_text()
    assert "Other pages" not in report.read_text()
    manifest = json.loads((night.parent / "one" / "MANIFEST.json").read_text())
    (entry,) = [each for each in manifest["files"] if each["path"].endswith("report.html")]
    assert entry["sha256"] == file_sha256(report)
    export("two", GOOD, BAD, "--with-errors", "--everything")
    both = night.parent / "two" / SLUG / "report.html"
    found = [link for link in links_of(both) if not link.startswith("#")]
    assert found[0] == "../20250601T143549/report.html"
    assert all((both.parent / link).is_file() for link in found), found
    assert "this group" not in both.read_text()


def test_what_is_there_is_never_touched(night: Path) -> None:
    for name in ("folder", "file", "link"):
        there = night.parent / name
        if name == "folder":
            there.mkdir()
        elif name == "file":
            there.write_text("mine")
        else:
            there.symlink_to("nowhere")
        assert "is there already" in export(name, GOOD, code=3).stderr
    assert (night.parent / "file").read_text() == "mine"
    assert list((night.parent / "folder").iterdir()) == []


def test_a_file_that_is_not_as_published_stops_it(night: Path) -> None:
    """And leaves nothing behind, as any failure does."""
    before = set(night.parent.iterdir())
    with (night / "products" / SLUG / "image" / f"{SLUG}.pb.fits").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x01")
    assert "pb.fits: found the SHA-256" in export("handed", GOOD, code=3).stderr
    assert set(night.parent.iterdir()) == before


def test_somebody_else_takes_the_name_meanwhile(night: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object) -> str:
        (night.parent / "handed").mkdir()
        (night.parent / "handed" / "theirs").touch()
        return ""

    monkeypatch.setattr(exporting, "readme", taken)
    assert "is there by now" in export("handed", GOOD, code=3).stderr
    assert [path.name for path in (night.parent / "handed").iterdir()] == ["theirs"]
    assert [path.name for path in night.parent.iterdir() if path.name.startswith(".handed")] == []


def test_a_disk_without_room_is_said_before_anything_is_copied(
    night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert night.is_dir()
    usage = shutil.disk_usage(night)._replace(free=1000)
    monkeypatch.setattr(exporting.shutil, "disk_usage", lambda _: usage)
    assert "GB free; this takes" in export("handed", GOOD, code=3).stderr
