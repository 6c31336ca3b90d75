"""The image of one group: from a Measurement Set to a folder of FITS products."""

import json
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from contimg_assets.radio import beam, phasing
from contimg_assets.radio.errors import ImagingError
from contimg_assets.radio.imaging.beam_image import drift_beam
from contimg_assets.radio.imaging.fits import image_header, write_image
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.tclean import run_tclean
from contimg_assets.radio.imaging.visibilities import channels_to_average, read_stokes_i
from contimg_assets.radio.imaging.weights import imaging_weights
from contimg_assets.radio.imaging.wgridder import run_wgridder
from contimg_assets.radio.measurement_set import read_column, read_shape
from contimg_assets.radio.quality.noise import robust_rms
from contimg_assets.radio.quality.products import complete_products

_ARCSEC = np.pi / 180 / 3600


class ImagingChoices(Protocol):
    """What imaging needs to know (``ImagingSettings`` has it)."""

    engine: Any
    field_deg: float
    samples_per_beam: float
    weighting: Any
    robust: float
    iterations: int
    threshold_sigma: float
    gain: float
    w_planes: int
    beam_cutoff: float


def image_size(field_deg: float, cell_arcsec: float) -> int:
    """Smallest even number of pixels, with factors 2, 3 and 5 only, that covers the field."""
    n = int(np.ceil(field_deg * 3600.0 / cell_arcsec))
    n += n % 2
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 2


def make_image(
    ms: Path,
    out: Path,
    work: Path,
    choices: ImagingChoices,
    *,
    name: str,
    provenance: dict[str, Any] | None,
    threads: int,
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
    choices : ImagingChoices
    name : str
        Stem of the products' names.
    provenance : dict, optional
        What calibrated the data.
    threads : int
        That gridding may use.

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
    if provenance is not None and column == "data":
        raise ImagingError(f"{ms}: found no CORRECTED_DATA, yet a calibration set is named")
    flags = read_column(shape, "FLAG")
    flag_fraction = float(flags[:, shape.cross].mean())
    del flags
    field_rad = np.deg2rad(choices.field_deg)
    factor = channels_to_average(shape, beam.half_power_radius(shape.frequencies_hz.mean()))
    data = read_stokes_i(shape, "CORRECTED_DATA" if column == "corrected" else "DATA", factor)
    weights = imaging_weights(shape, data, choices.weighting, choices.robust, field_rad)
    narrowest = weights.narrowest_beam_rad / _ARCSEC
    cell = max(0.1, np.floor(narrowest / choices.samples_per_beam * 10) / 10)
    n_pixels = image_size(choices.field_deg, cell)
    if choices.engine == "tclean":
        result = run_tclean(
            ms,
            work,
            column=column,
            n_pixels=n_pixels,
            cell_arcsec=cell,
            weighting=choices.weighting,
            robust=choices.robust,
            iterations=choices.iterations,
            gain=choices.gain,
            threshold_jy=choices.threshold_sigma * weights.expected_noise_jy,
            threshold_sigma=choices.threshold_sigma,
            w_planes=choices.w_planes,
        )
    else:
        gridder = Gridder(data, weights.values, n_pixels, cell * _ARCSEC, threads)
        result = run_wgridder(
            gridder,
            iterations=choices.iterations,
            gain=choices.gain,
            threshold_sigma=choices.threshold_sigma,
            expected_noise_jy=weights.expected_noise_jy,
        )
    power = drift_beam(shape, data.frequencies_hz, weights.by_time_channel, n_pixels, cell * _ARCSEC)
    corrected = np.where(power >= choices.beam_cutoff, result.image / power, np.nan).astype(np.float32)
    rms = robust_rms(result.residual)
    frequency = float(np.average(data.frequencies_hz, weights=weights.by_time_channel.sum(axis=0)))
    settings = {
        "column": column,
        "channels_averaged": factor,
        **{key: getattr(choices, key) for key in sorted(ImagingChoices.__annotations__)},
    }
    header = image_header(
        shape,
        n_pixels,
        cell,
        result.beam,
        frequency,
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
    ):
        write_image(out / f"{name}.{kind}.fits", pixels, header, unit)
    peak = float(result.image.max())
    summary = {
        "group_centre": phasing.centre_name(*shape.centre),
        "rms_mjy_beam": 1e3 * rms,
        "expected_rms_mjy_beam": 1e3 * weights.expected_noise_jy,
        "peak_jy_beam": peak,
        "beam_major_arcsec": result.beam.major_arcsec,
        "beam_minor_arcsec": result.beam.minor_arcsec,
        "beam_pa_deg": result.beam.position_angle_deg,
        "flag_fraction": flag_fraction,
        "n_visibilities": weights.n_visibilities,
        "n_pixels": n_pixels,
        "cell_arcsec": cell,
        "frequency_mhz": frequency / 1e6,
        "n_iterations": result.n_iterations,
        "n_major_cycles": result.n_major_cycles,
        "wall_seconds": time.monotonic() - began,
    }
    (out / "summary.json").write_text(
        json.dumps({**summary, "settings": settings, "calibration": provenance}, indent=1, default=str)
    )
    return summary | complete_products(out, name)
