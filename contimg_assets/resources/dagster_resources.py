"""Dagster's handles on the station database, the store and the notifier.

Belongs here: thin wrappers that read the settings when they are used, so that
loading the definitions touches neither disk nor database.  Does not belong
here: anything that those classes do.
"""

from pathlib import Path

from dagster import ConfigurableResource

from contimg_assets.settings import get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.calibration_selection import CalibrationSelection
from contimg_assets.station.campaigns import Campaigns
from contimg_assets.station.installation import Installation
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.leases import Leases
from contimg_assets.station.pointing import PointingHistory
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store

#: Where the web server has the products.
PRODUCTS_URL = "/products"


class DatabaseResource(ConfigurableResource):
    """The station database."""

    def records(self) -> StationRecords:
        """Groups, products and verdicts."""
        return Installation(get_settings()).records

    def registry(self) -> CalibrationRegistry:
        """Calibration sets."""
        return Installation(get_settings()).registry

    def selection(self) -> CalibrationSelection:
        """Which set a group gets."""
        return Installation(get_settings()).selection

    def leases(self) -> Leases:
        """Who works on which group."""
        return Installation(get_settings()).leases

    def campaigns(self) -> Campaigns:
        """Groups that are made again on request."""
        return Installation(get_settings()).campaigns

    def interruptions(self) -> Interruptions:
        """Groups whose work was broken off."""
        return Installation(get_settings()).interruptions

    def pointing(self) -> PointingHistory:
        """Where the telescope looked."""
        return Installation(get_settings()).pointing


class StoreResource(ConfigurableResource):
    """The products on disk."""

    def store(self) -> Store:
        """Product folders of ``CONTIMG_HOME``."""
        return Installation(get_settings()).store

    def url(self, path: Path) -> str:
        """Address of a product's file below the web server's own, whatever host and port lead there."""
        return f"{PRODUCTS_URL}/{path.relative_to(self.store().products).as_posix()}"


class NotifierResource(ConfigurableResource):
    """Where alerts go."""

    def notifier(self) -> Notifier:
        """Log and alert file of ``CONTIMG_HOME``."""
        return Installation(get_settings()).notifier
