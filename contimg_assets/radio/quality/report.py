"""One self-contained page about an image."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contimg_assets.radio.quality.limits import load_limits
from contimg_assets.radio.quality.sources import Measured

#: Sources that the page lists.
_LISTED = 30
_STYLE = (
    "body{font:15px sans-serif;max-width:1000px;margin:2em auto}td,th{padding:2px 12px;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.PASS{color:#080}.WARN{color:#b60}.ERROR{color:#c00}"
)


def write_report(
    path: Path,
    picture: Path,
    numbers: dict[str, Any],
    summary: dict[str, Any],
    sources: Sequence[Measured],
) -> None:
    """Write the page: the picture, every number with its limits, the calibration, the sources."""
    limits = load_limits()
    judged = limits.limits["image_qa"]
    rows = []
    for name, value in numbers.items():
        limit = judged.get(name)
        verdict = limit.judge(float(value)) if limit else ""
        bounds = f"{limit.soft:g} / {limit.hard:g}" if limit else ""
        rows.append(
            f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td><td>{bounds}</td>"
            f'<td class="{verdict}">{verdict}</td></tr>'
        )
    calibration = summary.get("calibration") or {}
    tables = "".join(
        f"<tr><td>{html.escape(str(t['type']))}</td><td><code>{html.escape(str(t['sha256']))}</code></td></tr>"
        for t in calibration.get("tables", [])
    )
    listed = "".join(
        f"<tr><td>{s.ra_deg:.5f}</td><td>{s.dec_deg:+.5f}</td><td>{1e3 * s.flux_jy:.1f}</td></tr>"
        for s in sources[:_LISTED]
    )
    encoded = base64.b64encode(picture.read_bytes()).decode()
    title = html.escape(str(summary.get("group_centre", "image")))
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><img alt='image' width=880 src='data:image/png;base64,{encoded}'>"
        f"<h2>Numbers</h2><p>Limits of version {html.escape(limits.version)}.</p>"
        f"<table><tr><th>metric<th>value<th>soft / hard<th>verdict</tr>{''.join(rows)}</table>"
        f"<h2>Calibration</h2><p>{html.escape(str(calibration.get('calibrator', 'none')))}, group "
        f"{html.escape(str(calibration.get('group', '')))}, set "
        f"{html.escape(str(calibration.get('set_id', '')))}, "
        f"{html.escape(str(calibration.get('hours', '')))} h. "
        f"{html.escape(str(calibration.get('warning') or ''))}"
        f"</p><table>{tables}</table>"
        f"<h2>Brightest sources</h2><table><tr><th>RA, deg<th>Dec, deg<th>mJy</tr>{listed}</table></html>",
        encoding="utf-8",
    )
