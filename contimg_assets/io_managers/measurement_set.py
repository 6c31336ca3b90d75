"""IO manager of products that are folders: Measurement Sets, flags, tables, QA.

Belongs here: the check that what an asset hands over was published, and
finding it again.  Does not belong here: names or publication (``station/store.py``).
"""

from pathlib import Path

from dagster import ConfigurableIOManager, InputContext, OutputContext

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import get_settings
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
        """Path of the published product of the same group."""
        path = Store(get_settings().home).existing(context.asset_partition_key, context.asset_key.path[-1])
        self.check(path)
        return path

    def check(self, path: Path) -> None:
        """What must lie in the folder; nothing in particular here."""
