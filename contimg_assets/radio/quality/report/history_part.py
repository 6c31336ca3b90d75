"""The report's view of earlier groups: the same numbers over the last nights.

Belongs here: drawing.  Does not belong here: which groups (``station/report_surroundings.py``).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from contimg_assets.radio.limits import load_limits
from contimg_assets.radio.plots.svg import Axis, Chart
from contimg_assets.radio.quality.report.meanings import meaning_of
from contimg_assets.radio.quality.report.parts import figure, opening, panels, text
from contimg_assets.radio.quality.surroundings import Surroundings

#: Numbers that are followed, their words, and the number that has their limit.
FOLLOWED = {
    "rms_ratio": ("noise over the expected", "rms_ratio"),
    "rms_mjy_beam": ("noise, mJy/beam", ""),
    "flux_ratio": ("flux ratio to the survey", ""),
    "astrometric_offset_arcsec": ("offset from the survey, ″", "astrometric_offset_arcsec"),
    "flag_fraction": ("flagged part", "flag_fraction"),
}


def history(numbers: Mapping[str, Any], around: Surroundings) -> str:
    """A chart a number: a point an earlier group, which leads to its report, and this one."""
    limits, figures = load_limits().limits["image_qa"], []
    for name, (words, limited) in FOLLOWED.items():
        earlier, here = around.earlier.get(name, ()), numbers.get(name)
        if not earlier:
            continue
        days = [each.mjd - around.mjd for each in earlier]
        values = [each.value for each in earlier]
        limit = limits.get(limited)
        shown_values = [*values, *([] if here is None else [here])]
        chart = Chart(
            words,
            Axis(min(days) - 0.02 * abs(min(days)), max(0.02 * abs(min(days)), 1e-3), "days before"),
            Axis.over(shown_values, words, margin=0.12),
            height=200,
        )
        told = [f"{each.group}: {each.value:.4g}" for each in earlier]
        chart.dots(days, values, "a", told, [each.link for each in earlier])
        middle = float(np.median(values))
        chart.level(middle, "zero", f"median {middle:.4g}")
        if limit is not None:
            chart.level(limit.soft, "soft", f"uncertain {limit.direction} {limit.soft:g}")
            chart.level(limit.hard, "hard", f"bad {limit.direction} {limit.hard:g}")
        if here is not None and np.isfinite(here):
            chart.dots([0.0], [here], "this", [f"this group: {here:.4g}"])
        compared = f"{_value(here)} here, median of {len(values)} before {middle:.4g}"
        figures.append(figure(chart.svg(), opening(f"{text(words)}: {compared}", text(meaning_of(name)))))
    return panels(figures) + (
        "<p class=note>Points lead to the reports of their groups.</p>" if figures else ""
    )


def _value(number: float | None) -> str:
    return "not measured" if number is None or not np.isfinite(number) else f"{number:.4g}"
