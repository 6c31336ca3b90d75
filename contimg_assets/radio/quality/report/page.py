"""One self-contained page about a group: accept or reject its image in ten seconds, or read on.

Belongs here: the order of the parts, the verdict, tables of numbers.  Does not belong here: any number on it,
or the pictures (the other modules of this package).  Colours are Okabe and Ito's, and no verdict is told by
colour alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg_assets.radio.flagging.flag_file import SUMMARY_NAME, read_summary
from contimg_assets.radio.images.crossmatch import Comparison
from contimg_assets.radio.images.injection import Recovery
from contimg_assets.radio.images.source_finding import Found
from contimg_assets.radio.images.source_table import source_name
from contimg_assets.radio.limits import Judgement, judge, load_limits, worst
from contimg_assets.radio.quality.causes import likely_causes
from contimg_assets.radio.quality.report import calibration_part, data_part, history_part, image_part
from contimg_assets.radio.quality.report.meanings import meanings
from contimg_assets.radio.quality.report.parts import (
    WORDS,
    bounds,
    explained,
    link,
    opening,
    panels,
    picture,
    section,
    shown,
    table,
    text,
)
from contimg_assets.radio.quality.surroundings import Surroundings
from contimg_assets.radio.quality.visibility_sample import VisibilitySample

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
    files: Mapping[str, str]
    """Names of the image's files to their addresses."""
    pictured: image_part.Pictured | None = None
    """None of an image that holds nothing."""
    recovery: Recovery | None = None
    comparison: Comparison | None = None
    visibilities: VisibilitySample | None = None
    around: Surroundings = field(default_factory=Surroundings)


def write_report(path: Path, report: Report) -> None:
    """Write the page, with all pictures in it."""
    title = f"{report.header.get('OBJECT', 'image')}, {str(report.header.get('DATE-OBS', ''))[:19]} UTC"
    judgements = judge("image_qa", report.numbers)
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    parts = [
        _image(report),
        _data(report),
        section("calibration", "Calibration", _calibration(report)),
        section("nights", "Against the last nights", history_part.history(report.numbers, report.around)),
        section("numbers", "Numbers and limits", _numbers(report.numbers, judgements)),
        section("recovery", "Injection and recovery", _recovery(report.recovery)),
        section("survey", "Against a survey", _survey(report.comparison)),
        section("sources", "Brightest sources", _sources(report.sources, report.comparison)),
        section("files", "Files", _files(report)),
        section("made", "How it was made", _settings(report.summary)),
    ]
    top = f"<h1>{text(title)}</h1><p class=sub>{text(_subtitle(report))}</p>{_links(report.around)}"
    path.write_text(
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        "<meta name=color-scheme content='light dark'>"
        f"<title>{text(title)}</title><style>{style}</style></head><body><main>{top}"
        f"{_verdict(judgements, report.numbers)}{_tiles(report.numbers, judgements)}"
        f"{_contents(parts)}{''.join(parts)}"
        "</main></body></html>",
        encoding="utf-8",
    )


def _subtitle(report: Report) -> str:
    beam = f"{report.numbers['beam_major_arcsec']:.1f}″ × {report.numbers['beam_minor_arcsec']:.1f}″"
    frequency = float(report.header.get("CRVAL3", 0)) / 1e6
    calibrated = report.header.get("CALSRC", "nothing")
    seconds = float(report.header.get("EXPTIME", 0))
    return f"beam {beam}, {frequency:.0f} MHz, {seconds:.0f} s, calibrated by {calibrated}"


def _links(around: Surroundings) -> str:
    here = "".join(f"<li>{link(address, words)}</li>" for words, address in around.links.items())
    panel = "".join(f"<li>{link(address, words)}</li>" for words, address in around.panel.items())
    lists = f"<ul>{here}</ul>" if here else ""
    if panel:
        lists += f"<ul><li class=note>On the panel (from its server only):</li>{panel}</ul>"
    return f"<nav aria-label='Other pages'>{lists}</nav>" if lists else ""


def _contents(parts: list[str]) -> str:
    """Where the parts are."""
    found = []
    for part in parts:
        if part:
            identity = part.partition("<section id=")[2].partition(">")[0]
            title = part.partition("<h2>")[2].partition("</h2>")[0]
            found.append(f"<li><a href='#{identity}'>{title}</a></li>")
    return f"<nav aria-label='On this page'><ul>{''.join(found)}</ul></nav>"


def _verdict(judgements: tuple[Judgement, ...], numbers: Mapping[str, Any]) -> str:
    measured = [found for found in judgements if found.measured]
    status = worst(found.status for found in measured)
    sign, word = WORDS[status]
    reasons = "".join(
        f"<li><b class={found.status}>{WORDS[found.status][0]} {text(found.metric)} = "
        f"{shown(found.value)}</b> ({bounds(found, ' uncertain, ')} bad). {text(found.limit.reason)}</li>"
        for found in sorted(measured, key=lambda found: found.status != "ERROR")
        if found.status != "PASS"
    )
    told = f"<ul>{reasons}</ul>" if reasons else f" All {len(measured)} numbers are within their limits."
    causes = likely_causes("image_qa", numbers)
    if causes:
        told += f"<p>Likely: {text('; '.join(causes))}.</p>"
    return f"<div class='verdict {status}'><b>{sign} {word}</b>{told}</div>"


def _tiles(numbers: Mapping[str, Any], judgements: tuple[Judgement, ...]) -> str:
    status = {found.metric: found.status for found in judgements}
    tiles = "".join(
        f"<div class=tile><b class='{status.get(name, '')}'>{shown(numbers[name], form)}</b>"
        f"{explained(name, words=label)}</div>"
        for name, label, form in _HEADLINES
        if name in numbers
    )
    return f"<div class=tiles>{tiles}</div>"


def _image(report: Report) -> str:
    whole = picture("The image before correction for the beam", report.thumbnail)
    drawn = report.pictured
    if drawn is None:
        return section("image", "Image", whole)
    left, noise, distribution = image_part.residual_and_noise(drawn)
    cuts = image_part.cutouts(drawn, report.sources, report.comparison)
    return section(
        "image",
        "Image",
        panels([whole, panels([left, noise])], "lead"),
        f"<h3>Brightest in the image</h3>{cuts}" if cuts else "",
        "<h3>Dirty beam, and what is left</h3>",
        panels([*image_part.dirty_beam(drawn), distribution]),
    )


def _data(report: Report) -> str:
    around, inside = report.around, []
    if report.visibilities is not None:
        inside += [data_part.visibilities(report.visibilities)]
    elif around.group:
        inside += ["<p>The Measurement Set was not there any more when this page was written.</p>"]
    if around.flags is not None and (around.flags / SUMMARY_NAME).is_file():
        inside += ["<h3>Flags</h3>", data_part.flags(read_summary(around.flags))]
    return section("data", "Data", *inside)


def _calibration(report: Report) -> str:
    folder = report.around.calibration_set
    drawn = calibration_part.solutions(folder) if folder is not None else ""
    return calibration_part.used(report.summary.get("calibration") or {}) + drawn


def _numbers(numbers: Mapping[str, Any], judgements: tuple[Judgement, ...]) -> str:
    judged = {found.metric: found for found in judgements}
    rows = []
    for name, value in numbers.items():
        found = judged.get(name)
        sign, word = WORDS[found.status] if found else ("", "")
        verdict = f"<span class={found.status}>{sign} {word}</span>" if found else ""
        limits, reason = (bounds(found, " / "), found.limit.reason) if found else ("", "")
        rows.append((explained(name, more=reason), shown(value), limits, verdict))
    missing = [found.metric for found in judgements if not found.measured]
    note = f"<p class=note>Not measured (no catalogue, or too few sources): {text(', '.join(missing))}.</p>"
    return table(("number", "value", "uncertain / bad", "verdict"), rows, "Numbers and limits") + (
        f"<p class=note>A name opens to what it means. Limits of version {text(load_limits().version)}.</p>"
        f"{note if missing else ''}"
    )


def _recovery(recovery: Recovery | None) -> str:
    if recovery is None or not recovery.n_injected:
        return ""
    pairs = zip(recovery.levels, recovery.completeness, strict=True)
    rows = [(f"{level:g}σ", f"{found:.0%}") for level, found in pairs]
    return (
        f"<p>{recovery.n_injected} sources were put into the image and looked for. Flux densities came back "
        f"{recovery.flux_ratio:.3f} times as bright (median, 10σ and more), "
        f"{recovery.flux_bias_sigma:+.2f}σ off (median, 7σ and more).</p>"
        + table(("put in at", "found"), rows, "Injection and recovery")
    )


def _survey(comparison: Comparison | None) -> str:
    if comparison is None:
        return "<p>No catalogue is installed: see <code>contimg catalogs</code>.</p>"
    rows = [(explained(name), f"{value:.4g}") for name, value in comparison.numbers.items()]
    return (
        panels(image_part.survey(comparison))
        + f"<p class=note>{text(comparison.survey)}. Flux ratio and offset are of single sources over 20σ. "
        "They are measured, and applied to nothing unless a setting says so.</p>"
        + table(("number", "value"), rows, "Against the survey")
    )


def _sources(sources: list[Found], comparison: Comparison | None) -> str:
    if not sources:
        return "<p>None.</p>"
    rows = []
    for i, s in enumerate(sources[:_LISTED]):
        name, flux = comparison.names.get(i, ("", None)) if comparison else ("", None)
        rows.append(
            (
                source_name(s.point.ra_deg, s.point.dec_deg),
                f"{s.point.ra_deg:.5f}",
                f"{s.point.dec_deg:+.5f}",
                f"{1e3 * s.flux_jy:.1f}",
                f"{1e3 * s.flux_error_jy:.1f}",
                f"{s.signal_to_noise:.0f}",
                f"{s.power:.2f}",
                "yes" if s.resolved else "",
                text(name),
                f"{s.flux_jy / flux:.2f}" if flux else "",
            )
        )
    heads = ("source", "RA, deg", "Dec, deg", "mJy", "±", "S/N", "beam", "resolved", "counterpart", "ratio")
    columns = "<br>".join(f"<b>{text(k)}</b>: {text(v)}" for k, v in meanings()["columns"].items())
    more = f"{_LISTED} of {len(sources)}; all are in the source list." if len(sources) > _LISTED else ""
    listed = table(heads, rows, "Brightest sources")
    return f"{opening('What the columns mean', columns)}{listed}<p class=note>{more}</p>"


def _files(report: Report) -> str:
    rows = [(link(address, name),) for name, address in report.files.items()]
    return table(("file of the image",), rows, "Files of the image") if rows else ""


def _settings(summary: Mapping[str, Any]) -> str:
    made = {k: v for k, v in summary.items() if not isinstance(v, dict | list)} | dict(
        summary.get("settings") or {}
    )
    rows = [(explained(k, "made"), text(v)) for k, v in made.items()]
    return table(("setting or result", "value"), rows, "How it was made")
