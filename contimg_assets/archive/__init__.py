"""What a station has made, for notebooks: tables as pandas DataFrames, images as astropy objects.

Read-only, and neither Dagster nor CASA is loaded.  See ``docs/notebooks.md``.
"""

from contimg_assets.archive.archive import Archive
from contimg_assets.archive.images import PLANES

__all__ = ["PLANES", "Archive"]
