"""What the commands tell of a folder that has been processed; the tests share one such home."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from contimg_assets import definitions
from contimg_assets.definitions import build_defs
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.settings import get_settings
from contimg_assets.station import database
from contimg_assets_tests.cli.station import COMMANDS, contimg, make_data, outcomes
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, FakeStages, calls, only_one_calibrator


class Processed(NamedTuple):
    """A home in which a folder has been processed once."""

    home: Path
    folder: Path
    report: dict[str, Any]
    calls: list[dict[str, Any]]


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processed]:
    home = tmp_path_factory.mktemp("processed") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        only_one_calibrator(patch)
        patch.setattr(definitions, "build_defs", lambda: build_defs({"stages": FakeStages()}))
        get_settings.cache_clear()
        folder = make_data(home, target=True)
        report = contimg("process", folder)
        yield Processed(home, folder, report, calls())
    get_settings.cache_clear()
    database.engine_for.cache_clear()


def test_calibrators_come_first_and_every_group_gets_its_image(processed: Processed) -> None:
    report, home = processed.report, processed.home
    assert outcomes(report) == {TARGET: "completed", CALIBRATOR: "completed"}
    order = [
        (call["stage"], call["key"])
        for call in processed.calls
        if call["stage"] in ("convert", "solve", "image")
    ]
    assert order == [
        ("convert", CALIBRATOR),
        ("solve", CALIBRATOR),
        ("convert", TARGET),
        ("image", TARGET),
        ("image", CALIBRATOR),
    ]
    solve = next(call for call in processed.calls if call["stage"] == "solve")
    assert solve["arguments"][-2:] == ["--calibrator", "J0834+555"]
    image = report["groups"][0]["products"]["files"]["beam_corrected_image"]
    assert Path(image) == home / "products" / "20260115T030000" / "image" / "20260115T030000.pbcor.fits"
    assert report["groups"][0]["products"]["calibration"]["group"] == CALIBRATOR


def test_what_is_done_is_skipped_and_products_tell_paths_numbers_and_verdicts(processed: Processed) -> None:
    before = len(calls())
    assert outcomes(contimg("process", processed.folder)) == {TARGET: "skipped", CALIBRATOR: "skipped"}
    assert len(calls()) == before
    described = contimg("products", TARGET)
    assert described["products"]["image"]["numbers"]["rms_mjy_beam"] == 0.3
    assert described["verdicts"]["image_qa"]["rms_ratio"]["status"] == "PASS"
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in described["files"].values())
    assert len(contimg("products")["groups"]) == 2
    text = CliRunner().invoke(COMMANDS["products"], [TARGET]).stdout
    assert "beam corrected image: /" in text
    assert "PASS rms_ratio" in text


def test_reprocessing_makes_everything_again(processed: Processed) -> None:
    assert processed.home.is_dir()
    before = len(calls())
    assert outcomes(contimg("reprocess", "--group", TARGET)) == {TARGET: "completed"}
    again = calls()[before:]
    assert {call["stage"] for call in again} == {
        "convert",
        "qa ms",
        "flag",
        "apply",
        "image",
        "qa image",
        "photometry",
    }
    assert {call["key"] for call in again} == {TARGET}
    assert DatabaseResource().records().group(TARGET).retries == 1


def test_the_registry_is_listed_shown_and_verified(processed: Processed) -> None:
    (found,) = contimg("registry", "list")["sets"]
    assert found["status"] == "active"
    assert contimg("registry", "show", found["id"])["refant"] == "31"
    assert [outcome["status"] for outcome in contimg("registry", "verify")["sets"]] == ["ok"]
    assert (
        contimg("registry", "active", "--mjd", "61055.3", "--declination", "54.6")["sets"][0]["id"]
        == found["id"]
    )
    assert contimg("registry", "active", "--mjd", "61056.3", "--declination", "54.6")["sets"] == []
    table = processed.home / "calibration" / found["id"] / "K.cal" / "table.dat"
    table.write_text("edited")
    assert [o["status"] for o in contimg("registry", "verify", code=1)["sets"]] == ["changed"]
    contimg("registry", "retire", found["id"], "--reason", "edited by hand")
    assert contimg("registry", "list", "--status", "active")["sets"] == []
    assert contimg("registry", "import")["entered"] == {}
    assert (
        "retired already"
        in contimg("registry", "retire", found["id"], "--reason", "again", code=3)["message"]
    )


def test_reprocessing_from_the_flags_on_leaves_them_and_the_measurement_set(processed: Processed) -> None:
    flags = (processed.home / "products" / "20260115T050000" / "flags").resolve()
    before = len(calls())
    assert outcomes(contimg("reprocess", "--group", CALIBRATOR, "--keep-flags")) == {CALIBRATOR: "completed"}
    again = [call["stage"] for call in calls()[before:]]
    assert again == ["solve", "qa calibration", "apply", "image", "qa image", "photometry"]
    assert (processed.home / "products" / "20260115T050000" / "flags").resolve() == flags
