"""The picture of an image: coordinates, colour bar, restoring beam."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.visualization import AsinhStretch, ImageNormalize
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from contimg_assets.radio.imaging.fits import celestial_wcs


def plot_image(path: Path, image: Path, rms_jy: float) -> None:
    """Draw a FITS image from −3 to 100 times its noise."""
    with fits.open(image) as hdus:
        primary = hdus[0]
        header, pixels = primary.header, np.asarray(primary.data)[0, 0] * 1e3
    wcs = celestial_wcs(header)
    made = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot(projection=wcs)
    norm = ImageNormalize(vmin=-3e3 * rms_jy, vmax=100e3 * rms_jy, stretch=AsinhStretch(0.05))
    shown = axes.imshow(pixels, origin="lower", cmap="inferno", norm=norm, interpolation="none")
    made.colorbar(shown, ax=axes, label="mJy/beam", shrink=0.85)
    cell = abs(header["CDELT2"])
    side = 0.06 * pixels.shape[0]
    axes.add_patch(
        Ellipse(
            (side, side),
            header["BMIN"] / cell,
            header["BMAJ"] / cell,
            angle=header["BPA"],
            facecolor="white",
            edgecolor="white",
        )
    )
    axes.set_xlabel("Right ascension (ICRS)")
    axes.set_ylabel("Declination (ICRS)")
    axes.grid(color="white", alpha=0.15, lw=0.5)
    axes.set_title(
        f"{header['OBJECT']}  {header['DATE-OBS'][:19]}  {1e3 * rms_jy:.2f} mJy/beam  "
        f"{header['BMAJ'] * 3600:.1f}″ × {header['BMIN'] * 3600:.1f}″",
        fontsize=10,
    )
    made.savefig(path, dpi=110)
