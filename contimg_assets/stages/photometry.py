"""Photometry: the flux densities of all known sources of an image, and its new ones."""

from pathlib import Path

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.options import Options
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.stages.base import Inputs, Result, StageContext


class PhotometryInputs(Inputs):
    """An image and the list of its detections."""

    image: Path
    """Folder of the image's products."""
    sources: Path
    """Its ``sources.fits``, of ``image_qa``."""
    out: Path
    """Folder for the measurements."""
    group: str
    """Key of the observation group."""


class PhotometryStageOptions(Options):
    """Which sources are measured, and how."""

    photometry: PhotometryOptions = PhotometryOptions()
    catalogues: CatalogueOptions = CatalogueOptions()


class PhotometryResult(Result):
    """Numbers about a group's measurements."""

    n_measured: int
    n_not_measured: int
    n_survey: int
    n_watched: int
    n_limits: int
    n_flagged: int
    n_compared: int
    n_detections: int
    n_matched: int
    n_unmatched: int
    expected_false_matches: float
    missed_fraction: float
    wall_seconds: float


def run(inputs: PhotometryInputs, options: PhotometryStageOptions, context: StageContext) -> PhotometryResult:
    """Measure; see :func:`contimg_assets.radio.photometry.measure.measure_image`.

    Raises
    ------
    MissingInputError
        If the image, or a part of it, is not there.
    CatalogueError
        If the list of watched sources cannot be read.
    """
    from contimg_assets.radio.photometry.measure import measure_image

    return PhotometryResult.model_validate(
        measure_image(
            inputs.image,
            inputs.sources,
            inputs.out,
            inputs.group,
            context.catalogues,
            options.catalogues,
            options.photometry,
        )
    )
