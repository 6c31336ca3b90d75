"""The report's pictures of the data: coverage, calibrated amplitudes and phases, flags.

Belongs here: drawing what was sampled (``visibility_sample.py``), and what flagging has counted.  Does not
belong here: reading visibilities.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio.plots.heat import heat_png
from contimg_assets.radio.plots.svg import Axis, Chart
from contimg_assets.radio.quality.report.parts import figure, panels, text, two_feeds
from contimg_assets.radio.quality.visibility_sample import VisibilitySample

#: Cells of a density, a side; channels and integrations that coverage is shown of.
_CELLS, _COVERAGE = 180, (24, 6)
#: Cells of phase.
_PHASES = 60
_STYLES = ("a", "b")


def visibilities(sample: VisibilitySample) -> str:
    """Coverage, and calibrated amplitudes and phases against distance, time and frequency."""
    good = np.isfinite(sample.values)
    if not good.any():
        return "<p>Everything of the sample is flagged.</p>"
    amplitude, phase = np.abs(sample.values), np.rad2deg(np.angle(sample.values))
    top = float(np.quantile(amplitude[good], 0.999)) * 1.1
    unit = "Jy" if sample.column != "DATA" else "correlator units"
    figures = [
        _coverage(sample),
        _against_distance(sample, amplitude, top, unit),
        *(_amplitude(sample, amplitude, axis, unit) for axis in (0, 2)),
        *(_phase(sample, phase, axis) for axis in (0, 2)),
    ]
    return panels(figures) + (
        f"<p class=note>{text(sample.column)} of {sample.n_sampled} of {sample.n_baselines} baselines, "
        f"averaged over {_width_mhz(sample):.2f} MHz, {len(sample.seconds)} integrations. "
        f"Expected noise in the real part of one value: {sample.noise_jy:.2f} Jy.</p>"
    )


def _width_mhz(sample: VisibilitySample) -> float:
    return float(np.ptp(sample.frequencies_hz)) / max(1, len(sample.frequencies_hz) - 1) / 1e6


def _coverage(sample: VisibilitySample) -> str:
    """All baselines at some frequencies and times: how often each cell was seen."""
    frequencies = sample.frequencies_hz[:: max(1, len(sample.frequencies_hz) // _COVERAGE[0])]
    uv = sample.uvw_m[:: max(1, len(sample.uvw_m) // _COVERAGE[1])].reshape(-1, 2).astype(np.float32)
    reach = float(np.abs(uv).max() * frequencies.max() / SPEED_OF_LIGHT) * 1.04 / 1e3
    counts = np.zeros(_CELLS * _CELLS, np.int64)
    for frequency in frequencies:
        scaled = uv * np.float32(frequency / SPEED_OF_LIGHT / 1e3 / reach)
        cells = np.clip(((scaled + 1) / 2 * _CELLS).astype(np.int32), 0, _CELLS - 1)
        counts += np.bincount(cells[:, 1] * _CELLS + cells[:, 0], minlength=_CELLS * _CELLS)
    grid = counts.reshape(_CELLS, _CELLS)
    both = np.log10(grid + grid[::-1, ::-1] + 0.5)
    chart = Chart("uv coverage", Axis(-reach, reach, "u, kλ"), Axis(-reach, reach, "v, kλ"), height=342)
    chart.picture(heat_png(both, -0.3, float(both.max()), "viridis"))
    return figure(
        chart.svg(),
        "uv coverage of all baselines through the band; colours: logarithm of how often a cell is seen",
    )


def _density(
    x: NDArray[np.floating], y: NDArray[np.floating], ends: tuple[float, float, float, float]
) -> str:
    """A picture of how many points lie where."""
    low_x, high_x, low_y, high_y = ends
    cells_x = ((x - low_x) / (high_x - low_x) * _CELLS).astype(np.int32)
    cells_y = ((y - low_y) / (high_y - low_y) * _CELLS).astype(np.int32)
    inside = (cells_x >= 0) & (cells_x < _CELLS) & (cells_y >= 0) & (cells_y < _CELLS)
    counts = np.bincount(cells_y[inside] * _CELLS + cells_x[inside], minlength=_CELLS**2).reshape(
        _CELLS, _CELLS
    )
    shown = np.log10(counts + 0.5)
    return heat_png(shown, -0.3, float(shown.max()), "viridis")


def _against_distance(sample: VisibilitySample, amplitude: NDArray[np.float32], top: float, unit: str) -> str:
    waves = sample.frequencies_hz / SPEED_OF_LIGHT / 1e3
    distance = np.broadcast_to((sample.uv_m[:, :, None] * waves)[..., None], amplitude.shape)
    good = np.isfinite(amplitude)
    x, y = distance[good], amplitude[good]
    reach = float(x.max()) * 1.02
    chart = Chart(
        "Amplitude against uv distance",
        Axis(0, reach, "uv distance, kλ"),
        Axis(0, top, f"amplitude, {unit}"),
        height=342,
    )
    chart.picture(_density(x, y, (0, reach, 0, top)))
    edges = np.quantile(x[:: max(1, x.size // 20000)], np.linspace(0, 1, 25))
    places = np.digitize(x[:: max(1, x.size // 200000)], edges[1:-1])
    values = y[:: max(1, x.size // 200000)]
    medians = [float(np.median(values[places == k])) if (places == k).any() else np.nan for k in range(24)]
    chart.line((edges[1:] + edges[:-1]) / 2, medians, "over")
    if sample.column != "DATA":
        chart.level(sample.noise_jy * np.sqrt(2 * np.log(2)), "over dashed", "the median of noise alone")
    return figure(
        chart.svg(), "Amplitude against uv distance, both feeds; line: median; dashed: what noise alone gives"
    )


def _axis_of(sample: VisibilitySample, axis: int) -> tuple[NDArray[np.float64], str, str]:
    if axis == 0:
        return sample.seconds, "time since the first integration, s", "time"
    return sample.frequencies_hz / 1e6, "frequency, MHz", "frequency"


def _amplitude(sample: VisibilitySample, amplitude: NDArray[np.float32], axis: int, unit: str) -> str:
    """Median, and the band that two thirds lie in, along time (0) or frequency (2)."""
    x, label, words = _axis_of(sample, axis)
    along = np.moveaxis(amplitude, (axis, 3), (0, 1)).reshape(amplitude.shape[axis], amplitude.shape[3], -1)
    # A quantile is known well enough by some thousands.
    along = along[:, :, :: max(1, along.shape[2] // 6000)]
    known = np.isfinite(along).any(axis=2)
    quantiles = np.full((3, *known.shape), np.nan)
    quantiles[:, known] = np.nanquantile(along[known], [0.16, 0.5, 0.84], axis=1)
    chart = Chart(
        f"Amplitude against {words}",
        Axis.over(x, label),
        Axis.over(quantiles, f"amplitude, {unit}", include=0.0),
        height=260,
    )
    for p in range(min(2, along.shape[1])):
        feed = p if p == 0 else along.shape[1] - 1
        chart.band(x, quantiles[0, :, feed], quantiles[2, :, feed], _STYLES[p])
        chart.line(x, quantiles[1, :, feed], _STYLES[p])
    return figure(
        chart.svg(),
        f"Amplitude against {words}: median, and where two thirds lie {two_feeds(along.shape[1])}",
    )


def _phase(sample: VisibilitySample, phase: NDArray[np.floating], axis: int) -> str:
    """How many phases lie where, and the phase of the mean."""
    x, label, words = _axis_of(sample, axis)
    n = phase.shape[axis]
    rows = np.moveaxis(phase, axis, 0).reshape(n, -1)
    cells = np.clip(np.nan_to_num((rows + 180) / 360 * _PHASES).astype(np.int32), 0, _PHASES - 1)
    cells += _PHASES * np.arange(n, dtype=np.int32)[:, None]
    counts = np.bincount(cells[np.isfinite(rows)], minlength=n * _PHASES).reshape(n, _PHASES)
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    step = (x[-1] - x[0]) / max(1, n - 1) / 2 or 1.0
    rising = x[0] <= x[-1]
    ends = Axis(float(min(x) - abs(step)), float(max(x) + abs(step)), label)
    ticks = [(float(v), str(v)) for v in (-180, -90, 0, 90, 180)]
    chart = Chart(f"Phase against {words}", ends, Axis(-180, 180, "phase, °", ticks=ticks), height=260)
    chart.picture(heat_png((part if rising else part[::-1]).T, 0, float(max(part.max(), 1e-9)), "viridis"))
    along = np.moveaxis(sample.values, (axis, 3), (0, 1)).reshape(n, phase.shape[3], -1)
    total = np.nansum(along, axis=2)
    mean = np.where(total != 0, total, np.nan)
    for p, feed in enumerate((0, phase.shape[3] - 1)[: phase.shape[3]]):
        chart.line(x, np.rad2deg(np.angle(mean[:, feed])), f"over {'dashed' if p else ''}")
    return figure(
        chart.svg(),
        f"Phases of single values against {words} (light: many); lines: phase of their mean, XX and (dashed) "
        "YY",
    )


def flags(summary: dict[str, Any]) -> str:
    """Where the flags lie: by antenna, time and frequency."""
    alarm = 100 * float(summary["alarm_line"])
    cells = 100 * np.array(summary["by_integration_and_channel"], float)
    megahertz = np.array(summary["frequencies_mhz"])
    band = Axis(float(megahertz.min()), float(megahertz.max()), "frequency, MHz")
    if megahertz[0] > megahertz[-1]:
        cells, megahertz = cells[:, ::-1], megahertz[::-1]
    n_times = cells.shape[0]
    occupancy = Chart(
        "Flagged by integration and frequency",
        band,
        Axis(-0.5, n_times - 0.5, "integration", whole=True),
        height=260,
    )
    occupancy.picture(heat_png(cells, 0, 100, "cividis"))
    channels = Chart("Flagged by frequency", band, Axis(0, 100, "flagged, %"), height=260)
    channels.line(megahertz, cells.mean(axis=0))
    times = Chart(
        "Flagged by integration",
        Axis(-0.5, n_times - 0.5, "integration", whole=True),
        Axis(0, max(10.0, 1.1 * float(cells.mean(axis=1).max()), 1.1 * alarm), "flagged, %"),
        height=260,
    )
    times.bars(
        range(n_times),
        cells.mean(axis=1),
        0.7,
        [f"integration {t}: {v:.1f} %" for t, v in enumerate(cells.mean(axis=1))],
    )
    alarms = "".join(f"<li>{text(line)}</li>" for line in summary.get("alarms", []))
    return (
        figure(
            _by_antenna(summary["by_antenna"], alarm),
            "Flagged part of each antenna's baselines; dashed: where an image would be warned about",
        )
        + panels(
            [
                figure(
                    occupancy.svg(), "Flagged by integration and frequency, from none (dark) to all (light)"
                ),
                figure(channels.svg(), "Flagged by frequency"),
                figure(times.svg(), "Flagged by integration"),
            ]
        )
        + (f"<ul>{alarms}</ul>" if alarms else "")
    )


def _by_antenna(by_antenna: dict[str, float], alarm: float) -> str:
    """A bar an antenna, in a box of its own that scrolls: every name is to be read."""
    names, parts = list(by_antenna), 100 * np.array(list(by_antenna.values()))
    top = max(10.0, 1.1 * float(np.nanmax(parts, initial=0.0)), 1.1 * alarm)
    antennas = Chart(
        "Flagged by antenna",
        Axis(-0.6, len(names) - 0.4, "antenna", ticks=list(enumerate(names))),
        Axis(0, top, "flagged, %"),
        width=max(360.0, 60 + 10.0 * len(names)),
        height=216,
        upright=True,
    )
    antennas.bars(
        range(len(names)), parts, 0.8, [f"antenna {a}: {v:.1f} %" for a, v in zip(names, parts, strict=True)]
    )
    antennas.level(alarm, "b", "alarm line")
    return (
        "<div class=wide tabindex=0 role=region aria-label='Flagged by antenna'>"
        f"<div style='width:{1.25 * antennas.width:.0f}px'>{antennas.svg()}</div></div>"
    )
