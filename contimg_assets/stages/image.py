"""Imaging: a Measurement Set into the FITS products of its field, complete."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.options import Options
from contimg_assets.stages.base import Inputs, Result, StageContext


class ImageInputs(Inputs):
    """A Measurement Set, and what is known of its calibration."""

    ms: Path
    out: Path
    """Folder for the products."""
    name: str = "image"
    """Stem of the products' names."""
    provenance: Path | None = None
    """JSON of what calibrated the data."""
    calibration: Calibration | None = None
    """Flags and tables to apply to DATA on the way, in place of reading CORRECTED_DATA."""


class ImageOptions(Options):
    """How it is imaged, with the sources of which catalogue, and how it is found afterwards."""

    imaging: ImagingOptions = ImagingOptions()
    catalogues: CatalogueOptions = CatalogueOptions()
    archive: ArchiveOptions = ArchiveOptions()

    @property
    def chosen(self) -> ImagingOptions:
        """The imaging options, those of a quick look if that is asked for."""
        return self.imaging.quick() if self.imaging.mode == "quick" else self.imaging


class ImageResult(Result):
    """Numbers about an image."""

    rms_mjy_beam: float
    expected_rms_mjy_beam: float
    peak_jy_beam: float
    beam_major_arcsec: float
    beam_minor_arcsec: float
    beam_pa_deg: float
    flag_fraction: float
    n_visibilities: int
    n_pixels: int
    cell_arcsec: float
    frequency_mhz: float
    n_iterations: int
    n_major_cycles: int
    n_sources: int
    wall_seconds: float
    peak_memory_mib: float


class PlannedImage(Result):
    """What an image will be, and need."""

    n_pixels: int
    cell_arcsec: float
    n_averaged_visibilities: int
    memory_mib: float


def plan(inputs: ImageInputs, options: ImageOptions) -> PlannedImage:
    """Say what the image will be; no visibility is read."""
    from contimg_assets.radio.imaging.plan import plan as plan_image
    from contimg_assets.radio.measurement_set import read_shape

    planned = plan_image(read_shape(inputs.ms), options.chosen)
    return PlannedImage(
        n_pixels=planned.grid.n_pixels,
        cell_arcsec=planned.grid.cell_arcsec,
        n_averaged_visibilities=planned.n_visibilities,
        memory_mib=planned.memory_bytes / 2**20,
    )


def run(inputs: ImageInputs, options: ImageOptions, context: StageContext) -> ImageResult:
    """Image; see :func:`contimg_assets.radio.imaging.image.make_image`.

    Raises
    ------
    ImagingError
        If there is nothing to image, or the engine cannot do what is asked.
    """
    from contimg_assets.radio.calibration.apply import apply
    from contimg_assets.radio.images.plane_writer import WRITERS
    from contimg_assets.radio.imaging.image import make_image
    from contimg_assets.radio.imaging.start_model import known_sky
    from contimg_assets.radio.measurement_set import read_shape
    from contimg_assets.radio.quality.products import complete_products

    choices = options.chosen
    origin = json.loads(inputs.provenance.read_text()) if inputs.provenance else None
    sky = known_sky(context.catalogues, options.catalogues, read_shape(inputs.ms), choices.field_deg)
    with context.scratch_folder("image") as work, ThreadPoolExecutor(WRITERS) as writers:
        ms, calibration = inputs.ms, inputs.calibration
        if calibration is not None and choices.engine != "wgridder":
            # The other engines read calibrated data from a Measurement Set.
            apply(ms, calibration, work / ms.name)
            ms, calibration = work / ms.name, None
        made = make_image(
            ms,
            inputs.out,
            work,
            choices,
            name=inputs.name,
            provenance=origin,
            threads=context.threads,
            calibration=calibration,
            sky=sky,
            compressed=True,
            writers=writers,
        )
        # Meanwhile the planes are written.
        completed = complete_products(inputs.out, inputs.name, options.archive, made)
    return ImageResult.model_validate(made.numbers | completed)
