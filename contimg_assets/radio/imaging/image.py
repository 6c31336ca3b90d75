"""The image of one group: from a Measurement Set to a folder of FITS products."""

import json
import resource
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.components import components
from contimg_assets.radio.images.fits import celestial_wcs, image_header
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.local_noise import local_noise
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.plane_writer import WRITERS, PlaneWriter
from contimg_assets.radio.images.provenance import commented
from contimg_assets.radio.images.source_finding import ImagePlane
from contimg_assets.radio.imaging.beam_image import image_frequency_hz, typical_response
from contimg_assets.radio.imaging.engine import EngineImages, Spectrum
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.injection import inject_into_visibilities
from contimg_assets.radio.imaging.model_data import Components, write_components
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.planes import Made, planes_of, write_planes
from contimg_assets.radio.imaging.prepared import Prepared, prepare
from contimg_assets.radio.imaging.smearing import Smearing
from contimg_assets.radio.imaging.start_model import outlier_sources
from contimg_assets.radio.imaging.system_noise import SystemNoise
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX, Source
from contimg_assets.radio.strong_sources import StrongSource, strong_sources

#: Outlier sources that appear this many times the noise are named: a hundredth of that, which the
#: dirty beam has along the array's arms, is the noise.
_NAMED_SIGMA = 100.0


def make_image(
    ms: Path,
    out: Path,
    work: Path,
    options: ImagingOptions,
    *,
    name: str,
    provenance: dict[str, Any] | None,
    threads: int,
    calibration: Calibration | None = None,
    sky: Sequence[Source] = (),
    compressed: bool = False,
    writers: Executor | None = None,
) -> Made:
    """Image a group and write its products.

    Parameters
    ----------
    ms : Path
        Calibrated (CORRECTED_DATA) or, without that column, as it is.
    out : Path
        Folder for ``<name>.image.fits`` and the rest.
    work : Path
        Folder for CASA's images; the caller removes it.
    options : ImagingOptions
    name : str
        Stem of the products' names.
    provenance : dict, optional
        What calibrated the data.
    threads : int
        That gridding may use.
    calibration : Calibration, optional
        Flags and tables to apply to DATA on the way, instead of reading
        CORRECTED_DATA; our own engine only.
    sky : sequence of Source
        Known sources in and around the field, from which CLEAN may start and of which
        outlier sources are named.
    compressed : bool
        Whether the planes that few people open are written compressed: of an image that is kept.
    writers : Executor, optional
        By whose threads the planes are written while the caller goes on, who has to see them finished
        (``Made.writer``); otherwise they are there on return.

    Returns
    -------
    Made

    Raises
    ------
    ImagingError
        If there is nothing to image.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    imaging = prepare(ms, work, options, provenance, threads, calibration, sky, ())
    result, power = _images(imaging)
    settings = _settings(imaging)
    strong = _strong_sources(imaging)
    header = _header(imaging, result, settings, provenance)
    if strong:
        header["STRONG"] = commented(
            "; ".join(one.text for one in strong), "strong sources above the horizon"
        )
    planes = planes_of(result, power, header)
    with ThreadPoolExecutor(WRITERS) if writers is None else nullcontext(writers) as pool:
        noise = robust_rms(result.residual) if compressed else None
        writer = PlaneWriter(out, name, header, noise, pool)
        write_planes(writer, planes, result.mask)
        if writers is None:
            writer.finish()
    write_components(out / f"{name}.components.fits", _components(imaging, result), imaging.shape)
    injected = _inject(imaging, result, planes) if options.inject else {}
    summary = {
        **_numbers(imaging, result),
        **(imaging.data.noise or SystemNoise.unknown()).as_numbers(imaging.shape),
        "strong_sources": [asdict(one) for one in strong],
        "outside_sources": _outlier_numbers(imaging, result) if sky else None,
        "dish_offsets": result.dish_offsets,
        "spectra": _on_the_sky(result.spectra, header, imaging.grid),
        **injected,
        "wall_seconds": time.monotonic() - began,
        # Of the process: all that it has done before, too.
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (out / "summary.json").write_text(
        json.dumps({**summary, "settings": settings, "calibration": provenance}, indent=1, default=str)
    )
    return Made(summary, planes, writer)


def make_planes(imaging: Prepared) -> dict[str, ImagePlane]:
    """Image a group and write nothing; our own engine only.

    Returns
    -------
    dict
        The planes of :class:`Made`.
    """
    result, power = _images(imaging)
    return planes_of(result, power, _header(imaging, result, _settings(imaging), None))


def _images(imaging: Prepared) -> tuple[EngineImages, NDArray[np.float32]]:
    """What the engine makes, and the primary beam; ImagingError if it made no numbers."""
    with ThreadPoolExecutor(1) as beside:
        # One core's work: it takes the time in which the engine has none for the others.
        power = beside.submit(_response, imaging, imaging.smearing)
        result = imaging.run(imaging.data.values)
    if not np.isfinite(result.image).all():
        raise ImagingError(f"{imaging.ms}: {imaging.options.engine} made an image that is not finite")
    return result, power.result()


def _response(imaging: Prepared, smearing: Smearing) -> NDArray[np.float32]:
    """What the image shows of sources, over their flux densities."""
    power = typical_response(imaging.shape, imaging.weights, imaging.grid)
    power *= smearing.over(imaging.grid)
    return power


def _settings(imaging: Prepared) -> dict[str, Any]:
    """What an image was made with, for its header and its summary."""
    shape, planned = imaging.shape, imaging.plan
    n_samples = shape.n_channels * shape.n_times * np.count_nonzero(planned.factors)
    return {
        "beam": shape.beam.version,
        "column": imaging.column,
        "channels_averaged": float(n_samples / planned.n_visibilities),
        **dict(sorted(imaging.options.model_dump().items())),
    }


def _header(
    imaging: Prepared, result: EngineImages, settings: dict[str, Any], provenance: dict[str, Any] | None
) -> Header:
    """Header that all products of the image share."""
    shape, weights = imaging.shape, imaging.weights
    used = np.flatnonzero(weights.by_time_frequency.sum(axis=0))
    band = float(np.ptp(shape.frequencies_hz)) + shape.channel_width_hz
    return image_header(
        shape,
        imaging.grid,
        result.beam,
        frequency_hz=image_frequency_hz(weights),
        bandwidth_hz=band * float(np.ptp(used) + 1) / len(weights.bin_frequencies_hz),
        settings=settings,
        numbers={
            "PBWIDTH": shape.beam.width,
            "PBEAST": shape.beam.east_deg,
            "PBNORTH": shape.beam.north_deg,
            "NOISE": robust_rms(result.residual),
            "NOISEEXP": weights.expected_noise_jy,
            "PBCUT": imaging.options.beam_cutoff,
        },
        provenance=provenance,
    )


def _components(imaging: Prepared, result: EngineImages) -> Components:
    """The model as points, with what their flux densities are means of."""
    drift = imaging.drift
    l, m, flux = result.components or components(result.model, imaging.grid)
    index = np.full(len(l), TYPICAL_SPECTRAL_INDEX) if result.indices is None else result.indices
    return Components(
        l=l,
        m=m,
        flux=flux,
        index=index,
        mean_response=drift.mean_response(l, m, index),
        reference_hz=drift.reference_hz,
        outliers=result.outlier_points,
        slopes=result.slopes,
    )


def _inject(imaging: Prepared, result: EngineImages, planes: dict[str, ImagePlane]) -> dict[str, float]:
    """Completeness and flux densities of sources put into the visibilities."""
    plane, power, data = planes["image"], planes["pb"].pixels, imaging.data
    return inject_into_visibilities(
        plane,
        power,
        local_noise(plane, result.residual, result.psf, power),
        result.psf,
        imaging.options.threshold_sigma,
        Gridder(data.uvw, imaging.weights.values, imaging.grid, imaging.threads),
        imaging.drift,
        lambda added: imaging.run(data.values + added),
    )


def _numbers(imaging: Prepared, result: EngineImages) -> dict[str, Any]:
    """Numbers about the image that every engine has."""
    weights = imaging.weights
    return {
        "group_centre": phasing.centre_name(*imaging.shape.centre),
        "rms_mjy_beam": 1e3 * robust_rms(result.residual),
        "expected_rms_mjy_beam": 1e3 * weights.expected_noise_jy,
        "nominal_rms_mjy_beam": 1e3 * weights.nominal_noise_jy,
        "peak_jy_beam": float(result.image.max()),
        "beam_major_arcsec": result.beam.major_arcsec,
        "beam_minor_arcsec": result.beam.minor_arcsec,
        "beam_pa_deg": result.beam.position_angle_deg,
        "flag_fraction": imaging.data.flag_fraction,
        "n_visibilities": weights.n_visibilities,
        "n_pixels": imaging.grid.n_pixels,
        "cell_arcsec": imaging.grid.cell_arcsec,
        "frequency_mhz": image_frequency_hz(weights) / 1e6,
        "n_iterations": result.n_iterations,
        "n_major_cycles": result.n_major_cycles,
        "n_seeds": len(imaging.start),
        "primary_beam": imaging.shape.beam.version,
        "primary_beam_width": imaging.shape.beam.width,
    }


def _strong_sources(imaging: Prepared) -> list[StrongSource]:
    """The Sun and its like, where they may show in the sidelobes of the dishes."""
    shape = imaging.shape
    mjd = float(shape.times_jd.mean()) - phasing.JD_OF_MJD_0
    return strong_sources(mjd, shape.declination_rad, image_frequency_hz(imaging.weights))


def _outlier_numbers(imaging: Prepared, result: EngineImages) -> list[dict[str, Any]]:
    """Outlier sources that may show, with what was subtracted of them."""
    subtracted = {one["name"]: one for one in result.outlier_sources}
    least_jy = min(imaging.least_outlier_jy, _NAMED_SIGMA * imaging.weights.expected_noise_jy)
    named = outlier_sources(imaging.apparent, imaging.grid, least_jy)
    return [one | subtracted.get(one["name"], {}) for one in named.as_list()]


def _on_the_sky(spectra: Sequence[Spectrum], header: Header, grid: ImageGrid) -> list[dict[str, float]]:
    """Spectra with ICRS positions."""
    pixels = np.array([grid.pixels(s.l, s.m) for s in spectra]).reshape(-1, 2)
    return [
        {
            "ra_deg": float(ra),
            "dec_deg": float(dec),
            "apparent_jy": s.apparent_jy,
            "spectral_index": s.index,
            "spectral_index_error": s.error,
        }
        for s, (ra, dec) in zip(spectra, celestial_wcs(header).all_pix2world(pixels, 0), strict=True)
    ]
