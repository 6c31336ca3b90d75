"""The report's pictures of the calibration: solutions of both feeds, antenna by antenna.

Belongs here: drawing what stands beside a set's tables; no table is opened.  Does not belong here: grading.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.arrays import ARRAYS_NAME, read_arrays
from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.plots.heat import heat_png
from contimg_assets.radio.plots.svg import Axis, Chart
from contimg_assets.radio.quality.report.parts import figure, panels, shown, table, text

_FEEDS = ("XX", "YY")
#: Columns of a picture of solutions, and the height of an antenna's row.
_COLUMNS, _ROW = 128, 8.0
#: Numbers by antenna of the solver: name, words, form.
_OF_ANTENNA = (
    ("delay_ns", "delay, ns", ".2f"),
    ("snr", "S/N", ".0f"),
    ("flagged", "flagged", ".0%"),
    ("amplitude_scatter", "amplitude scatter", ".3f"),
    ("phase_scatter_deg", "phase scatter, °", ".2f"),
    ("chi_squared", "χ²", ".3f"),
)


def used(calibration: Mapping[str, Any]) -> str:
    """Which calibration was applied, with the tables' hashes."""
    if not calibration:
        return "<p>None: the data were imaged as they came.</p>"
    rows = [(text(t["type"]), f"<code>{text(t['sha256'])}</code>") for t in calibration.get("tables", [])]
    warning = calibration.get("warning")
    return (
        f"<p>{text(calibration.get('calibrator', ''))}, group {text(calibration.get('group', ''))}, set "
        f"{text(calibration.get('set_id', ''))}, {float(calibration.get('hours', 0)):+.2f} h."
        f"{f' <b class=WARN>! {text(warning)}</b>' if warning else ''}</p>"
        "<details><summary>Tables and their hashes</summary>"
        f"{table(('table', 'sha256'), rows, 'Tables')}</details>"
    )


def solutions(folder: Path) -> str:
    """Solutions of a set, from its sidecars; what an older release did not write is left out."""
    if not (folder / SIDECAR).is_file():
        return ""
    sidecar = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
    figures = _bandpass(folder, sidecar) if (folder / ARRAYS_NAME).is_file() else []
    lines = _lines(sidecar)
    return panels(lines) + panels(figures, "panels four") + _by_antenna(sidecar)


def _lines(sidecar: Mapping[str, Any]) -> list[str]:
    """Delays by antenna, and phases through the scan."""
    made = []
    antennas: Mapping[str, Any] = sidecar.get("antenna_quality") or {}
    for name, words, form in _OF_ANTENNA[:2]:
        if not antennas:
            break
        values = np.array(
            [[np.nan if v is None else v for v in told[name]] for told in antennas.values()], float
        )
        names = list(antennas)
        step = max(1, len(names) // 12)
        ticks = [(float(k), names[k]) for k in range(0, len(names), step)]
        chart = Chart(
            f"{words} by antenna",
            Axis(-1, len(names), "antenna", ticks=ticks),
            Axis.over(values, words),
            height=240,
        )
        for p in range(values.shape[1]):
            told = [f"antenna {a} {_FEEDS[p]}: {v:{form}}" for a, v in zip(names, values[:, p], strict=True)]
            chart.dots(range(len(names)), values[:, p], ("a", "b")[p], told)
        made.append(
            figure(
                chart.svg(),
                f"{words} by antenna: <span class='key a'>● XX</span> <span class='key b'>○ YY</span>",
            )
        )
    phases: Mapping[str, Any] = sidecar.get("phases_deg") or {}
    if phases:
        longest = max(len(line) for line in phases.values())
        every = np.array([v for line in phases.values() for v in line if v is not None], float)
        chart = Chart(
            "Phases through the scan",
            Axis(0, max(1, longest - 1), "integration", whole=True),
            Axis.over(every, "phase about its mean, °"),
            height=240,
        )
        for name, line in phases.items():
            chart.line(range(len(line)), [np.nan if v is None else v for v in line], "one", f"antenna {name}")
        made.append(
            figure(chart.svg(), "Phase of each antenna through the calibrator's scan, about its mean")
        )
    return made


def _bandpass(folder: Path, sidecar: Mapping[str, Any]) -> list[str]:
    """Amplitude and phase of every antenna and feed over the band, a row an antenna."""
    arrays = read_arrays(folder)
    values = np.where(arrays["flags"], np.nan, arrays["bandpass"])
    names = [str(name) for name in arrays["antennas"]]
    megahertz = arrays["frequencies_hz"] / 1e6
    if not len(names):
        return []
    if megahertz[0] > megahertz[-1]:
        values, megahertz = values[:, ::-1], megahertz[::-1]
    mean = _averaged(values)
    amplitude, phase = np.abs(mean), np.rad2deg(np.angle(mean))
    known = amplitude[np.isfinite(amplitude)]
    low, high = (float(v) for v in np.quantile(known, [0.01, 0.99])) if known.size else (0.0, 1.0)
    made = []
    for p in range(values.shape[2]):
        ends = (float(megahertz[0]), float(megahertz[-1]))
        made += [
            figure(
                _rows(
                    f"Bandpass amplitude {_FEEDS[p]}", amplitude[..., p], names, ends, (low, high), "viridis"
                ),
                f"Bandpass amplitude {_FEEDS[p]}, from {low:.3g} (dark) to {high:.3g} (light); grey: flagged",
            ),
            figure(
                _rows(
                    f"Bandpass phase {_FEEDS[p]}", phase[..., p], names, ends, (-180, 180), "twilight_shifted"
                ),
                f"Bandpass phase {_FEEDS[p]}, −180° to 180°; reference antenna "
                f"{text(sidecar.get('refant', ''))}",
            ),
        ]
    return made


def _averaged(values: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Means over neighbouring channels, of those that are not flagged."""
    step = max(1, -(-values.shape[1] // _COLUMNS))
    n = values.shape[1] // step
    parts = values[:, : n * step].reshape(values.shape[0], n, step, values.shape[2])
    good = np.isfinite(parts)
    numbers = good.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numbers > 0, np.where(good, parts, 0).sum(axis=2) / numbers, np.nan + 0j)


def _rows(
    name: str,
    values: NDArray[np.floating],
    antennas: list[str],
    band_mhz: tuple[float, float],
    limits: tuple[float, float],
    colours: str,
) -> str:
    """A picture with a row an antenna, the first on top."""
    n = len(antennas)
    ticks = [(n - 1 - k + 0.0, antenna) for k, antenna in enumerate(antennas)]
    chart = Chart(
        name,
        Axis(*band_mhz, "frequency, MHz"),
        Axis(-0.5, n - 0.5, "antenna", ticks=ticks),
        height=max(120.0, 42 + _ROW * n),
    )
    chart.picture(heat_png(values[::-1], *limits, colours))
    return chart.svg().replace("<svg ", "<svg class=dense ", 1)


def _by_antenna(sidecar: Mapping[str, Any]) -> str:
    antennas: Mapping[str, Any] = sidecar.get("antenna_quality") or {}
    if not antennas:
        return ""
    heads = ["antenna", *(words for _, words, _ in _OF_ANTENNA)]
    rows = [
        [
            text(name),
            *(
                " / ".join(shown(v, form) for v in told[key]) if key in told else ""
                for key, _, form in _OF_ANTENNA
            ),
        ]
        for name, told in antennas.items()
    ]
    inside = table(heads, rows, "Solutions by antenna")
    return f"<details><summary>Numbers by antenna, XX / YY</summary>{inside}</details>"
