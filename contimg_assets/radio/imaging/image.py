"""The image of one group: from a Measurement Set to a folder of FITS products."""

import json
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from contimg_assets.radio import beam, phasing
from contimg_assets.radio.caltables.jones import read_jones
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.images.components import components, points_image
from contimg_assets.radio.images.fits import celestial_wcs, image_header, write_image
from contimg_assets.radio.images.grid import ARCSEC, ImageGrid
from contimg_assets.radio.images.local_noise import local_noise
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.source_finding import read_plane
from contimg_assets.radio.imaging.beam_image import drift_beam
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.engine import EngineImages, Spectrum
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.injection import inject_into_visibilities
from contimg_assets.radio.imaging.model_data import Components, write_components
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.outlier_sources import OutsideSources
from contimg_assets.radio.imaging.spectra import Spectra
from contimg_assets.radio.imaging.start_model import Appearance, appearance, inside, outside
from contimg_assets.radio.imaging.tclean import run_tclean
from contimg_assets.radio.imaging.visibilities import (
    StokesI,
    channels_to_average,
    read_stokes_i,
    slots,
    unflagged,
)
from contimg_assets.radio.imaging.weights import Weights, imaging_weights
from contimg_assets.radio.imaging.wgridder import run_wgridder
from contimg_assets.radio.imaging.wsclean import run_wsclean
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX, Source

#: Sources outside the image that appear this many times the noise are named: a hundredth of that, which
#: the dirty beam has along the array's arms, is the noise.
_OUTSIDE_SIGMA = 100.0
#: Peak memory of a process with our own engine: libraries and compiled code, …
_BASE_BYTES = 340_000_000
#: … and, of each averaged visibility and each pixel, what gridding and prediction hold, …
_PREDICTION_BYTES = (95, 50)
#: … or what restoring and the products do; whichever is more (measured, tiny to full, quick and full).
_PRODUCTS_BYTES = (53, 90)


def image_size(field_deg: float, cell_arcsec: float) -> int:
    """Smallest multiple of ten with factors 2, 3 and 5 only that covers the field, in pixels.

    CASA pads an image by 1.2 to the next even number of such factors, but computes its
    w-projection kernels for 1.2 exactly. Only a multiple of ten makes the two the same; at
    2592 pixels the kernels miss 5 % of w, 1.7" at 1.8° from the centre.
    """
    n = 10 * int(np.ceil(field_deg * 3600.0 / cell_arcsec / 10.0))
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 10


@dataclass(frozen=True)
class Plan:
    """What an image will be, before a visibility is read."""

    factors: NDArray[np.int64]
    """Channels of each baseline to average into one."""
    grid: ImageGrid
    n_visibilities: int
    """After averaging."""
    memory_bytes: int
    """Peak of the whole process, for our own engine."""


def plan(shape: GroupShape, choices: ImagingOptions) -> Plan:
    """Averaging, pixels and memory of an image, from the group's geometry alone.

    The cell follows from the dirty beam that unflagged data would have, of
    every eighth integration: the array turns little in between.
    """
    half_power = beam.half_power_radius(shape.frequencies_hz.mean())
    lengths = (choices.shortest_wavelengths, choices.longest_wavelengths)
    factors = channels_to_average(shape, half_power, uv_range=lengths)
    if not factors.any():
        raise ImagingError(f"{shape.path}: no baseline has a length of {lengths} wavelengths")
    data = unflagged(replace(shape, times_jd=shape.times_jd[::8]), factors)
    weights = _weights(shape, data, choices)
    narrowest = weights.narrowest_beam_rad / ARCSEC
    cell = float(max(0.1, np.floor(narrowest / choices.samples_per_beam * 10) / 10))
    grid = ImageGrid(image_size(choices.field_deg, cell), cell)
    n_visibilities = int(np.sum(slots(shape, factors))) * shape.n_times
    return Plan(
        factors,
        grid,
        n_visibilities,
        _BASE_BYTES
        + max(v * n_visibilities + p * grid.n_pixels**2 for v, p in (_PREDICTION_BYTES, _PRODUCTS_BYTES)),
    )


def _weights(shape: GroupShape, data: StokesI, choices: ImagingOptions) -> Weights:
    lengths = (choices.shortest_wavelengths, choices.longest_wavelengths)
    return imaging_weights(
        shape, data, choices.weighting, choices.robust, np.deg2rad(choices.field_deg), lengths
    )


def make_image(
    ms: Path,
    out: Path,
    work: Path,
    choices: ImagingOptions,
    *,
    name: str,
    provenance: dict[str, Any] | None,
    threads: int,
    tables: Sequence[Path] = (),
    sky: Sequence[Source] = (),
) -> dict[str, Any]:
    """Image a group and write its products.

    Parameters
    ----------
    ms : Path
        Calibrated (CORRECTED_DATA) or, without that column, as it is.
    out : Path
        Folder for ``<name>.image.fits`` and the rest.
    work : Path
        Folder for CASA's images; the caller removes it.
    choices : ImagingOptions
    name : str
        Stem of the products' names.
    provenance : dict, optional
        What calibrated the data.
    threads : int
        That gridding may use.
    tables : sequence of Path
        Calibration tables to apply to DATA on the way, instead of reading
        CORRECTED_DATA; our own engine only.
    sky : sequence of Source
        Known sources in and around the field, from which CLEAN may start and of which
        those outside the image are named.

    Returns
    -------
    dict
        Numbers about the image.

    Raises
    ------
    ImagingError
        If there is nothing to image.
    """
    from casacore.tables import table

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    shape = read_shape(ms)
    with table(str(ms), ack=False) as main:
        column = "corrected" if "CORRECTED_DATA" in main.colnames() else "data"
    if tables:
        if choices.engine != "wgridder":
            raise ImagingError(f"{ms}: {choices.engine} cannot apply tables; expected the engine wgridder")
        column = "data"
    if choices.inject and choices.engine != "wgridder":
        raise ImagingError(f"{ms}: {choices.engine} cannot inject sources; expected the engine wgridder")
    if not tables and provenance is not None and column == "data":
        raise ImagingError(f"{ms}: found no CORRECTED_DATA, yet a calibration set is named")
    planned = plan(shape, choices)
    data = read_stokes_i(
        shape,
        "CORRECTED_DATA" if column == "corrected" else "DATA",
        planned.factors,
        read_jones(tables, shape) if tables else None,
    )
    weights = _weights(shape, data, choices)
    grid = planned.grid
    seen = appearance(shape, weights, sky)
    least_jy = (choices.seed_sigma or np.inf) * weights.expected_noise_jy
    start = inside(seen, grid, least_jy, measured=choices.engine == "wgridder")
    looked_for = (choices.outside_sigma or np.inf) * weights.expected_noise_jy
    far = outside(seen, grid, looked_for)

    def run(used: StokesI) -> EngineImages:
        return _run(choices, ms, work, column, planned, threads, shape, used, weights, start, far)

    result = run(data)
    if not np.isfinite(result.image).all():
        raise ImagingError(f"{ms}: {choices.engine} made an image that is not finite")
    power = drift_beam(shape, weights.bin_frequencies_hz, weights.by_time_frequency, grid)
    corrected = np.where(power >= choices.beam_cutoff, result.image / power, np.nan).astype(np.float32)
    rms = robust_rms(result.residual)
    frequency = float(np.average(weights.bin_frequencies_hz, weights=weights.by_time_frequency.sum(axis=0)))
    used = np.flatnonzero(weights.by_time_frequency.sum(axis=0))
    band = float(np.ptp(shape.frequencies_hz)) + shape.channel_width_hz
    settings = {
        "column": column,
        "channels_averaged": float(
            shape.n_channels * shape.n_times * np.count_nonzero(planned.factors) / planned.n_visibilities
        ),
        **{key: value for key, value in sorted(choices.model_dump().items())},
    }
    header = image_header(
        shape,
        grid,
        result.beam,
        frequency,
        band * float(np.ptp(used) + 1) / len(weights.bin_frequencies_hz),
        settings,
        {"NOISE": rms, "NOISEEXP": weights.expected_noise_jy, "PBCUT": choices.beam_cutoff},
        provenance,
    )
    for kind, pixels, unit in (
        ("image", result.image, "Jy/beam"),
        ("pbcor", corrected, "Jy/beam"),
        ("pb", power, ""),
        ("residual", result.residual, "Jy/beam"),
        ("model", result.model, "Jy/pixel"),
        ("psf", result.psf, ""),
        ("mask", result.mask, ""),
    ):
        write_image(out / f"{name}.{kind}.fits", pixels, header, unit)
    drift = Drift(shape, data, weights)
    l, m, flux = result.components or components(result.model, grid)
    index = np.full(len(l), TYPICAL_SPECTRAL_INDEX) if result.indices is None else result.indices
    write_components(
        out / f"{name}.components.fits",
        Components(
            *(l, m, flux, index, drift.mean_response(l, m, index), drift.reference_hz),
            outside=result.outside_points,
        ),
        shape,
    )
    injected: dict[str, float] = {}
    if choices.inject:
        plane = read_plane(out / f"{name}.image.fits")
        injected = inject_into_visibilities(
            plane,
            power,
            local_noise(plane, result.residual, result.psf, power),
            _gridder(planned, data, weights, threads),
            drift,
            lambda added: run(replace(data, values=data.values + added)),
        )
    peak = float(result.image.max())
    beyond = min(looked_for, _OUTSIDE_SIGMA * weights.expected_noise_jy)
    taken = {one["name"]: one for one in result.outside}
    summary = {
        "group_centre": phasing.centre_name(*shape.centre),
        "rms_mjy_beam": 1e3 * rms,
        "expected_rms_mjy_beam": 1e3 * weights.expected_noise_jy,
        "peak_jy_beam": peak,
        "beam_major_arcsec": result.beam.major_arcsec,
        "beam_minor_arcsec": result.beam.minor_arcsec,
        "beam_pa_deg": result.beam.position_angle_deg,
        "flag_fraction": data.flag_fraction,
        "n_visibilities": weights.n_visibilities,
        "n_pixels": grid.n_pixels,
        "cell_arcsec": grid.cell_arcsec,
        "frequency_mhz": frequency / 1e6,
        "n_iterations": result.n_iterations,
        "n_major_cycles": result.n_major_cycles,
        "n_seeds": len(start),
        "outside_sources": [one | taken.get(one["name"], {}) for one in outside(seen, grid, beyond).as_list()]
        if sky
        else None,
        "spectra": _on_the_sky(result.spectra, header, grid),
        **injected,
        "wall_seconds": time.monotonic() - began,
        # Of the process: all that it has done before, too.
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (out / "summary.json").write_text(
        json.dumps({**summary, "settings": settings, "calibration": provenance}, indent=1, default=str)
    )
    return summary


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


def _run(
    choices: ImagingOptions,
    ms: Path,
    work: Path,
    column: str,
    planned: Plan,
    threads: int,
    shape: GroupShape,
    data: StokesI,
    weights: Weights,
    start: Appearance,
    far: Appearance,
) -> EngineImages:
    """The engine that is asked for."""
    if choices.engine == "wgridder":
        return run_wgridder(
            _gridder(planned, data, weights, threads),
            data.values,
            Drift(shape, data, weights),
            iterations=choices.iterations,
            gain=choices.gain,
            threshold_sigma=choices.threshold_sigma,
            expected_noise_jy=weights.expected_noise_jy,
            major_cycles=choices.major_cycles,
            scales_arcsec=choices.scales_arcsec,
            start=start,
            outside=OutsideSources(data, weights.values, far, planned.grid) if len(far) else None,
            spectra=Spectra(
                data,
                weights.values,
                weights.expected_noise_jy,
                choices.spectra_sigma * weights.expected_noise_jy,
            )
            if choices.spectra_sigma
            else None,
        )
    shared: dict[str, Any] = {
        "column": column,
        "grid": planned.grid,
        "weighting": choices.weighting,
        "robust": choices.robust,
        "uv_range": (choices.shortest_wavelengths, choices.longest_wavelengths),
        "iterations": choices.iterations,
        "gain": choices.gain,
        "scales_arcsec": choices.scales_arcsec,
        "threshold_sigma": choices.threshold_sigma,
        "start": points_image(start.points, planned.grid) if len(start) else None,
    }
    if choices.engine == "wsclean":
        frequency = float(shape.frequencies_hz.mean())
        return run_wsclean(ms, work, threads=threads, centre=shape.centre, frequency_hz=frequency, **shared)
    threshold_jy = choices.threshold_sigma * weights.expected_noise_jy
    return run_tclean(ms, work, threshold_jy=threshold_jy, w_planes=choices.w_planes, **shared)


def _gridder(planned: Plan, data: StokesI, weights: Weights, threads: int) -> Gridder:
    return Gridder(data.uvw, weights.values, planned.grid, threads)
