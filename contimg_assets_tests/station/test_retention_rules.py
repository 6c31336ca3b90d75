"""Products go by class, age and verdict; their rows stay and say so; nothing goes that somebody needs."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.radio.images.cutouts import cut
from contimg_assets.radio.images.planes import opened, plane_file
from contimg_assets.settings import IngestOptions, RetentionOptions, Settings
from contimg_assets.station import removal
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.database import transaction
from contimg_assets.station.installation import Installation
from contimg_assets.station.leases import Leases
from contimg_assets.station.make_again import steps_to
from contimg_assets.station.models import now
from contimg_assets.station.old_logs import old_logs
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import content, publish, put_link_right
from contimg_assets.station.retention import carry_out, everything, put_links_right
from contimg_assets.station.retention_rules import due
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import lineage_of, versions_of
from contimg_assets_tests.fake_stages import TARGET, record_verdict
from contimg_assets_tests.station.space_groups import (
    CALIBRATED_BYTES,
    CONVERTED_BYTES,
    JUDGED,
    make,
    register,
)

DAY = timedelta(days=1)


@pytest.fixture
def records(emptied: Engine, tmp_path: Path) -> StationRecords:
    records = StationRecords(emptied)
    register(records, TARGET, tmp_path / "incoming")
    return records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def finish(records: StationRecords, store: Store, verdict: str = "PASS") -> None:
    records.begin(TARGET, "a run")
    make(records, store, TARGET, "a run", verdict)
    records.complete(TARGET)
    Leases(records.engine, IngestOptions()).release("a run")


def classes(records: StationRecords, store: Store, days: float, **options: float) -> list[str]:
    found = due(records.engine, store, RetentionOptions(**options), now() + days * DAY)
    return [f"{each.action} {each.what}" for each in found]


def test_each_class_goes_at_its_time(records: StationRecords, store: Store) -> None:
    finish(records, store)
    assert classes(records, store, 0.01) == ["remove calibrated_ms"]
    assert classes(records, store, 2.1) == ["remove calibrated_ms", "compress image"]
    everything = ["remove measurement_set", "remove calibrated_ms", "compress image"]
    assert classes(records, store, 14.1) == everything
    assert classes(records, store, 0.01, calibrated_hours=1.0) == []
    # Files of the telescope only when the settings tell so.
    assert classes(records, store, 400.0) == everything
    assert classes(records, store, 400.0, raw_days=399.0) == [*everything, *["remove raw file"] * 16]


def test_of_a_group_without_a_good_image_the_last_good_product_stays(
    records: StationRecords, store: Store
) -> None:
    finish(records, store, "ERROR")
    assert classes(records, store, 13.0) == ["compress image"]
    assert classes(records, store, 400.0) == ["remove calibrated_ms", "compress image"]


def test_without_a_good_image_a_measurement_set_goes_last_and_only_for_room(
    records: StationRecords, store: Store
) -> None:
    """Its files make it again: else a night of bad images would stop the station."""
    finish(records, store, "ERROR")
    found = due(records.engine, store, RetentionOptions(), wanted_bytes=10**12)
    assert [each.what for each in found] == ["calibrated_ms", "image", "measurement_set"]
    assert found[-1].reason.endswith("which has no good image; before that, since room is wanted on the disk")
    Path(records.group(TARGET).files["3"]).unlink()
    found = due(records.engine, store, RetentionOptions(), wanted_bytes=10**12)
    assert [each.what for each in found] == ["calibrated_ms", "image"]


def test_a_measurement_set_whose_files_are_gone_stays(records: StationRecords, store: Store) -> None:
    finish(records, store)
    Path(records.group(TARGET).files["3"]).unlink()
    assert "remove measurement_set" not in classes(records, store, 400.0)


def test_nothing_goes_that_a_run_or_a_campaign_needs(records: StationRecords, store: Store) -> None:
    records.begin(TARGET, "a run")
    make(records, store, TARGET, "a run")
    assert classes(records, store, 400.0) == []
    records.complete(TARGET)
    Leases(records.engine, IngestOptions()).release("a run")
    planned = due(records.engine, store, RetentionOptions(), now() + 400 * DAY)
    assert len(planned) == 3
    with transaction(records.engine) as session:
        campaign = Campaign(name="again", made_by="a test", selection={}, settings={}, estimate={})
        session.add(campaign)
        session.flush()
        session.add(CampaignGroup(campaign_id=campaign.id, key=TARGET, reason="a test", place=1))
    assert classes(records, store, 400.0) == []
    # It was planned before: the look at the last moment keeps it, too.
    assert carry_out(records.engine, store, planned) == 0
    assert sorted(records.present(TARGET)) == ["calibrated_ms", "image", "measurement_set"]


def test_what_was_removed_is_known_and_can_be_asked_for(
    records: StationRecords, store: Store, tmp_path: Path
) -> None:
    finish(records, store)
    before = records.product(TARGET, "calibrated_ms")
    planned = due(records.engine, store, RetentionOptions(), now() + DAY)
    assert carry_out(records.engine, store, planned) == CALIBRATED_BYTES
    row = records.product(TARGET, "calibrated_ms")
    assert (row.id, row.version, row.numbers) == (before.id, before.version, before.numbers)
    assert (row.made_bytes, row.kept_bytes) == (CALIBRATED_BYTES, 0)
    assert row.removed_because == f"calibrated_ms of {TARGET}, its image has its verdict"
    with pytest.raises(MissingInputError, match=f"contimg products --make {TARGET} calibrated_ms"):
        content(records, store, TARGET, "calibrated_ms")
    assert not store.path(TARGET, "calibrated_ms").is_symlink()
    assert not put_link_right(records, store, TARGET, "calibrated_ms")
    assert put_links_right(records, store) == []
    assert [view.version.product for view in lineage_of(records.engine, TARGET, "image")] == ["image"]
    (view,) = versions_of(records.engine, TARGET, "calibrated_ms")
    assert view.removed_because
    # What is made again stays as long as a Measurement Set.
    make(records, store, TARGET, None)
    assert content(records, store, TARGET, "calibrated_ms").is_dir()
    assert tmp_path.joinpath("incoming").is_dir()


def test_a_removal_that_is_killed_is_ended_later(
    records: StationRecords, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(records, store)
    (planned,) = due(records.engine, store, RetentionOptions(), now() + DAY)

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            removal.remove_current(records.engine, store, planned)
    assert planned.path.is_dir()
    assert records.product(TARGET, "calibrated_ms").removed
    found = everything(records.engine, Settings(home=store.home))
    assert [each.reason for each in found] == ["a removal that was cut short"]
    carry_out(records.engine, store, found)
    assert not planned.path.exists()


def test_room_that_is_wanted_is_made_before_days_are_over(records: StationRecords, store: Store) -> None:
    finish(records, store)
    options = RetentionOptions(calibrated_hours=24)
    (early,) = due(records.engine, store, options, wanted_bytes=CALIBRATED_BYTES)[:1]
    assert early.reason.endswith("before that, since room is wanted on the disk")
    assert due(records.engine, store, options) == []
    limited = RetentionOptions(calibrated_hours=24, measurement_sets_gb=CONVERTED_BYTES / 2e9)
    (over,) = due(records.engine, store, limited)
    assert (over.what, over.size) == ("measurement_set", CONVERTED_BYTES)


def test_planes_are_compressed_and_read_as_before(records: StationRecords, store: Store) -> None:
    finish(records, store)
    whole = content(records, store, TARGET, "image")
    with opened(plane_file(whole, "g", "image")) as hdu:
        pixels = np.array(hdu.data[0, 0])
    part = cut(plane_file(whole, "g", "image"), None, None, 30.0, 512)
    version = records.product(TARGET, "image").version
    planned = due(records.engine, store, RetentionOptions(), now() + 3 * DAY)
    # What a killed process had put in place is no obstacle.
    whole.with_name(f"{whole.name}{removal.COMPRESSED_SUFFIX}").mkdir()
    carry_out(records.engine, store, planned)
    row = records.product(TARGET, "image")
    assert (row.version, row.removed) == (version, False)
    assert (row.kept_bytes or 0) < 0.5 * (row.made_bytes or 0)
    folder = content(records, store, TARGET, "image")
    assert not whole.exists()
    assert store.path(TARGET, "image").resolve() == folder.resolve()
    path = plane_file(folder, "g", "image")
    report = json.loads((folder / "compressed.json").read_text())
    losses = {each["plane"]: each for each in report["planes"]}
    with opened(path) as hdu:
        assert isinstance(hdu, fits.CompImageHDU)
        difference = np.array(hdu.data[0, 0], np.float64) - pixels
    step = losses["image"]["step"]
    assert step == pytest.approx(report["sigma_jy_beam"] / 8)
    assert np.abs(difference).max() <= step / 2 * 1.001
    # At random, about nothing: no flux density is shifted.
    assert abs(difference.mean()) < 5 * step / np.sqrt(12 * difference.size)
    assert losses["mask"]["largest_error"] == 0 if "mask" in losses else True
    again = cut(path, None, None, 30.0, 512)
    assert np.nanmax(np.abs(again.pixels - part.pixels)) <= step / 2 * 1.001
    assert carry_out(records.engine, store, planned) == 0


def test_the_way_back_is_as_short_as_it_can_be(records: StationRecords, store: Store) -> None:
    settings = Settings(home=store.home, database_url=records.engine.url.render_as_string(False))
    station = Installation(settings)
    with pytest.raises(StateError, match="is pending, expected completed"):
        steps_to(station, TARGET, "image")
    finish(records, store)
    assert steps_to(station, TARGET, "measurement_set") == ()
    with pytest.raises(MissingInputError, match="expected one of measurement_set"):
        steps_to(station, TARGET, "flags")
    carry_out(records.engine, store, due(records.engine, store, RetentionOptions(), now() + 3 * DAY))
    assert [step.assets[0] for step in steps_to(station, TARGET, "image")] == ["calibrated_ms", "image"]
    carry_out(records.engine, store, due(records.engine, store, RetentionOptions(), now() + 15 * DAY))
    wanted = [step.assets[0] for step in steps_to(station, TARGET, "calibrated_ms")]
    assert wanted == ["measurement_set", "calibrated_ms"]


def test_what_calibrates_a_group_stays_and_its_data_are_written_when_they_are_asked_for(
    records: StationRecords, store: Store
) -> None:
    """Without a calibrated Measurement Set there is nothing to remove, and an image needs none."""
    settings = Settings(home=store.home, database_url=records.engine.url.render_as_string(False))
    station = Installation(settings)
    finish(records, store)
    with store.staging(TARGET, "calibrated_ms") as folder:
        (folder / "built").mkdir()
        (folder / "built" / "provenance.json").write_text("{}")
        publish(records, store, folder / "built", TARGET, "calibrated_ms", {}, owner=None)
    assert classes(records, store, 2.1) == ["compress image"]
    (step,) = steps_to(station, TARGET, "calibrated_ms")
    assert (step.assets, step.config) == (("calibrated_ms",), {"calibrated_ms": {"keep": True}})
    carry_out(records.engine, store, due(records.engine, store, RetentionOptions(), now() + 3 * DAY))
    assert [step.assets[0] for step in steps_to(station, TARGET, "image")] == ["image"]
    carry_out(records.engine, store, due(records.engine, store, RetentionOptions(), now() + 15 * DAY))
    assert records.product(TARGET, "measurement_set").removed
    assert not records.product(TARGET, "calibrated_ms").removed
    assert [step.assets[0] for step in steps_to(station, TARGET, "image")] == ["measurement_set", "image"]


def test_old_logs_go_and_new_ones_stay(home: Path) -> None:
    paths = [home / "logs" / "foreground-1.log", home / "casa" / "logs" / "casa-1.log"]
    printed = home / "dagster" / "storage" / "a-run" / "compute_logs"
    for path in (*paths, printed / "stage.out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("said")
    assert old_logs(home, 30, now()) == []
    assert {each.path for each in old_logs(home, 30, now() + 31 * DAY)} == {*paths, printed}


def test_a_bad_verdict_that_comes_later_counts(records: StationRecords, store: Store) -> None:
    finish(records, store)
    record_verdict(records, TARGET, "image_qa", "rms_ratio", status="ERROR", **JUDGED)
    assert classes(records, store, 1.0) == []
