"""IO manager of images: folders that hold FITS files."""

from pathlib import Path

from contimg_assets.io_managers.measurement_set import PublishedFolderIOManager
from contimg_assets.radio.errors import MissingInputError

#: How the names of the images end that downstream code relies on.
REQUIRED = ("image.fits", "pbcor.fits", "pb.fits")


class PublishedImageIOManager(PublishedFolderIOManager):
    """Hands on the path of a published image folder, which must be complete."""

    def check(self, path: Path) -> None:
        """Hold the folder to holding the image, its beam and the corrected image."""
        missing = [ending for ending in REQUIRED if not any(path.glob(f"*.{ending}"))]
        if missing:
            raise MissingInputError(f"{path} holds no {', '.join(f'*.{m}' for m in missing)}")
