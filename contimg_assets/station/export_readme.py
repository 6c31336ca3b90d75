"""The README of an export: what the files are, for someone who has never heard of contimg.

Belongs here: filling its text (``export_readme.md``).  Does not belong here: the files (``export.py``).
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from contimg_assets import __version__
from contimg_assets.radio.group_key import slug


def readme(groups: Sequence[Mapping[str, Any]], left_out: Sequence[tuple[str, str]]) -> str:
    """Text of the README.

    Parameters
    ----------
    groups : sequence of Mapping
        As the manifest has them.
    left_out : sequence
        Groups that do not go along, with reasons.
    """
    text = resources.files("contimg_assets.station").joinpath("export_readme.md").read_text(encoding="utf-8")
    return text.format(
        version=__version__,
        n=len(groups),
        rows="\n".join(_row(group) for group in groups),
        left_out="".join(f"\nLeft out: {key}, {reason}.\n" for key, reason in left_out),
    )


def _row(group: Mapping[str, Any]) -> str:
    flagged = group["flag_fraction"]
    cells = (
        slug(group["group"]),
        group["verdict"] or "not judged",
        _number(group["rms_mjy_beam"], ".3f"),
        _number(group["rms_ratio"], ".2f"),
        "" if flagged is None else f"{100 * flagged:.1f} %",
        _number(group["n_sources"], "d"),
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
