"""Thousands of epochs of one field in seconds: image planes, without visibilities.

An epoch is what CLEAN leaves of a dirty image: point sources with light curves,
seen through the primary beam with a true dirty beam, in noise of a chosen
autocorrelation; and components, as an ideal CLEAN would have them.  Everything is
made in the Fourier plane, where a source between pixels is exact.  The image is
periodic, which noise and dirty beams may be.

Belongs here: making epochs.  Does not belong here: measuring anything (this module
shares no code with ``radio/photometry``), or visibilities (``observation.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ducc0
import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy import fft

from contimg_assets.radio.images.fits import write_image
from contimg_assets.radio.sky import TYPICAL_SPECTRAL_INDEX

_ACCURACY = 1e-7
_SLOPE_NOISE = 25.6
#: Of a made-up dirty beam: parts of the band; antennas' reach from the middle over the beam's inverse width.
_BAND_PARTS, _LONGEST_BEAMS = 24, 0.45


@dataclass(frozen=True)
class EpochField:
    """What is the same in all epochs of a field."""

    psf: NDArray[np.floating]
    """Dirty beam, peak 1 at (n // 2, n // 2), shape (n, n)."""
    correlation: NDArray[np.floating]
    """Autocorrelation of the noise, same shape; its peak is 1 there."""
    power: NDArray[np.floating]
    """Primary beam, same shape."""
    noise_jy: float
    x: NDArray[np.float64]
    """Zero-based pixels of the sources, not rounded."""
    y: NDArray[np.float64]
    found_sigma: float = 5.0
    """CLEAN takes sources over this many times the noise …"""
    left_sigma: float = 3.0
    """… down to this many."""

    @property
    def response(self) -> NDArray[np.float64]:
        """The primary beam at the sources' nearest pixels."""
        return np.asarray(self.power[np.rint(self.y).astype(int), np.rint(self.x).astype(int)], np.float64)


@dataclass(frozen=True)
class Epoch:
    """One epoch as CLEAN leaves it."""

    residual: NDArray[np.float32]
    x: NDArray[np.float64]
    """Zero-based pixels of the components, not rounded."""
    y: NDArray[np.float64]
    flux: NDArray[np.float64]
    """Apparent, Jy."""


def epochs(field: EpochField, curves: NDArray[np.float64], seed: int = 1) -> Iterator[Epoch]:
    """Make epochs, two by each transform.

    Parameters
    ----------
    field : EpochField
    curves : ndarray, shape (n_epochs, n_sources)
        Flux densities on the sky, Jy.
    seed : int
        Of the noise.

    Yields
    ------
    Epoch
        One for each row of the light curves.
    """
    rng = np.random.default_rng(seed)
    n = len(field.psf)
    beam = np.real(fft.fft2(np.fft.ifftshift(field.psf)))
    spectrum = np.maximum(np.real(fft.fft2(np.fft.ifftshift(field.correlation))), 0.0)
    # Real and imaginary part are an epoch each, both of this variance.
    amplitude = field.noise_jy * n**2 * np.sqrt(spectrum / spectrum.sum())
    for start in range(0, len(curves), 2):
        pair = curves[start : start + 2] * field.response
        left = field.left_sigma * field.noise_jy
        taken = np.where(pair > field.found_sigma * field.noise_jy, pair - left, 0.0)
        sky = _transform(field.x, field.y, _complex(pair - taken), n)
        white = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
        both = fft.ifft2(beam * sky + amplitude * white, overwrite_x=True)
        for plane, flux in zip((both.real, both.imag), taken, strict=False):
            has = flux > 0
            yield Epoch(plane.astype(np.float32), field.x[has], field.y[has], flux[has])


def _complex(pair: NDArray[np.float64]) -> NDArray[np.complex128]:
    return pair[0] + 1j * (pair[1] if len(pair) > 1 else np.zeros_like(pair[0]))


def _transform(
    x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.complex128], n: int
) -> NDArray[np.complex128]:
    """Discrete Fourier transform of points between pixels, in the order of ``fft2``."""
    places = np.stack([y, x], axis=1) * (2 * np.pi / n)
    grid = ducc0.nufft.nu2u(
        points=flux, coord=places, forward=True, epsilon=_ACCURACY, out=np.empty((n, n), np.complex128)
    )
    return np.fft.ifftshift(grid)


# -- fields ---------------------------------------------------------------------------------


def array_beam(n: int, major_pixels: float, axis_ratio: float = 2.0, seed: int = 7) -> NDArray[np.float64]:
    """A dirty beam with true sidelobes: of arms of antennas, as it comes of half-way weights.

    Parameters
    ----------
    n : int
        Pixels along either axis.
    major_pixels : float
        About its full width north to south.
    axis_ratio : float
        About that over the width east to west.
    seed : int
    """
    rng = np.random.default_rng(seed)
    # Antennas along two arms and some about, as they are; baselines by parts of the band.
    east = np.concatenate([rng.uniform(-1, 1, 44), rng.normal(0, 0.02, 28), rng.normal(0, 0.45, 24)])
    north = np.concatenate([rng.normal(0, 0.02, 44), rng.uniform(-1, 1, 28), rng.normal(0, 0.45, 24)])
    i, j = np.triu_indices(len(east), 1)
    scale = _LONGEST_BEAMS * n / major_pixels * np.linspace(0.93, 1.07, _BAND_PARTS)[:, None]
    u, v = ((east[i] - east[j]) * scale * axis_ratio).ravel(), ((north[i] - north[j]) * scale).ravel()
    u, v = np.concatenate([u, -u]), np.concatenate([v, -v])
    inside = np.maximum(np.abs(u), np.abs(v)) < 0.3 * n
    grid = np.zeros((n, n))
    np.add.at(grid, (np.rint(v[inside]).astype(int) % n, np.rint(u[inside]).astype(int) % n), 1.0)
    # Half-way to uniform weights: sidelobes of a few per cent.
    psf = np.real(np.fft.fftshift(fft.ifft2(np.sqrt(grid))))
    return psf / psf.max()


def gaussian_correlation(
    n: int, major_pixels: float, minor_pixels: float, angle_rad: float = 0.0
) -> NDArray[np.float64]:
    """Noise correlation of a Gaussian's shape; the angle turns from +y to −x."""
    yy, xx = np.mgrid[:n, :n] - n // 2
    sine, cosine = np.sin(angle_rad), np.cos(angle_rad)
    along, across = yy * cosine - xx * sine, xx * cosine + yy * sine
    return np.exp(-4 * np.log(2) * ((along / major_pixels) ** 2 + (across / minor_pixels) ** 2))


# -- light curves ---------------------------------------------------------------------------


def constant(days: NDArray[np.float64], jy: float) -> NDArray[np.float64]:
    """The same every day."""
    return np.full(len(days), jy)


def variable(
    days: NDArray[np.float64], jy: float, modulation: float, scale_days: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scintillation: a damped random walk of a relative size and a time scale, never negative."""
    walk = np.empty(len(days))
    walk[0] = rng.standard_normal()
    for i, step in enumerate(np.diff(days), start=1):
        kept = np.exp(-step / scale_days)
        walk[i] = kept * walk[i - 1] + np.sqrt(1 - kept**2) * rng.standard_normal()
    return jy * np.maximum(1 + modulation * walk, 0.0)


def extreme_scattering(
    days: NDArray[np.float64], jy: float, depth: float, start_day: float, length_days: float
) -> NDArray[np.float64]:
    """A flat dip with rises of half its depth at either side, a tenth of its length wide: caustics."""
    phase = (days - start_day) / length_days
    dip = np.where((phase >= 0) & (phase <= 1), -depth, 0.0)
    flank = np.abs(phase - 0.5) - 0.5
    return jy * (1 + dip + np.where((flank > 0) & (flank < 0.1), depth / 2, 0.0))


def new(days: NDArray[np.float64], jy: float, start_day: float) -> NDArray[np.float64]:
    """Nothing before a day."""
    return np.where(days >= start_day, jy, 0.0)


# -- products -------------------------------------------------------------------------------


def write_epoch(
    folder: Path,
    name: str,
    field: EpochField,
    epoch: Epoch,
    header: fits.Header,
    noise: NDArray[np.float32],
    *,
    index: float | None = None,
) -> None:
    """Write an epoch as the products that imaging makes, as far as photometry reads them.

    Parameters
    ----------
    folder : Path
        Made here.
    name : str
        Stem of the products' names.
    field, epoch
    header : astropy.io.fits.Header
        Of the image: coordinates, restoring beam, times.
    noise : ndarray
        The noise map.
    index : float, optional
        Spectral index of all sources, with which they are not subtracted; default: none is measured.
    """
    folder.mkdir(parents=True)
    planes: Sequence[tuple[str, NDArray[np.floating], str]] = (
        ("image", epoch.residual, "Jy/beam"),
        ("residual", epoch.residual, "Jy/beam"),
        ("noise", noise, "Jy/beam"),
        ("pb", field.power, ""),
        ("psf", field.psf, ""),
    )
    for kind, pixels, unit in planes:
        write_image(folder / f"{name}.{kind}.fits", pixels.astype(np.float32), header, unit)
    n = len(field.psf)
    cell = np.deg2rad(float(header["CDELT2"])) * float(header["ABERSCAL"])
    table = Table(
        {"l": -(epoch.x - n // 2) * cell, "m": (epoch.y - n // 2) * cell, "flux_jy": epoch.flux.astype("f4")}
    )
    if index is not None:
        # As of the telescope's band: noise of a slope over that of a flux density.
        table.meta["SLOPENOI"] = _SLOPE_NOISE * field.noise_jy
        rng = np.random.default_rng(len(table))
        table["spectral_index"] = np.full(len(table), TYPICAL_SPECTRAL_INDEX)
        left = epoch.flux * (index - TYPICAL_SPECTRAL_INDEX)
        table["slope_left_jy"] = left + table.meta["SLOPENOI"] * rng.standard_normal(len(table))
    fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table)]).writeto(folder / f"{name}.components.fits")
