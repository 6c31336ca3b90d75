"""Partitions of the asset graph and what their keys mean.

Belongs here: the partition definitions and conversions of keys.  Does not
belong here: which groups exist (the station database) or when they start (sensors).
"""

from dagster import DagsterInstance, DynamicPartitionsDefinition

#: Every observation group of the hot window, by start of its first integration.
OBSERVATION_GROUP = "observation_group"
#: The same keys, of groups with a usable calibrator in the beam only.
CALIBRATOR_SCAN = "calibrator_scan"
#: Sidereal days (``radio/sidereal_day.py``) and tiles of the sky (``radio/healpix.py``), once touched.
SIDEREAL_DAY, SKY_TILE = "sidereal_day", "sky_tile"
#: Tag by which Dagster names a run's partition.
PARTITION_TAG = "dagster/partition"

observation_group = DynamicPartitionsDefinition(name=OBSERVATION_GROUP)
calibrator_scan = DynamicPartitionsDefinition(name=CALIBRATOR_SCAN)
sidereal_day = DynamicPartitionsDefinition(name=SIDEREAL_DAY)
sky_tile = DynamicPartitionsDefinition(name=SKY_TILE)


def add_keys(instance: DagsterInstance, key: str, *, calibrator: bool) -> None:
    """Make a group's partition keys known to Dagster; harmless if they are already."""
    instance.add_dynamic_partitions(OBSERVATION_GROUP, [key])
    if calibrator:
        instance.add_dynamic_partitions(CALIBRATOR_SCAN, [key])
