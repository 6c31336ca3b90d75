"""IO manager of images: folders that hold FITS files."""

from pathlib import Path

from contimg_assets.io_managers.measurement_set import PublishedFolderIOManager
from contimg_assets.radio.errors import MissingInputError

#: Planes that downstream code relies on, whole or compressed.
REQUIRED = ("image", "pbcor", "pb")


class PublishedImageIOManager(PublishedFolderIOManager):
    """Hands on the path of a published image folder, which must be complete."""

    def check(self, path: Path) -> None:
        """Hold the folder to holding the image, its beam and the corrected image."""
        missing = [plane for plane in REQUIRED if not any(path.glob(f"*.{plane}.fits*"))]
        if missing:
            raise MissingInputError(f"{path} holds no {', '.join(f'*.{m}.fits' for m in missing)}")
