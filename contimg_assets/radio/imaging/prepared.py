"""A group ready to be imaged: planned, its visibilities read and weighed, and the engine that images them.

Belongs here: what is the same whatever is made of the visibilities.  Does not belong here: products and
their numbers (``image.py``).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.set_beam import beam_of_set
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.corrections import open_corrections
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.components import points_image
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.engine import EngineImages
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.plan import Plan, plan, weigh
from contimg_assets.radio.imaging.smearing import Smearing
from contimg_assets.radio.imaging.start_model import (
    ApparentSources,
    apparent_sources,
    outlier_sources,
    start_model,
)
from contimg_assets.radio.imaging.tclean import run_tclean
from contimg_assets.radio.imaging.visibilities import StokesI, read_stokes_i
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.imaging.wgridder import run_wgridder
from contimg_assets.radio.imaging.wsclean import run_wsclean
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.sky import Source


@dataclass(frozen=True)
class Prepared:
    """What any engine needs to make the image of a group."""

    ms: Path
    work: Path
    column: str
    options: ImagingOptions
    plan: Plan
    data: StokesI
    drift: Drift
    """With the group's geometry and imaging weights."""
    apparent: ApparentSources
    """The known sky as the group shows it."""
    threads: int

    @property
    def shape(self) -> GroupShape:
        """Geometry of the group."""
        return self.drift.shape

    @property
    def weights(self) -> Weights:
        """Imaging weights."""
        return self.drift.weights

    @property
    def grid(self) -> ImageGrid:
        """Pixels of the image."""
        return self.plan.grid

    @property
    def smearing(self) -> Smearing:
        """What averaging leaves of sources; the other engines than ours average no channels."""
        if self.options.engine == "wgridder":
            return self.drift.smearing
        return Smearing.of(self.shape, self.data, self.weights, self.shape.channel_width_hz)

    @property
    def start(self) -> ApparentSources:
        """The start model."""
        least_jy = self.options.start_sigma * self.weights.expected_noise_jy
        measured = self.options.engine == "wgridder"
        return start_model(self.apparent, self.grid, least_jy, measured=measured)

    @property
    def least_outlier_jy(self) -> float:
        """Apparent flux density from which outlier sources are subtracted."""
        return (self.options.outside_sigma or np.inf) * self.weights.expected_noise_jy

    def run(self, visibilities: NDArray[np.complex64]) -> EngineImages:
        """Image visibilities with the engine that is asked for; the others than ours read their own."""
        options = self.options
        if options.engine == "wgridder":
            return run_wgridder(
                self.drift,
                visibilities,
                self.grid,
                options,
                threads=self.threads,
                start=self.start,
                outliers=outlier_sources(self.apparent, self.grid, self.least_outlier_jy),
            )
        start = points_image(self.start.points, self.grid) if len(self.start) else None
        if options.engine == "wsclean":
            return run_wsclean(
                self.ms,
                self.work,
                self.grid,
                options,
                column=self.column,
                threads=self.threads,
                start=start,
                centre=self.shape.centre,
                frequency_hz=float(self.shape.frequencies_hz.mean()),
            )
        threshold_jy = options.threshold_sigma * self.weights.expected_noise_jy
        return run_tclean(
            self.ms,
            self.work,
            self.grid,
            options,
            column=self.column,
            threshold_jy=threshold_jy,
            start=start,
        )


def prepare(
    ms: Path,
    work: Path,
    options: ImagingOptions,
    provenance: dict[str, Any] | None,
    threads: int,
    calibration: Calibration | None,
    sky: Sequence[Source],
    less: Sequence[Source],
) -> Prepared:
    """Plan an image, read the visibilities and weigh them.

    Parameters
    ----------
    ms, work, options, provenance, threads, calibration, sky
        As of ``image.make_image``.
    less : sequence of Source
        Sources to take from the visibilities.

    Returns
    -------
    Prepared

    Raises
    ------
    ImagingError
        If what is asked for does not go together, or everything is flagged.
    """
    shape = read_shape(ms)
    if calibration is not None:
        shape = replace(shape, beam=beam_of_set(calibration.tables))
    column = _column(ms, options, provenance, calibration)
    planned = plan(shape, options)
    with nullcontext() if calibration is None else open_corrections(shape, calibration) as corrections:
        stored = "CORRECTED_DATA" if column == "corrected" else "DATA"
        data = read_stokes_i(shape, stored, planned.factors, corrections, less)
    weights = weigh(shape, data, options)
    return Prepared(
        ms=ms,
        work=work,
        column=column,
        options=options,
        plan=planned,
        data=data,
        drift=Drift(shape, data, weights),
        apparent=apparent_sources(shape, weights, sky),
        threads=threads,
    )


def _column(
    ms: Path, options: ImagingOptions, provenance: dict[str, Any] | None, calibration: Calibration | None
) -> str:
    """Column to image, as CASA calls it; ImagingError where what is asked for does not go together."""
    from casacore.tables import table

    with table(str(ms), ack=False) as main:
        column = "corrected" if "CORRECTED_DATA" in main.colnames() else "data"
    if calibration is not None:
        if options.engine != "wgridder":
            raise ImagingError(f"{ms}: {options.engine} applies no tables; expected the engine wgridder")
        column = "data"
    if options.inject and options.engine != "wgridder":
        raise ImagingError(f"{ms}: {options.engine} cannot inject sources; expected the engine wgridder")
    if calibration is None and provenance is not None and column == "data":
        raise ImagingError(f"{ms}: found no CORRECTED_DATA, yet a calibration set is named")
    return column
