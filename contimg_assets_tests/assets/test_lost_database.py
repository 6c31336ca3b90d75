"""A station whose database is lost starts nothing and makes no new one in its place, and says so once."""

from pathlib import Path

import pytest
from dagster import DagsterInstance, SensorDefinition, SkipReason, build_sensor_context

from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.campaigns import campaign_groups
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.settings import Settings
from contimg_assets_tests.radio.subband_files import write_group

SENSORS = [incoming_groups, calibrator_scans, images_due, campaign_groups]


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
    with DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            found = sensor(
                build_sensor_context(
                    instance=instance,
                    resources={
                        "database": DatabaseResource(),
                        "storage": StoreResource(),
                        "alerts": NotifierResource(),
                    },
                )
            )
            assert isinstance(found, SkipReason)
    (alert,) = NotifierResource().notifier().recent()
    assert (alert["kind"], alert["subject"]) == ("database_lost", str(home))
    assert f"is missing, but {home / 'products'} holds products of 1 groups" in alert["message"]
    assert not list(home.glob("*.db"))
