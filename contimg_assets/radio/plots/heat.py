"""Arrays as small PNG pictures in a page's own text.

Belongs here: colours of values.  Does not belong here: axes (``svg.py``).
"""

import base64
from functools import lru_cache
from io import BytesIO

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Levels of a palette; the last colour is that of what is no number.
_LEVELS = 255


@lru_cache
def _palette(name: str) -> bytes:
    colours = mpl.colormaps[name](np.linspace(0, 1, _LEVELS))[:, :3]
    return (255 * np.vstack([colours, [0.5, 0.5, 0.5]])).round().astype(np.uint8).tobytes()


def heat_png(values: NDArray[np.floating], low: float, high: float, colours: str) -> str:
    """The address (``data:``) of a picture of an array: its first row at the bottom, grey where no number is.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
    low, high : float
        Values of the first and the last colour.
    colours : str
        One of matplotlib's.
    """
    span = high - low if high > low else 1.0
    part = np.clip((np.asarray(values, np.float32) - low) / span, 0, 1)
    levels = np.where(np.isfinite(part), np.nan_to_num(part) * (_LEVELS - 1), _LEVELS).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(levels[::-1]), mode="P")
    picture.putpalette(_palette(colours))
    content = BytesIO()
    picture.save(content, "PNG", optimize=False, compress_level=6)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
