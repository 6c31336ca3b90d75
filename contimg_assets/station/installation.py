"""The station of one installation: its database, registry, leases and store, as the settings say.

Belongs here: how the parts of the station are put together, once for the command
line, Dagster's resources and whatever else opens a home.  Does not belong here:
what the parts do.
"""

from dataclasses import dataclass

from sqlalchemy import Engine

from contimg_assets.settings import Settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.calibration_selection import CalibrationSelection
from contimg_assets.station.campaigns import Campaigns
from contimg_assets.station.database import engine_for, reading_engine_for
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.leases import Leases
from contimg_assets.station.pointing import PointingHistory
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store


@dataclass(frozen=True)
class Installation:
    """What an installation knows and does; nothing is opened before it is asked for."""

    settings: Settings
    reading: bool = False
    """Only look: the home may be read-only."""

    @property
    def engine(self) -> Engine:
        """The station database, its schema up to date."""
        url = self.settings.sqlalchemy_url
        return reading_engine_for(url) if self.reading else engine_for(url)

    @property
    def store(self) -> Store:
        """Product folders of the home."""
        return Store(self.settings.home, self.settings.scratch)

    @property
    def records(self) -> StationRecords:
        """Groups, products and verdicts."""
        return StationRecords(self.engine)

    @property
    def registry(self) -> CalibrationRegistry:
        """Calibration sets."""
        return CalibrationRegistry(self.engine, self.settings.calibration, self.store.calibration)

    @property
    def selection(self) -> CalibrationSelection:
        """Which set a group gets."""
        return CalibrationSelection(self.registry)

    @property
    def leases(self) -> Leases:
        """Who works on which group."""
        return Leases(self.engine, self.settings.ingest)

    @property
    def campaigns(self) -> Campaigns:
        """Groups that are made again on request."""
        return Campaigns(self.engine, self.store, self.settings)

    @property
    def interruptions(self) -> Interruptions:
        """Groups whose work was broken off."""
        return Interruptions(self.engine)

    @property
    def pointing(self) -> PointingHistory:
        """Where the telescope looked."""
        return PointingHistory(self.engine, self.settings.ingest)

    @property
    def arrivals(self) -> Arrivals:
        """The account of files."""
        return Arrivals(self.engine, self.settings.incoming_folder)

    @property
    def notifier(self) -> Notifier:
        """Log and file of alerts."""
        return Notifier(self.settings.home)
