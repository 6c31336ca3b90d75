"""One self-contained page about an image: accept or reject it in ten seconds, or read on.

Belongs here: the page.  Does not belong here: any number on it.  Colours are
Okabe and Ito's, and no verdict is told by colour alone.
"""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_assets.radio.images.crossmatch import Comparison
from contimg_assets.radio.images.injection import Recovery
from contimg_assets.radio.images.source_finding import Found
from contimg_assets.radio.images.source_table import source_name
from contimg_assets.radio.limits import Judgement, judge, load_limits, worst

#: Sources that the page lists.
_LISTED = 25
#: Number to the words and the format that the page gives it at its top.
_HEADLINES = (
    ("rms_mjy_beam", "noise, mJy/beam", ".2f"),
    ("rms_ratio", "over the expected", ".2f"),
    ("n_sources", "sources over 5σ", ".0f"),
    ("false_fraction", "of them maybe false", ".0%"),
    ("dynamic_range", "dynamic range", ".0f"),
    ("flag_fraction", "flagged", ".0%"),
    ("flux_ratio", "flux ratio to the survey", ".3f"),
    ("astrometric_offset_arcsec", "offset from it, ″", ".2f"),
    ("completeness_7sigma", "of its sources over 7σ found", ".0%"),
)
_WORDS = {"PASS": ("✓", "good"), "WARN": ("!", "uncertain"), "ERROR": ("✕", "bad")}
_STYLE = """
:root{--good:#00694d;--uncertain:#8a5a00;--bad:#b03a00;--line:#d8dde3;--ink:#1b232c}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);margin:0 auto;max-width:1080px;padding:16px}
h1{font-size:1.35rem;margin:0 0 4px}h2{font-size:1.1rem;margin:28px 0 8px}
.sub{color:#4a5663;margin:0 0 14px;overflow-wrap:anywhere}
.verdict{border-left:8px solid;padding:10px 14px;background:#f5f7f9;margin:0 0 14px}
.verdict>b{font-size:1.25rem}.verdict ul{margin:6px 0 0;padding-left:20px}
.PASS{color:var(--good)}.WARN{color:var(--uncertain)}.ERROR{color:var(--bad)}
.verdict.PASS{border-color:var(--good)}.verdict.WARN{border-color:#e69f00}.verdict.ERROR{border-color:#d55e00}
.verdict li{color:var(--ink)}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:8px}
.tile{border:1px solid var(--line);border-radius:6px;padding:8px 10px}
.tile b{display:block;font-size:1.2rem}.tile span{color:#4a5663;font-size:.82rem}
img{max-width:100%;height:auto;display:block}
figure{margin:0 0 16px}.panels{display:flex;flex-wrap:wrap;gap:0 12px}
.panels figure{flex:1 1 300px;max-width:420px}.panels figure:first-child{flex-basis:100%;max-width:none}
figcaption{color:#4a5663;font-size:.88rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
td,th{padding:3px 12px 3px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
td:first-child,th:first-child{text-align:left}
code{overflow-wrap:anywhere;white-space:normal}
@media(max-width:600px){body{padding:10px;font-size:14px}.tile b{font-size:1.05rem}}
@media print{body{max-width:none}}
"""


@dataclass(frozen=True)
class Report:
    """What the page tells."""

    numbers: Mapping[str, Any]
    summary: Mapping[str, Any]
    """Of the imaging stage."""
    header: Mapping[str, Any]
    """Of the image."""
    sources: list[Found]
    thumbnail: Path
    pictures: Mapping[str, Path]
    """Caption to file."""
    recovery: Recovery | None
    comparison: Comparison | None


def write_report(path: Path, report: Report) -> None:
    """Write the page, with all pictures in it."""
    title = f"{report.header.get('OBJECT', 'image')}, {str(report.header.get('DATE-OBS', ''))[:19]} UTC"
    judgements = judge("image_qa", report.numbers)
    parts = [
        f"<h1>{_text(title)}</h1><p class=sub>{_text(_subtitle(report))}</p>",
        _verdict(judgements),
        _tiles(report.numbers, judgements),
        "<h2>Image</h2>",
        _picture("The image before correction for the beam", report.thumbnail),
        f"<div class=panels>{''.join(_picture(c, file) for c, file in report.pictures.items())}</div>",
        "<h2>Numbers and limits</h2>",
        _numbers(report.numbers, judgements),
        _recovery(report.recovery),
        _comparison(report.comparison),
        "<h2>Calibration</h2>",
        _calibration(report.summary.get("calibration") or {}),
        "<h2>Brightest sources</h2>",
        _sources(report.sources, report.comparison),
        "<h2>How it was made</h2>",
        _settings(report.summary),
    ]
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{_text(title)}</title><style>{_STYLE}</style>{''.join(parts)}</html>",
        encoding="utf-8",
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _format(value: Any, form: str = ".4g") -> str:
    return "not finite" if value is None else format(value, form)


def _subtitle(report: Report) -> str:
    beam = f"{report.numbers['beam_major_arcsec']:.1f}″ × {report.numbers['beam_minor_arcsec']:.1f}″"
    frequency = float(report.header.get("CRVAL3", 0)) / 1e6
    calibrated = report.header.get("CALSRC", "nothing")
    seconds = float(report.header.get("EXPTIME", 0))
    return f"beam {beam}, {frequency:.0f} MHz, {seconds:.0f} s, calibrated by {calibrated}"


def _verdict(judgements: tuple[Judgement, ...]) -> str:
    measured = [found for found in judgements if found.measured]
    status = worst(found.status for found in measured)
    sign, word = _WORDS[status]
    reasons = "".join(
        f"<li><b class={found.status}>{_WORDS[found.status][0]} {_text(found.metric)} = "
        f"{_format(found.value)}</b> ({_bounds(found, ' uncertain, ')} bad). {_text(found.limit.reason)}</li>"
        for found in sorted(measured, key=lambda found: found.status != "ERROR")
        if found.status != "PASS"
    )
    told = f"<ul>{reasons}</ul>" if reasons else f" All {len(measured)} numbers are within their limits."
    return f"<div class='verdict {status}'><b>{sign} {word}</b>{told}</div>"


def _bounds(found: Judgement, between: str) -> str:
    return f"{found.limit.direction} {found.limit.soft:g}{between}{found.limit.hard:g}"


def _tiles(numbers: Mapping[str, Any], judgements: tuple[Judgement, ...]) -> str:
    status = {found.metric: found.status for found in judgements}
    tiles = "".join(
        f"<div class=tile><b class='{status.get(name, '')}'>{_format(numbers[name], form)}</b>"
        f"<span>{label}</span></div>"
        for name, label, form in _HEADLINES
        if name in numbers
    )
    return f"<div class=tiles>{tiles}</div>"


def _picture(caption: str, file: Path) -> str:
    encoded = base64.b64encode(file.read_bytes()).decode()
    return (
        f"<figure><img alt='{_text(caption)}' src='data:image/png;base64,{encoded}'>"
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{h}" for h in heads)
    return f"<div class=wide><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def _numbers(numbers: Mapping[str, Any], judgements: tuple[Judgement, ...]) -> str:
    judged = {found.metric: found for found in judgements}
    rows = []
    for name, value in numbers.items():
        found = judged.get(name)
        sign, word = _WORDS[found.status] if found else ("", "")
        bounds = _bounds(found, " / ") if found else ""
        status = found.status if found else ""
        rows.append(
            f"<tr><td>{_text(name)}<td>{_format(value)}<td>{bounds}<td class='{status}'>{sign} {word}</tr>"
        )
    missing = [found.metric for found in judgements if not found.measured]
    note = (
        f"<p class=sub>Not measured (no catalogue, or too few sources): {_text(', '.join(missing))}.</p>"
        if missing
        else ""
    )
    return _table(("number", "value", "uncertain / bad", "verdict"), rows) + (
        f"<p class=sub>Limits of version {_text(load_limits().version)}.</p>{note}"
    )


def _recovery(recovery: Recovery | None) -> str:
    if recovery is None or not recovery.n_injected:
        return ""
    rows = [
        f"<tr><td>{level:g}σ<td>{found:.0%}</tr>"
        for level, found in zip(recovery.levels, recovery.completeness, strict=True)
    ]
    return (
        "<h2>Injection and recovery</h2>"
        f"<p>{recovery.n_injected} sources were put into the image and looked for. Flux densities came back "
        f"{recovery.flux_ratio:.3f} times as bright (median, 10σ and more), "
        f"{recovery.flux_bias_sigma:+.2f}σ off (median, 7σ and more).</p>"
        + _table(("put in at", "found"), rows)
    )


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return "<h2>Survey</h2><p>No catalogue is installed: see <code>contimg catalogs</code>.</p>"
    n = comparison.numbers
    rows = [f"<tr><td>{_text(name)}<td>{value:.4g}</tr>" for name, value in n.items()]
    return (
        f"<h2>Against {_text(comparison.survey)}</h2>"
        "<p class=sub>Flux ratio and offset are of single sources over 20σ. They are measured, and applied "
        "to nothing unless a setting says so.</p>" + _table(("number", "value"), rows)
    )


def _calibration(calibration: Mapping[str, Any]) -> str:
    if not calibration:
        return "<p>None: the data were imaged as they came.</p>"
    rows = [
        f"<tr><td>{_text(t['type'])}<td><code>{_text(t['sha256'])}</code></tr>"
        for t in calibration.get("tables", [])
    ]
    warning = calibration.get("warning")
    return (
        f"<p>{_text(calibration.get('calibrator', ''))}, group {_text(calibration.get('group', ''))}, set "
        f"{_text(calibration.get('set_id', ''))}, {float(calibration.get('hours', 0)):+.2f} h."
        f"{f' <b class=WARN>! {_text(warning)}</b>' if warning else ''}</p>"
        + _table(("table", "sha256"), rows)
    )


def _sources(sources: list[Found], comparison: Comparison | None) -> str:
    if not sources:
        return "<p>None.</p>"
    rows = []
    for i, s in enumerate(sources[:_LISTED]):
        name, flux = comparison.names.get(i, ("", None)) if comparison else ("", None)
        ratio = f"{s.flux_jy / flux:.2f}" if flux else ""
        rows.append(
            f"<tr><td>{source_name(s.point.ra_deg, s.point.dec_deg)}<td>{s.point.ra_deg:.5f}"
            f"<td>{s.point.dec_deg:+.5f}<td>{1e3 * s.flux_jy:.1f}<td>{1e3 * s.flux_error_jy:.1f}"
            f"<td>{s.signal_to_noise:.0f}<td>{s.power:.2f}<td>{'yes' if s.resolved else ''}"
            f"<td>{_text(name)}<td>{ratio}</tr>"
        )
    heads = ("source", "RA, deg", "Dec, deg", "mJy", "±", "S/N", "beam", "resolved", "counterpart", "ratio")
    return _table(heads, rows)


def _settings(summary: Mapping[str, Any]) -> str:
    made = {k: v for k, v in summary.items() if not isinstance(v, dict | list)} | dict(
        summary.get("settings") or {}
    )
    return _table(
        ("setting or result", "value"), [f"<tr><td>{_text(k)}<td>{_text(v)}</tr>" for k, v in made.items()]
    )
