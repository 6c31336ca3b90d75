"""What photometry reads of an image's folder: pixels where they lie, and the components.

Belongs here: opening the products.  Does not belong here: what is measured in them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.images.planes import image_name, middle, opened, plane_file
from contimg_assets.radio.photometry.autocorrelation import measure_correlation
from contimg_assets.radio.photometry.colour import ComponentSpectra
from contimg_assets.radio.photometry.dirty_beam import DirtyBeam
from contimg_assets.radio.photometry.fit import Plane, Points

#: Noise is correlated no farther than this, in full widths of the restoring beam's major axis.
_CORRELATED_BEAMS = 6.0


@dataclass(frozen=True)
class ImageProducts:
    """One image: its pixels are mapped, not read."""

    stem: str
    header: fits.Header
    wcs: WCS
    residual: NDArray[np.floating]
    noise: NDArray[np.floating]
    power: NDArray[np.floating]
    """Primary beam, averaged over the drift."""
    psf: NDArray[np.floating]
    components: Points
    spectra: ComponentSpectra | None
    """Of the components; None: the image was made without."""

    @property
    def cell_arcsec(self) -> float:
        """Pixel on the ICRS sky."""
        return 3600.0 * float(self.header["CDELT2"])

    @property
    def mjd(self) -> float:
        """Middle of the observation, UTC."""
        return (float(self.header["MJD-OBS"]) + float(self.header["MJD-END"])) / 2

    @property
    def frequency_hz(self) -> float:
        """Weighted mean of the image."""
        return float(self.header["CRVAL3"])

    @property
    def noise_jy(self) -> float:
        """Of the image as a whole, Jy/beam."""
        return float(self.header["NOISE"])

    def plane(self) -> Plane:
        """What places are fitted in; here the noise's correlation is measured."""
        cell = float(self.header["CDELT2"])
        major, minor = float(self.header["BMAJ"]) / cell, float(self.header["BMIN"]) / cell
        return Plane(
            self.residual,
            self.noise,
            self.components,
            DirtyBeam.of(self.psf, major, minor, float(np.deg2rad(self.header["BPA"]))),
            measure_correlation(self.residual, self.noise, int(np.ceil(_CORRELATED_BEAMS * major))),
        )

    def pixels(self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        """Zero-based pixels x and y of positions, shape (2, n); NaN behind the sky's edge."""
        with np.errstate(invalid="ignore"):
            return np.stack(self.wcs.all_world2pix(ra_deg, dec_deg, 0)).reshape(2, -1)

    def response(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """The primary beam between pixels, linearly; NaN outside of the image."""
        ny, nx = self.power.shape
        inside = (x >= 0) & (y >= 0) & (x < nx - 1) & (y < ny - 1)
        column, row = np.where(inside, x, 0).astype(int), np.where(inside, y, 0).astype(int)
        fx, fy = np.where(inside, x - column, 0.0), np.where(inside, y - row, 0.0)
        total = np.zeros(len(x))
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                total += wy * wx * self.power[row + dy, column + dx]
        return np.where(inside, total, np.nan)

    def local_noise(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise at the nearest pixels; NaN outside of the image."""
        ny, nx = self.noise.shape
        inside = (x >= 0) & (y >= 0) & (x < nx - 1) & (y < ny - 1)
        column, row = np.rint(np.where(inside, x, 0)).astype(int), np.rint(np.where(inside, y, 0)).astype(int)
        return np.where(inside, np.asarray(self.noise[row, column], np.float64), np.nan)


def open_products(folder: Path) -> ImageProducts:
    """Open the products of one image.

    Raises
    ------
    MissingInputError
        If the folder holds no image or more than one, or lacks a product.
    """
    stem = image_name(folder)
    planes: dict[str, NDArray[np.floating]] = {}
    header = fits.Header()
    for kind in ("residual", "noise", "pb", "psf"):
        with opened(plane_file(folder, stem, kind)) as hdu:
            # The dirty beam is known some beams out; of a compressed one only those tiles are read.
            planes[kind] = middle(hdu) if kind == "psf" else hdu.data[0, 0]
            header = hdu.header if kind == "residual" else header
    components, spectra = _read_components(
        folder / f"{stem}.components.fits", header, planes["residual"].shape[0]
    )
    return ImageProducts(
        stem,
        header,
        celestial_wcs(header),
        planes["residual"],
        planes["noise"],
        planes["pb"],
        planes["psf"],
        components,
        spectra,
    )


def _read_components(
    path: Path, header: fits.Header, n_pixels: int
) -> tuple[Points, ComponentSpectra | None]:
    """Components of the model as pixels: of the image, which aberration makes others on the sky."""
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; image the group again")
    if "ABERSCAL" not in header:
        raise MissingInputError(f"{path.with_suffix('')}: the image's header has no ABERSCAL; expected it")
    table = Table.read(path, hdu=1)
    grid = ImageGrid(n_pixels, 3600.0 * float(header["CDELT2"]) * float(header["ABERSCAL"]))
    x, y = grid.pixels(*(np.asarray(table[name], np.float64) for name in ("l", "m")))
    noise_jy = float(table.meta.get("SLOPENOI", 0.0))
    spectra = None
    if noise_jy > 0:
        index, left = (np.asarray(table[name], np.float64) for name in ("spectral_index", "slope_left_jy"))
        spectra = ComponentSpectra(index, left, noise_jy)
    return Points(x, y, np.asarray(table["flux_jy"], np.float64)), spectra
