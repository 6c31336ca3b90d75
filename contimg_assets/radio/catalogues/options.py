"""Options of what images are compared with."""

from typing import Literal

from pydantic import Field

from contimg_assets.radio.options import Options


class CatalogueOptions(Options):
    """What images are compared with."""

    comparison: Literal["nvss", "first", "vlass", "racs"] = "nvss"
    """Survey that sources are compared with, if it is installed (``contimg catalogs``)."""
    typical_spectral_index: float = Field(default=-0.7, ge=-2, le=1)
    """Taken for sources whose index is not known, to carry a survey's flux densities to ours."""
    apply_corrections: bool = False
    """Apply the measured offset and flux ratio to the source list of ``image_qa`` (never to an image)."""
