"""Dagster's handles on catalogue, registry, store and notifier.

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
from contimg_assets.station.installation import Installation
from contimg_assets.station.leases import Leases
from contimg_assets.station.pointing import PointingHistory
from contimg_assets.station.products import ProductCatalog
from contimg_assets.station.store import Store


class CatalogResource(ConfigurableResource):
    """The database: product catalogue and calibration registry."""

    def catalog(self) -> ProductCatalog:
        """Groups, products and verdicts."""
        return Installation(get_settings()).catalog

    def registry(self) -> CalibrationRegistry:
        """Calibration sets."""
        return Installation(get_settings()).registry

    def selection(self) -> CalibrationSelection:
        """Which set a group gets."""
        return Installation(get_settings()).selection

    def leases(self) -> Leases:
        """Who works on which group."""
        return Installation(get_settings()).leases

    def pointing(self) -> PointingHistory:
        """Where the telescope looked."""
        return Installation(get_settings()).pointing


class StoreResource(ConfigurableResource):
    """The products on disk."""

    def store(self) -> Store:
        """Product folders of ``CONTIMG_HOME``."""
        return Installation(get_settings()).store

    def url(self, path: Path) -> str:
        """Address at which the static route serves a file of a product."""
        settings = get_settings()
        relative = path.relative_to(Store(settings.home).products).as_posix()
        return f"{settings.products_url.rstrip('/')}/{relative}"


class NotifierResource(ConfigurableResource):
    """Where alerts go."""

    def notifier(self) -> Notifier:
        """Log and alert file of ``CONTIMG_HOME``."""
        return Installation(get_settings()).notifier
