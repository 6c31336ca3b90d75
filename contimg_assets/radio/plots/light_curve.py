"""A light curve as a picture.

Belongs here: drawing.  Does not belong here: which measurements (``station/light_curves.py``).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contimg_assets.radio.plots.figures import figure, save

if TYPE_CHECKING:
    import pandas


def plot_light_curve(path: Path, table: "pandas.DataFrame", title: str) -> None:
    """Write a PNG: flux densities with errors, upper limits as arrows, what is not calibrated open.

    Parameters
    ----------
    path : Path
    table : pandas.DataFrame
        ``mjd``, ``flux_jy``, ``flux_error_jy``, ``upper_limit_jy``, ``calibrated``.
    title : str
    """
    made, (axes,) = figure(1, 1, (9, 4.5))
    limit = table["upper_limit_jy"].notna().to_numpy()
    seen, known = ~limit, table["calibrated"].to_numpy(bool)
    for which, face in ((seen & known, None), (seen & ~known, "none")):
        own = table[which]
        axes.errorbar(
            own["mjd"],
            1e3 * own["flux_jy"],
            1e3 * own["flux_error_jy"],
            fmt="o",
            ms=3,
            lw=0.7,
            mfc=face,
            c="C0",
        )
    own = table[limit]
    high = 1e3 * own["upper_limit_jy"].to_numpy(np.float64)
    axes.errorbar(own["mjd"], high, 0.1 * high, uplims=True, fmt="none", ecolor="0.6", lw=0.7)
    axes.set_title(title.replace("$", r"\$"))
    axes.set(xlabel="MJD, d", ylabel="flux density, mJy")
    save(made, path)
