"""What retention removed is made again by the real jobs, and the group stays completed."""

from datetime import timedelta

import pytest
from dagster import DagsterInstance

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.resources.foreground_runs import ForegroundRuns
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import now
from contimg_assets.station.operations import Operations
from contimg_assets.station.publication import content
from contimg_assets.station.retention import carry_out
from contimg_assets.station.retention_rules import CALIBRATED, CONVERTED, due
from contimg_assets_tests.fake_stages import CALIBRATOR, FakeStages, only_one_calibrator, registration


def test_removed_measurement_sets_come_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    only_one_calibrator(monkeypatch)
    station = Installation(settings)
    records, files = station.records, settings.home / "incoming"
    told = registration(CALIBRATOR, files, calibrator_name="J0834+555", calibrator_apparent_jy=7.9)
    files.mkdir()
    for path in told.files.values():
        path.write_bytes(b"raw")
    records.register(told, ready=True)
    with DagsterInstance.ephemeral() as instance:
        runs = ForegroundRuns(instance, build_defs({"stages": FakeStages()}))
        ours = Operations(settings, records, station.leases, runs, name="a test")
        add_keys(instance, CALIBRATOR, calibrator=True)
        with ours._holding([CALIBRATOR]) as (owner, _, _):
            for job in ("convert_group", "solve_calibrator", "image_group"):
                assert runs.run(job, CALIBRATOR, owner).success, job
        assert records.group(CALIBRATOR).state == "completed"
        image = records.product(CALIBRATOR, "image").id
        removals = due(records.engine, station.store, settings.retention, now() + timedelta(days=20))
        carry_out(records.engine, station.store, [each for each in removals if each.what != "image"])
        with pytest.raises(MissingInputError, match="was removed"):
            content(records, station.store, CALIBRATOR, CONVERTED)
        # Nothing that is done is made again by itself.
        assert records.due("flags", "image", "in_progress") == []
        (outcome,) = ours.make_again(CALIBRATOR, CALIBRATED)
        assert (outcome.status, outcome.reason) == ("completed", "")
        assert content(records, station.store, CALIBRATOR, CALIBRATED).is_dir()
        assert content(records, station.store, CALIBRATOR, CONVERTED).is_dir()
        assert records.group(CALIBRATOR).state == "completed"
        assert records.product(CALIBRATOR, "image").id == image
        assert ours.make_again(CALIBRATOR, CALIBRATED)[0].status == "skipped"
