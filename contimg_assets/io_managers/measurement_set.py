"""IO manager of products that are folders: Measurement Sets, flags, tables, QA.

Belongs here: the check that what an asset hands over was published, and
finding it again.  Does not belong here: names (``station/store.py``) or
publication (``station/publication.py``).
"""

from pathlib import Path

from dagster import ConfigurableIOManager, InputContext, OutputContext

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import get_settings
from contimg_assets.station.database import engine_for
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import content
from contimg_assets.station.store import Store


class PublishedFolderIOManager(ConfigurableIOManager):
    """Hands on the path of a product that the store has published."""

    def handle_output(self, context: OutputContext, obj: Path) -> None:
        """Hold an asset to having published what it returns."""
        expected = Store(get_settings().home).path(context.partition_key, context.asset_key.path[-1])
        if obj != expected or not expected.is_dir():
            raise MissingInputError(f"{context.asset_key.to_user_string()}: got {obj}, expected {expected}")
        self.check(expected)

    def load_input(self, context: InputContext) -> Path:
        """Content of the current version of the same group's product: it stays if another is published."""
        settings = get_settings()
        records = StationRecords(engine_for(settings.sqlalchemy_url))
        key, product = context.asset_partition_key, context.asset_key.path[-1]
        path = content(records, Store(settings.home), key, product)
        self.check(path)
        return path

    def check(self, path: Path) -> None:
        """What must lie in the folder; nothing in particular here."""
