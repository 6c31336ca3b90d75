"""An image's model as a list of components, as visibilities, and as MODEL_DATA of a clone.

Belongs here: the product ``components`` and what it says about every channel
and integration.  Does not belong here: how CLEAN predicts (``predict.py``),
which averages channels and needs no more than an image shows.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Column, Table
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT
from scipy.interpolate import make_interp_spline

from contimg_assets.radio import phasing
from contimg_assets.radio.errors import ImagingError, MissingInputError
from contimg_assets.radio.files import clone_tree
from contimg_assets.radio.images.components import offsets_from_centre
from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.drift import response
from contimg_assets.radio.imaging.engine import OutlierPoints, Slopes
from contimg_assets.radio.imaging.predict import Predictor
from contimg_assets.radio.imaging.visibilities import baselines_m
from contimg_assets.radio.measurement_set import GroupShape, add_column_like_data, read_shape
from contimg_assets.radio.prediction import Averaging, point_source_visibilities

#: Frequencies at which the beam is computed: splines between them err by 1e-6.
_BAND_SAMPLES = 16
#: Name of the second table of the product.
_OUTSIDE = "OUTSIDE"
#: Error of a visibility, relative to the root of the sum of the components' squares, and the
#: coarsest that a small part of them needs.
_ACCURACY, _COARSEST = 1e-5, 1e-2


@dataclass(frozen=True)
class Components:
    """Points of a model: means over the group and what they are means of."""

    l: NDArray[np.float64]
    """Direction cosines from the phase centre, apparent, shape (n,)."""
    m: NDArray[np.float64]
    flux: NDArray[np.float32]
    """Mean apparent flux densities, Jy."""
    index: NDArray[np.float64]
    """Spectral indices."""
    mean_response: NDArray[np.float64]
    """Weighted mean of beam × spectrum; 0 where the beam is not known: constant then."""
    reference_hz: float
    """Frequency at which the spectrum is one."""
    outliers: OutlierPoints | None = None
    """What was subtracted of outlier sources."""
    slopes: Slopes | None = None
    """What is left of spectra, which is no part of the model."""

    def at(self, shape: GroupShape, t: int, frequencies_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apparent flux densities in an integration, Jy, shape (n, n_frequencies)."""
        one = replace(shape, times_jd=shape.times_jd[t : t + 1])
        responses = response(one, self.l, self.m, frequencies_hz, self.reference_hz, self.index)[:, 0]
        known = self.mean_response > 0
        share = responses / np.where(known, self.mean_response, 1.0)[:, None]
        return self.flux.astype(np.float64)[:, None] * np.where(known[:, None], share, 1.0)


def write_components(path: Path, components: Components, shape: GroupShape) -> None:
    """Write the product: a FITS table, with what is needed to hold it against a Measurement Set."""
    slopes = components.slopes or Slopes(np.full(len(components.l), np.nan), 0.0)
    table = Table(
        [
            Column(components.l, "l", description="direction cosine, east, from the phase centre"),
            Column(components.m, "m", description="direction cosine, north"),
            Column(components.flux, "flux_jy", unit="Jy", description="apparent, mean over the group"),
            Column(components.index, "spectral_index", description="measured where bright, or typical"),
            Column(
                components.mean_response,
                "mean_response",
                description="weighted mean of beam x spectrum; 0: the component is constant",
            ),
            Column(
                slopes.left_jy.astype(np.float32),
                "slope_left_jy",
                unit="Jy",
                description="residual's derivative by the logarithm of frequency there; NaN: not measured",
            ),
        ],
        meta={
            "REFFREQ": components.reference_hz,
            "CENTRERA": float(shape.centre[0]),
            "CENTREDE": float(shape.centre[1]),
            "FIRSTJD": float(shape.times_jd[0]),
            # Of slope_left_jy; 0: not measured.
            "SLOPENOI": slopes.noise_jy,
        },
    )
    tables = [fits.PrimaryHDU(), fits.table_to_hdu(table)]
    if components.outliers is not None:
        tables.append(_outlier_table(components.outliers))
    fits.HDUList(tables).writeto(path)


def _outlier_table(points: OutlierPoints) -> fits.BinTableHDU:
    """Points of outlier sources, by integration and part of the band."""
    table = Table(
        [
            Column(points.names, "name", description="source that it belongs to"),
            Column(points.l, "l", description="direction cosine, east, from the phase centre"),
            Column(points.m, "m", description="direction cosine, north"),
            Column(
                points.amplitude_jy, "amplitude_jy", unit="Jy", description="by integration and part of band"
            ),
        ],
        meta={"BANDLOW": points.band_hz[0], "BANDHIGH": points.band_hz[1]},
    )
    return fits.table_to_hdu(table, name=_OUTSIDE)


def _read_outliers(path: Path) -> OutlierPoints | None:
    with fits.open(path) as tables:
        if _OUTSIDE not in tables:
            return None
        table = Table.read(tables[_OUTSIDE])
    l, m, amplitude = (np.asarray(table[name], np.float64) for name in ("l", "m", "amplitude_jy"))
    band = float(table.meta["BANDLOW"]), float(table.meta["BANDHIGH"])
    return OutlierPoints(tuple(str(name) for name in table["name"]), l, m, amplitude, band)


def write_model_data(ms: Path, image: Path, out: Path, threads: int) -> dict[str, Any]:
    """Clone a Measurement Set and fill MODEL_DATA with what an image's model says of it.

    Every channel and integration gets the components as they drift through the beam, in the
    set's sign: CORRECTED_DATA − MODEL_DATA is what CLEAN left.  XX and YY get Stokes I,
    autocorrelations and cross-hands nothing.

    Parameters
    ----------
    ms : Path
        The Measurement Set that was imaged; not touched.
    image : Path
        Folder of its image's products.
    out : Path
        The clone.
    threads : int

    Returns
    -------
    dict
        Numbers about the model.

    Raises
    ------
    MissingInputError
        If the folder has no components.
    ImagingError
        If they are of another group.
    """
    from casacore.tables import table

    began = time.monotonic()
    shape = read_shape(ms)
    components = read_components(image, shape)
    clone_tree(ms, out)
    model = np.zeros(shape.data_shape[1:], np.complex64)
    hands = [0, shape.n_polarisations - 1]
    squares = 0.0
    with table(str(out), readonly=False, ack=False) as main:
        if "MODEL_DATA" not in main.colnames():
            add_column_like_data(main, "MODEL_DATA")
        for t, axes in enumerate(shape.axes()):
            visibilities = predict_integration(shape, t, axes, components, threads)
            squares += float(np.mean(np.abs(visibilities) ** 2))
            for hand in hands:
                model[shape.cross, :, hand] = visibilities
            main.putcol("MODEL_DATA", model, t * shape.n_baselines, shape.n_baselines)
    return {
        "n_components": len(components.l),
        "model_flux_jy": float(components.flux.sum()),
        "model_rms_jy": float(np.sqrt(squares / shape.n_times)),
        "wall_seconds": time.monotonic() - began,
    }


def read_components(image: Path, shape: GroupShape) -> Components:
    """Read the product of an image of a group.

    Raises
    ------
    MissingInputError
        If the folder has no components.
    ImagingError
        If they are of another group.
    """
    found = sorted(image.glob("*.components.fits"))
    if len(found) != 1:
        raise MissingInputError(f"{image}: found {len(found)} files *.components.fits; expected one")
    table = Table.read(found[0], hdu=1)
    of = [table.meta[key] for key in ("CENTRERA", "CENTREDE", "FIRSTJD")]
    if not np.allclose(of, [*shape.centre, shape.times_jd[0]], rtol=0, atol=1e-8):
        raise ImagingError(
            f"{found[0]}: found components of a group at JD {of[2]:.6f}; "
            f"expected those of {shape.path}, JD {shape.times_jd[0]:.6f}"
        )
    l, m, index, mean = (
        np.asarray(table[name], np.float64) for name in ("l", "m", "spectral_index", "mean_response")
    )
    flux = np.asarray(table["flux_jy"], np.float32)
    reference = float(table.meta["REFFREQ"])
    return Components(
        l=l,
        m=m,
        flux=flux,
        index=index,
        mean_response=mean,
        reference_hz=reference,
        outliers=_read_outliers(found[0]),
    )


def predict_integration(
    shape: GroupShape, t: int, axes: NDArray[np.float64], components: Components, threads: int
) -> NDArray[np.complex64]:
    """Stokes I of an integration's cross-correlations.

    Parameters
    ----------
    shape : GroupShape
    t : int
        The integration.
    axes : ndarray, shape (3, 3)
        Its axes of u, v and w.
    components : Components
    threads : int

    Returns
    -------
    ndarray, complex64, shape (n_cross, n_channels)
        Jy.
    """
    lengths = baselines_m(shape) @ axes.T
    frequencies = shape.frequencies_hz
    uvw = (lengths[:, None, :] * (frequencies / SPEED_OF_LIGHT)[:, None]).reshape(-1, 3)
    total = np.zeros((len(lengths), len(frequencies)), np.complex64)
    if len(components.l):
        _add_components(total, shape, t, uvw, components, threads)
    if components.outliers is not None:
        l, m = components.outliers.l, components.outliers.m
        offsets = offsets_from_centre(l, m)
        flux = components.outliers.at(t, frequencies)
        tracked = axes @ phasing.pointing_vector(shape.declination_rad) - np.array([0.0, 0.0, 1.0])
        averaging = Averaging.of(offsets[None] - tracked, shape.integration_s, axes[:, 2])
        total += point_source_visibilities(lengths, offsets[None], frequencies, flux[None], averaging)
    return total


def _add_components(
    total: NDArray[np.complex64],
    shape: GroupShape,
    t: int,
    uvw: NDArray[np.float64],
    components: Components,
    threads: int,
) -> None:
    """Add the visibilities of those within the image."""
    frequencies = shape.frequencies_hz
    plane = Plane.fit(uvw, np.ones(len(uvw), np.float32))
    predictor = Predictor.of(uvw, plane, threads)
    # Flux densities over the band: few functions of frequency, each with a coefficient of a component.
    samples = np.linspace(frequencies.min(), frequencies.max(), min(_BAND_SAMPLES, len(frequencies)))
    flux = components.at(shape, t, samples)
    coefficients, sizes, functions = np.linalg.svd(flux, full_matrices=False)
    for k in range(int(np.argmax(np.append(sizes, 0.0) <= _ACCURACY * sizes[0]))):
        part = (coefficients[:, k] * sizes[k]).astype(np.float32)
        spline = make_interp_spline(samples, functions[k], k=min(3, len(samples) - 1))
        accuracy = min(_COARSEST, _ACCURACY * float(sizes[0] / sizes[k]))
        visibilities = predictor(components.l, components.m, part, accuracy)
        total += visibilities.reshape(total.shape) * spline(frequencies).astype(np.float32)
