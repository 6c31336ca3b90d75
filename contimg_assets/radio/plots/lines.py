"""Lines against one axis, drawn for whoever asks over the web.

Belongs here: one plain picture.  Does not belong here: what the lines are (``station/solution_views.py``).
"""

import threading
from collections.abc import Sequence
from io import BytesIO

from contimg_assets.radio.plots.figures import figure

#: matplotlib's caches are not made for several threads.
_ONE_AT_A_TIME = threading.Lock()
#: Names on an axis that are still read.
_MOST_NAMES = 24


def lines_png(
    x: Sequence[float] | Sequence[str],
    lines: Sequence[Sequence[float | None]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> bytes:
    """A PNG of lines along ``x``; None leaves a gap."""
    places = [float(k) if isinstance(value, str) else value for k, value in enumerate(x)]
    with _ONE_AT_A_TIME:
        made, (axes,) = figure(1, 1, (9, 5))
        for line in lines:
            values = [float("nan") if value is None else value for value in line]
            axes.plot(places[: len(values)], values, ".-", lw=0.5, ms=2, alpha=0.7)
        if x and isinstance(x[0], str):
            step = -(-len(x) // _MOST_NAMES)
            axes.set_xticks(places[::step], [str(name) for name in x[::step]], fontsize=7)
        # A set's identity is no formula.
        axes.set_title(title.replace("$", r"\$"))
        axes.set(xlabel=x_label, ylabel=y_label)
        content = BytesIO()
        made.savefig(content, dpi=90, format="png")
    return content.getvalue()
