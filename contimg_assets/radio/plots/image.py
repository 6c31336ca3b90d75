"""The picture of an image: coordinates, colour bar, restoring beam."""

from pathlib import Path

import numpy as np
from astropy.io.fits import Header
from astropy.visualization import AsinhStretch, ImageNormalize
from astropy.visualization.wcsaxes import WCSAxes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.noise import shrunk
from contimg_assets.radio.plots.figures import save_small

#: A picture shows at most this many pixels a side.
LARGEST = 1000
#: Left, bottom, width and height of the axes and of the colour bar, parts of the figure: working a layout out
#: takes longer than drawing.
_AXES, _BAR = (0.125, 0.1, 0.7, 0.8), (0.85, 0.15, 0.03, 0.7)


def plot_image(path: Path, full: NDArray[np.floating], header: Header, rms_jy: float) -> None:
    """Draw an image from −3 to 100 times its noise (a blank one as a grey field).

    Parameters
    ----------
    path : Path
        PNG to write, at most about 1000 pixels a side.
    full : ndarray, shape (ny, nx)
        Jy/beam.
    header : Header
        Of the image.
    rms_jy : float
    """
    pixels = shrunk(full, LARGEST) * 1e3
    step = full.shape[0] // pixels.shape[0]
    made = Figure(figsize=(6.4, 5.6), dpi=140)
    axes = WCSAxes(made, _AXES, wcs=celestial_wcs(header)[::step, ::step])
    made.add_axes(axes)
    scale = 1e3 * rms_jy if np.isfinite(rms_jy) and rms_jy > 0 else 1.0
    norm = ImageNormalize(vmin=-3 * scale, vmax=100 * scale, stretch=AsinhStretch(0.05))
    axes.set_facecolor("0.6")
    shown = axes.imshow(pixels, origin="lower", cmap="inferno", norm=norm, interpolation="none")
    bar = made.colorbar(shown, cax=made.add_axes(_BAR), label="mJy/beam")
    bar.set_ticks([scale * level for level in (-3, 0, 3, 10, 30, 100)])
    bar.ax.set_yticklabels([f"{scale * level:.3g}" for level in (-3, 0, 3, 10, 30, 100)])
    cell = abs(header["CDELT2"]) * step
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
    axes.text(side, 1.5 * side, "beam", color="white", ha="center", va="bottom", fontsize=8)
    # Left to itself, matplotlib moves labels to the top at high declinations, into the title.
    for axis, side_of in ((0, "b"), (1, "l")):
        axes.coords[axis].set_ticklabel_position(side_of)
        axes.coords[axis].set_axislabel_position(side_of)
    axes.set_xlabel("Right ascension (ICRS)")
    axes.set_ylabel("Declination (ICRS)")
    axes.grid(color="white", alpha=0.15, lw=0.5)
    axes.set_title(
        f"{header['OBJECT']}  {header['DATE-OBS'][:19]}\nnoise {1e3 * rms_jy:.2f} mJy/beam, beam "
        f"{header['BMAJ'] * 3600:.1f}″ × {header['BMIN'] * 3600:.1f}″",
        fontsize=9,
    )
    save_small(made, path)
