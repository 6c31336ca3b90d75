"""One self-contained page about a night, for a laptop and a phone, and its text for a mail.

Belongs here: how it looks.  Does not belong here: any number on it (``night_report.py``).
Colours are Okabe and Ito's, and nothing is told by colour alone.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from contimg_assets.station.night_report import ANTENNAS_LISTED, NIGHTS, NightReport

#: Size of a drawing: as wide as a phone, where letters keep their size.
WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 360.0, 170.0, 44.0, 22.0, 8.0
#: Mark, class and word of a group by its state and verdict.
_FACES = {
    "PASS": ("✓", "PASS", "good"),
    "WARN": ("!", "WARN", "uncertain"),
    "ERROR": ("✕", "ERROR", "bad"),
    "failed": ("⚠", "failed", "failed"),
    "": ("·", "", "not done, or not judged"),
}
_COLOURS = {"PASS": "#009e73", "WARN": "#e69f00", "ERROR": "#d55e00", "failed": "#b03a00", "": "#76818c"}
_STATES = {
    "collecting": "still arriving",
    "pending": "waiting",
    "in_progress": "being made",
    "failed": "failed",
}
#: Part of the points that an axis shows; those beyond are drawn at its edge.
_SHOWN = 0.98


def page(report: NightReport, base: str = "") -> str:
    """The page.

    Parameters
    ----------
    report : NightReport
    base : str
        Where its links lead: address of the pages; empty: where it is served.
    """
    return _template().render(
        r=report,
        base=base.rstrip("/"),
        nights=NIGHTS,
        listed=ANTENNAS_LISTED,
        sentence=sentence(report),
        tiles=_tiles(report),
        legend=list(_FACES.values()),
        counts=_counts(report),
        strip=_strip(report),
        charts=[_charts(report, each) for each in report.compared],
        sky=_sky(report),
        latency=_latency(report),
        pace=_pace(report),
    )


def sentence(report: NightReport) -> str:
    """The night in a sentence."""
    if not report.groups:
        return f"No group was observed on {report.date}."
    n = report.numbers
    parts = [f"{n['n_groups']} groups observed, {n['n_imaged']} imaged"]
    judged = [
        f"{report.verdicts[verdict]} {_FACES[verdict][2]}"
        for verdict in ("PASS", "WARN", "ERROR")
        if report.verdicts.get(verdict)
    ]
    parts[0] += f" ({', '.join(judged)})" if judged else ""
    parts += [f"{report.states[state]} {words}" for state, words in _STATES.items() if report.states[state]]
    return f"{', '.join(parts)}."


def text(report: NightReport, base: str | None) -> str:
    """What a mail says before one opens the page."""
    lines = [sentence(report), ""]
    lines += [f"{words}: {value}" for value, words in _tiles(report)]
    if report.changes:
        told = [f"{each['antenna']} {'dead' if each['dead'] else 'well again'}" for each in report.changes]
        lines += ["", f"Antennas that changed: {', '.join(told)}"]
    if report.causes:
        lines += ["", "Failures by cause:"]
        lines += [f"- {len(each['keys'])}: {each['kind']}" for each in report.causes[:10]]
    lines += [
        "",
        f"The report: {base.rstrip('/')}/nights/{report.date}" if base else "The report is attached.",
    ]
    return "\n".join(lines)


def number(value: float | None, digits: int = 3) -> str:
    """A number to so many digits; – where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    told = f"{value:.{digits}g}"
    # People read 940, not 9.4e+02.
    return f"{float(told):.0f}" if "e+" in told else told


def _tiles(report: NightReport) -> list[tuple[str, str]]:
    n, by_name = report.numbers, {each["name"]: each for each in report.compared}
    noise, flux, offset = (by_name[k] for k in ("rms_ratio", "flux_ratio", "astrometric_offset_arcsec"))
    return [
        (f"{n['n_imaged']} of {n['n_groups']}", "groups imaged"),
        (str(n["n_failed"] + n["n_error"]), "failed or bad"),
        (number(noise["tonight"]), f"noise over expected; {number(noise['before'])} before"),
        (number(flux["tonight"]), f"flux ratio; {number(flux['before'])} before"),
        (f"{number(offset['tonight'], 2)}″", f"offset; {number(offset['before'], 2)}″ before"),
        (_duration(n["latency_median_s"]), "from sky to image, median"),
        (number(n["real_time_factor"], 2), "real-time factor"),
        (f"{n['n_dead_antennas']}", f"antennas dead; {n['n_changed_antennas']} changed"),
        (_volume(n["disk_free_bytes"]), "free on disk"),
    ]


def _counts(report: NightReport) -> list[tuple[str, int, str]]:
    rows = [
        (f"completed, {_FACES[v][0]} {_FACES[v][2]}", report.verdicts.get(v, 0), v)
        for v in ("PASS", "WARN", "ERROR")
    ]
    rows += [
        (words, report.states[state], "failed" if state == "failed" else "")
        for state, words in _STATES.items()
    ]
    return [*rows, ("all", len(report.groups), "")]


def _pace(report: NightReport) -> list[tuple[str, str]]:
    told, disk = report.latency, report.disk
    days = disk["days_left"]
    return [
        ("from sky to image, median", _duration(told["median_s"])),
        ("95 % within", _duration(told["p95_s"])),
        ("worst", _duration(told["worst_s"])),
        ("real-time factor (sky over time between first and last image)", number(told["real_time_factor"])),
        ("time of all stages for an image", _duration(told["stage_seconds_per_group"])),
        ("products of these groups, as they were made", _volume(disk["written_bytes"])),
        ("kept of them", _volume(disk["kept_bytes"])),
        ("free when this was made", f"{disk['free_bytes'] / 1e9:.0f} of {disk['total_bytes'] / 1e9:.0f} GB"),
        ("full at last week's growth in", "–" if days is None else f"{days:.1f} days"),
    ]


def _face(group: dict[str, Any]) -> str:
    return "failed" if group["state"] == "failed" else group["verdict"]


def _strip(report: NightReport) -> Markup:
    """All groups: a line for each two hours."""
    marks = []
    for each in report.groups:
        row, within = divmod(each["hour"], 2.0)
        mark, style, word = _FACES[_face(each)]
        x, y = LEFT + within / 2 * (WIDTH - LEFT - EDGE), 14 + 16 * row
        title = escape(f"{each['key']} {word}" + (f", {each['calibrator']}" if each["calibrator"] else ""))
        colour = _COLOURS[style]
        under = f'<path d="M{x - 4:.1f} {y + 4:.0f}h8" stroke="#0072b2"/>' if each["calibrator"] else ""
        marks.append(
            f'<text x="{x:.1f}" y="{y:.0f}" text-anchor="middle" style="fill:{colour};font-weight:bold">'
            f"{mark}<title>{title}</title></text>{under}"
        )
    hours = [f'<text x="4" y="{14 + 16 * k}">{2 * k:02d} h</text>' for k in range(12)]
    return _svg("Groups by the hour", [*hours, *marks], 200)


def _charts(report: NightReport, compared: dict[str, Any]) -> dict[str, Any]:
    name, words = compared["name"], compared["words"]
    points = [(each["hour"], each[name], _face(each)) for each in report.groups if each[name] is not None]
    label = f"{words}{', ' + compared['unit'] if compared['unit'] else ''}"
    band = (compared["low"], compared["before"], compared["high"])
    nights = [(float(place), value, "") for place, (_, value) in enumerate(compared["nights"])]
    if compared["tonight"] is not None:
        nights.append((float(len(nights)), compared["tonight"], "PASS"))
    held = (
        "band and line: 16–84 % and median of the nights before"
        if band[1] is not None
        else "no nights before"
    )
    days = [(0.0, compared["nights"][0][0][5:])] if compared["nights"] else []
    return {
        "words": words,
        "caption": f"{label}, over the night (UTC); {held}.",
        "over_night": _scatter(f"{words} over the night", points, (0.0, 24.0), band, _HOURS),
        "over_nights": _scatter(
            f"{words} of the nights",
            nights,
            (-0.5, max(1.0, len(nights) - 0.5)),
            (None, None, None),
            [*days, (max(0.0, len(nights) - 1.0), report.date[5:])],
        ),
    }


_HOURS = [(float(hour), f"{hour:02d}h") for hour in range(0, 25, 6)]


def _latency(report: NightReport) -> tuple[Markup, str]:
    """The time from the sky to the image over the night, and its unit."""
    times = [e["latency_s"] for e in report.groups if e["latency_s"] is not None]
    unit, length = _unit(_range(times, ())[1] if times else 0.0)
    points = [
        (e["hour"], e["latency_s"] / length, _face(e)) for e in report.groups if e["latency_s"] is not None
    ]
    return _scatter("latency", points, (0.0, 24.0), (None, None, None), _HOURS), unit


def _sky(report: NightReport) -> Markup:
    points = [
        (each["ra_deg"] / 15, each["dec_deg"], _face(each) if each["latency_s"] is not None else "open")
        for each in report.groups
    ]
    return _scatter("sky coverage", points, (0.0, 24.0), (None, None, None), _HOURS, (-40.0, 90.0))


def _scatter(
    name: str,
    points: Sequence[tuple[float, float, str]],
    across: tuple[float, float],
    band: tuple[float | None, float | None, float | None],
    ticks: Sequence[tuple[float, str]],
    up: tuple[float, float] | None = None,
) -> Markup:
    """Points, their shape by verdict, over a band of what was before."""
    low, high = up or _range(
        [value for _, value, _ in points], [value for value in band if value is not None]
    )

    def x_of(value: float) -> float:
        return LEFT + (value - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - EDGE)

    def y_of(value: float) -> float:
        part = min(1.0, max(0.0, (value - low) / (high - low)))
        return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - EDGE)

    right = WIDTH - EDGE
    drawn = []
    if band[0] is not None and band[1] is not None and band[2] is not None:
        top, foot, line = y_of(band[2]), y_of(band[0]), y_of(band[1])
        drawn += [
            f'<rect x="{LEFT}" y="{top:.1f}" width="{right - LEFT}" height="{max(1.0, foot - top):.1f}" '
            'fill="#e2eef8"/>',
            f'<path d="M{LEFT} {line:.1f}H{right}" stroke="#0072b2"/>',
        ]
    drawn.append(f'<path d="M{LEFT} {EDGE}V{HEIGHT - BOTTOM}H{right}" fill="none" stroke="#76818c"/>')
    for value, words in round_values(low, high):
        y = y_of(value)
        drawn.append(f'<path d="M{LEFT - 3} {y:.1f}h3" stroke="#76818c"/>')
        drawn.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    for value, words in ticks:
        anchor = "end" if x_of(value) > right - 12 else "middle"
        drawn.append(
            f'<text x="{x_of(value):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(words)}</text>'
        )
    drawn += [_dot(x_of(x), y_of(y), face) for x, y, face in points]
    if not points:
        drawn.append(
            f'<text x="{(LEFT + right) / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing to show</text>'
        )
    return _svg(name, drawn, HEIGHT)


def _dot(x: float, y: float, face: str) -> str:
    if face == "open":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="none" stroke="#76818c"/>'
    colour = _COLOURS[face]
    if face in ("ERROR", "failed"):
        return f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" stroke="{colour}" stroke-width="1.6"/>'
    if face == "WARN":
        return f'<path d="M{x:.1f} {y - 3.4:.1f}l3.4 6h-6.8z" fill="{colour}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>'


def _range(values: Sequence[float], more: Sequence[float]) -> tuple[float, float]:
    """An axis that holds nearly all values, and what they are held against."""
    ordered = sorted(values)
    # Of few values, all.
    away = math.floor((1 - _SHOWN) * max(0, len(ordered) - 1))
    inner = [*ordered[away : len(ordered) - away], *more]
    if not inner:
        return 0.0, 1.0
    low, high = min(inner), max(inner)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def round_values(low: float, high: float) -> list[tuple[float, str]]:
    """Round values on an axis, two to six, each with what is written beside it."""
    rough = (high - low) / 5
    power = math.floor(math.log10(rough))
    step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(place * step, f"{place * step:.{digits}f}") for place in places]


def _svg(name: str, drawn: Sequence[str], height: float) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(name)}">'
    return Markup(head + "".join(drawn) + "</svg>")


def _hours_of(degrees: float) -> str:
    minutes = round(degrees / 15 * 60) % 1440
    return f"{minutes // 60:02d}h{minutes % 60:02d}m"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    unit, length = _unit(seconds)
    return f"{seconds / length:.3g} {unit}" if unit != "d" else f"{seconds / length:.1f} d"


def _unit(seconds: float) -> tuple[str, int]:
    """In which a time is told, and how long that is, s."""
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return unit, length
    return "d", 86400


def _volume(size: float) -> str:
    for unit, length in (("TB", 1e12), ("GB", 1e9)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size / 1e6:.3g} MB"


def _between(first: float | None, last: float | None) -> str:
    """Two values, or one where they look the same."""
    told = [number(value, 2).replace("-", "−") for value in (first, last)]
    return told[0] if told[0] == told[1] else " to ".join(told)


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("contimg_assets.station"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "hours": _hours_of}
    environment.globals["between"] = _between
    return environment.get_template("night_report.html")
