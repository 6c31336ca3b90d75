"""Pictures for judging an image: the residual over its noise, and a survey's view of the sources.

Each is a small square of its own, so that a page can set them side by side or,
on a phone, one below the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from contimg_assets.radio.images.crossmatch import Comparison
from contimg_assets.radio.images.noise import shrunk
from contimg_assets.radio.plots.figures import figure, save_small
from contimg_assets.radio.plots.image import LARGEST

#: Okabe and Ito's blue and vermilion, which everyone can tell apart.
BLUE, VERMILION = "#0072B2", "#D55E00"


@contextmanager
def _square(path: Path, pictures: dict[str, Path], caption: str) -> Iterator[Axes]:
    """Axes of a picture that is saved and listed when the block ends."""
    made, (axes,) = figure(1, 1, (4.4, 3.9))
    yield axes
    save_small(made, path)
    pictures[caption] = path


def plot_residual(
    folder: Path, residual: NDArray[np.float32], noise: NDArray[np.float32], numbers: dict[str, Any]
) -> dict[str, Path]:
    """Draw the residual over the expected noise, the local noise, and how its values are distributed.

    Returns
    -------
    dict
        Caption to file.
    """
    pictures: dict[str, Path] = {}
    expected = numbers["expected_rms_mjy_beam"] / 1e3
    with _square(folder / "residual.png", pictures, "What CLEAN left, over the expected noise") as axes:
        small = shrunk(residual, LARGEST // 2) / expected
        shown = axes.imshow(small, origin="lower", cmap="RdBu_r", vmin=-4, vmax=4)
        axes.set(xticks=[], yticks=[])
        axes.figure.colorbar(shown, ax=axes, shrink=0.85)
    with _square(folder / "noise.png", pictures, "Local noise, mJy/beam") as axes:
        shown = axes.imshow(shrunk(noise, LARGEST // 2) * 1e3, origin="lower", cmap="cividis")
        axes.set(xticks=[], yticks=[])
        axes.figure.colorbar(shown, ax=axes, shrink=0.85)
    with _square(folder / "distribution.png", pictures, "The residual's values over the local noise") as axes:
        values = (residual[::4, ::4] / noise[::4, ::4]).ravel()
        edges = np.linspace(-8, 8, 129)
        axes.hist(np.clip(values, -8, 8), edges.tolist(), color=BLUE, log=True, label="residual")
        middle = (edges[1:] + edges[:-1]) / 2
        normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi) * (edges[1] - edges[0]) * values.size
        axes.plot(middle, normal, color=VERMILION, label="noise")
        axes.set(ylim=(0.5, None), xlabel="σ", ylabel="pixels")
        axes.legend(loc="upper right")
    return pictures


def plot_comparison(folder: Path, comparison: Comparison) -> dict[str, Path]:
    """Draw flux ratios against distance and flux density, and offsets, of comparable sources.

    Returns
    -------
    dict
        Caption to file.
    """
    pictures: dict[str, Path] = {}
    m = comparison.matched
    spread = max(0.2, 1.1 * float(np.quantile(np.abs(m["ratio"] - 1), 0.95)))
    for name, x, label in (
        ("distance", m["radius_deg"], "distance from the centre, deg"),
        ("flux", m["flux_jy"], "flux density, Jy"),
    ):
        caption = f"Flux ratio to {comparison.survey} against {label.split(',')[0]}; dashed: median"
        with _square(folder / f"ratio_{name}.png", pictures, caption) as axes:
            axes.errorbar(x, m["ratio"], m["ratio"] / m["snr"], fmt="o", ms=4, color=BLUE, elinewidth=0.7)
            axes.axhline(1, color="0.4", lw=0.8)
            axes.axhline(float(np.median(m["ratio"])), color=VERMILION, lw=1.2, ls="--")
            axes.set(ylim=(1 - spread, 1 + spread), xlabel=label, ylabel="flux ratio")
            if name == "flux":
                axes.set_xscale("log")
    with _square(
        folder / "offsets.png", pictures, f"Offsets from {comparison.survey}; cross: median"
    ) as axes:
        axes.plot(m["east"], m["north"], "o", ms=4, color=BLUE)
        axes.plot(np.median(m["east"]), np.median(m["north"]), "P", ms=10, color=VERMILION)
        reach = max(2.0, 1.1 * float(np.quantile(np.abs([*m["east"], *m["north"]]), 0.98)))
        axes.axhline(0, color="0.4", lw=0.8)
        axes.axvline(0, color="0.4", lw=0.8)
        axes.set(
            xlim=(reach, -reach), ylim=(-reach, reach), xlabel="east, ″", ylabel="north, ″", aspect="equal"
        )
    return pictures
