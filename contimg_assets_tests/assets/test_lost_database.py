"""A station whose database is lost starts nothing and makes no new one in its place, and says so once."""

import socket
from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorDefinition, SkipReason, build_sensor_context

from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.campaigns import campaign_groups
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.settings import Settings, get_settings
from contimg_assets_tests.radio.subband_files import write_group

SENSORS = [incoming_groups, calibrator_scans, images_due, campaign_groups]


def looked(sensor: SensorDefinition) -> object:
    """What a tick comes to."""
    with DagsterInstance.ephemeral() as instance:
        return sensor(
            build_sensor_context(
                instance=instance,
                resources={
                    "database": DatabaseResource(),
                    "storage": StoreResource(),
                    "alerts": NotifierResource(),
                },
            )
        )


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)
def test_nothing_is_started_beside_products_whose_database_is_lost(
    sensor: SensorDefinition, settings: Settings, home: Path
) -> None:
    version = home / "versions" / "image"
    version.mkdir(parents=True)
    product = home / "products" / "20250601T143431" / "image"
    product.parent.mkdir(parents=True)
    product.symlink_to(version)
    settings.incoming_folder.mkdir()
    write_group(settings.incoming_folder)
    for _ in range(2):
        assert isinstance(looked(sensor), SkipReason)
    (alert,) = NotifierResource().notifier().recent()
    assert (alert["kind"], alert["subject"]) == ("database_lost", str(home))
    assert f"is missing, but {home / 'products'} holds products of 1 groups" in alert["message"]
    assert not list(home.glob("*.db"))


@pytest.mark.usefixtures("home")
def test_a_database_that_does_not_answer_is_a_fault_of_storage_and_no_error_of_each_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        # Bound, so that nobody else gets the port, and listened at by nobody.
        taken.bind(("127.0.0.1", 0))
        address = f"postgresql+psycopg2://nobody@127.0.0.1:{taken.getsockname()[1]}/none"
        monkeypatch.setenv("CONTIMG_DATABASE_URL", address)
        get_settings.cache_clear()
        for sensor in SENSORS:
            assert isinstance(looked(sensor), SkipReason)
    (alert,) = NotifierResource().notifier().recent()
    assert (alert["kind"], alert["subject"]) == ("storage", "database")
    assert alert["message"].startswith("the database does not answer: ")
