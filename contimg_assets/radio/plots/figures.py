"""Figures without a display: how every picture of the project is begun and saved."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def figure(n_rows: int, n_columns: int, size_inch: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row (no pyplot: no state, no window)."""
    made = Figure(figsize=size_inch, layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots(n_rows, n_columns, squeeze=False)
    return made, list(axes.ravel())


def save(made: Figure, path: Path, dpi: int = 90) -> None:
    """Write the figure as PNG."""
    made.savefig(path, dpi=dpi)


def save_small(made: Figure, path: Path) -> None:
    """Write the figure, at its own resolution, as a PNG of 256 colours, a third of the usual size."""
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    picture = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
