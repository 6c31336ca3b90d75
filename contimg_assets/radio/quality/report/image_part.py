"""The report's pictures of the image: its brightest sources, dirty beam, residual, and the survey's view.

Belongs here: what of the image is drawn, from arrays at hand.  Does not belong here: the numbers that are
judged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.images.crossmatch import Comparison
from contimg_assets.radio.images.gaussian_fits import gaussian
from contimg_assets.radio.images.noise import shrunk
from contimg_assets.radio.images.source_finding import Found, ImagePlane
from contimg_assets.radio.images.source_table import source_name
from contimg_assets.radio.plots.heat import heat_png
from contimg_assets.radio.plots.svg import Axis, Chart
from contimg_assets.radio.quality.report.parts import figure, panels, text

#: Sources that have a cut-out each, and its half-width in beams.
_CUTOUTS, _HALF_BEAMS = 8, 10
#: Pixels of a picture of the whole field, a side.
_FIELD_PIXELS = 420
#: Lengths that a scale bar may have, arcsec.
_BARS = (5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800)
_COLOUR_BAR_TICKS = 5


@dataclass(frozen=True)
class Pictured:
    """Arrays of an image that are drawn."""

    plane: ImagePlane
    psf: NDArray[np.float32]
    residual: NDArray[np.float32]
    noise: NDArray[np.float32]
    expected_rms_jy: float

    @property
    def cell_arcsec(self) -> float:
        """Width of a pixel."""
        return 3600 * float(np.abs(self.plane.wcs.wcs.cdelt[1]))


def cutouts(pictured: Pictured, sources: list[Found], comparison: Comparison | None) -> str:
    """The sources that stand out most, named and outlined."""
    order = sorted(range(len(sources)), key=lambda k: -sources[k].point.flux_jy)[:_CUTOUTS]
    if not order:
        return ""
    names = comparison.names if comparison else {}
    drawn = [_cutout(pictured, sources, k, names) for k in order]
    return panels(drawn, "cuts") + (
        "<p class=note>Colours: from −5 (dark) to 20 times the local noise (light). Outlines: half maximum "
        "of each source of the list, as fitted (resolved: its size; else the restoring beam). Below left: "
        "the restoring beam. Names: from the position; in brackets the survey's.</p>"
    )


def _cutout(pictured: Pictured, sources: list[Found], k: int, names: dict[int, tuple[str, float]]) -> str:
    source, plane, cell = sources[k], pictured.plane, pictured.cell_arcsec
    x0, y0 = round(source.point.x), round(source.point.y)
    half = int(np.ceil(_HALF_BEAMS * plane.major_pixels))
    ny, nx = plane.pixels.shape
    cut = np.full((2 * half + 1, 2 * half + 1), np.nan, np.float32)
    low_x, low_y, high_x, high_y = (
        max(x0 - half, 0),
        max(y0 - half, 0),
        min(x0 + half + 1, nx),
        min(y0 + half + 1, ny),
    )
    cut[low_y - y0 + half : high_y - y0 + half, low_x - x0 + half : high_x - x0 + half] = plane.pixels[
        low_y:high_y, low_x:high_x
    ]
    name, survey = source_name(source.point.ra_deg, source.point.dec_deg), names.get(k, ("", 0.0))[0]
    reach = (half + 0.5) * cell / 60
    chart = Chart(
        f"Cut-out around {name}",
        Axis(reach, -reach, "east, ′"),
        Axis(-reach, reach, "north, ′"),
        width=300,
        height=288,
    )
    chart.picture(heat_png(cut / source.noise_jy, -5, 20, "cividis"))
    for i, other in enumerate(sources):
        east, north = -(other.point.x - x0) * cell / 60, (other.point.y - y0) * cell / 60
        if max(abs(east), abs(north)) < reach:
            _outline(chart, other, (east, north), plane, cell)
            _label(chart, other, (east, north), plane, (cell, reach), whole=i == k)
    _beam_and_bar(chart, plane, cell, reach)
    flux = (
        f"{1e3 * source.flux_jy:.1f} ± {1e3 * source.flux_error_jy:.1f} mJy, {source.signal_to_noise:.0f} σ"
    )
    more = f" ({text(survey)})" if survey else ""
    place = f"RA {source.point.ra_deg:.4f}°, Dec {source.point.dec_deg:+.4f}°"
    resolved = ", resolved" if source.resolved else ""
    return figure(chart.svg(), f"<b>{name}</b>{more}<br>{flux}{resolved}<br>{place}")


def _outline(chart: Chart, source: Found, at: tuple[float, float], plane: ImagePlane, cell: float) -> None:
    major, minor, angle = (
        (source.major_pixels, source.minor_pixels, source.angle_rad)
        if source.resolved
        else (plane.major_pixels, plane.minor_pixels, plane.position_angle_rad)
    )
    told = f"{source_name(source.point.ra_deg, source.point.dec_deg)}, {1e3 * source.flux_jy:.1f} mJy"
    scale = cell / 60
    chart.ellipse(*at, major * scale, minor * scale, float(np.rad2deg(angle)), "outline", told)


def _label(
    chart: Chart,
    source: Found,
    at: tuple[float, float],
    plane: ImagePlane,
    scale: tuple[float, float],
    *,
    whole: bool,
) -> None:
    """A source's name below it, where there is room; of neighbours, hours, minutes and degrees only."""
    cell, reach = scale
    name = source_name(source.point.ra_deg, source.point.dec_deg)
    size = source.major_pixels if source.resolved else plane.major_pixels
    below = at[1] - 0.75 * size * cell / 60 - 0.08 * reach
    if abs(at[0]) < 0.75 * reach and below > -0.8 * reach:
        sign = name.index("-") if "-" in name else name.index("+")
        chart.text(
            at[0],
            below,
            name if whole else f"{name[:5]}{name[sign : sign + 5]}",
            "on" if whole else "on small",
        )


def _beam_and_bar(chart: Chart, plane: ImagePlane, cell: float, reach: float) -> None:
    """The restoring beam below left, a scale bar below right."""
    scale, angle = cell / 60, float(np.rad2deg(plane.position_angle_rad))
    corner = -reach + 0.75 * plane.major_pixels * scale + 0.02 * reach
    chart.ellipse(
        -corner,
        corner,
        plane.major_pixels * scale,
        plane.minor_pixels * scale,
        angle,
        "beam",
        "restoring beam",
    )
    length = max((bar for bar in _BARS if bar <= 0.5 * reach * 60), default=_BARS[0])
    end = -0.92 * reach
    chart.line([end + length / 60, end], [-0.9 * reach, -0.9 * reach], "bar")
    words = f"{length}″" if length < 60 else f"{length / 60:g}′"
    chart.text(end + length / 120, -0.84 * reach, words, "on")


def dirty_beam(pictured: Pictured) -> list[str]:
    """The dirty beam's middle, and its profile along both axes against the restoring beam's."""
    plane, cell = pictured.plane, pictured.cell_arcsec
    middle = pictured.psf.shape[0] // 2
    half = min(middle - 1, int(np.ceil(_HALF_BEAMS * plane.major_pixels)))
    cut = pictured.psf[middle - half : middle + half + 1, middle - half : middle + half + 1]
    reach = (half + 0.5) * cell / 60
    chart = Chart(
        "The dirty beam", Axis(reach, -reach, "east, ′"), Axis(-reach, reach, "north, ′"), height=342
    )
    chart.picture(heat_png(np.arcsinh(cut / 0.05), float(np.arcsinh(-4)), float(np.arcsinh(20)), "cividis"))
    angle = plane.position_angle_rad
    chart.ellipse(
        0,
        0,
        plane.major_pixels * cell / 60,
        plane.minor_pixels * cell / 60,
        float(np.rad2deg(angle)),
        "outline",
    )
    steps = np.linspace(-half, half, 2 * half + 1)
    beyond = 6 * plane.major_pixels
    along = steps[np.abs(steps) <= beyond]
    profile = Chart(
        "Profiles of dirty and restoring beam",
        Axis(-beyond * cell, beyond * cell, "distance from the middle, ″"),
        Axis(-0.3, 1.05, "response"),
        height=342,
    )
    for turn, style in ((angle, "a"), (angle + np.pi / 2, "b")):
        ys, xs = along * np.cos(turn), -along * np.sin(turn)
        at = cut[
            np.clip(np.rint(ys + half), 0, 2 * half).astype(int),
            np.clip(np.rint(xs + half), 0, 2 * half).astype(int),
        ]
        profile.line(along * cell, at, style)
        restored = gaussian(xs, ys, plane.major_pixels, plane.minor_pixels, angle)
        profile.line(along * cell, restored, f"{style} faint")
    profile.level(0.0, "zero")
    return [
        figure(
            chart.svg(), "Dirty beam, colours by its arc sine; ellipse: half maximum of the restoring beam"
        ),
        figure(
            profile.svg(),
            "Dirty beam <span class='key a'>— along the long axis</span> "
            "<span class='key b'>- - along the short one</span>; faint: the restoring beam",
        ),
    ]


def residual_and_noise(pictured: Pictured) -> list[str]:
    """What CLEAN left over the expected noise, the local noise, and how the values are distributed."""
    n, cell = pictured.residual.shape[0], pictured.cell_arcsec
    reach = n * cell / 7200
    field = (Axis(reach, -reach, "east, °"), Axis(-reach, reach, "north, °"))
    left = Chart("The residual over the expected noise", *field, height=342)
    left.picture(
        heat_png(shrunk(pictured.residual, _FIELD_PIXELS) / pictured.expected_rms_jy, -4, 4, "RdBu_r")
    )
    local = shrunk(pictured.noise, _FIELD_PIXELS // 2) * 1e3
    low, high = (float(v) for v in np.nanquantile(local, [0.005, 0.995]))
    noise = Chart("The local noise", *field, height=342)
    noise.picture(heat_png(local, low, high, "cividis"))
    edges = np.linspace(-8, 8, 129)
    values = np.clip((pictured.residual[::4, ::4] / pictured.noise[::4, ::4]).ravel(), -8, 8)
    counts = np.histogram(values, edges)[0].astype(float)
    middle = (edges[1:] + edges[:-1]) / 2
    normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi) * (edges[1] - edges[0]) * values.size
    distribution = Chart(
        "How the residual is distributed",
        Axis(-8, 8, "σ"),
        Axis(0.5, max(10.0, 2 * counts.max()), "pixels", logarithmic=True),
        height=342,
    )
    distribution.line(np.repeat(edges, 2)[1:-1], np.repeat(np.where(counts > 0, counts, 0.4), 2), "a")
    distribution.line(middle, np.where(normal > 0.1, normal, np.nan), "b")
    return [
        figure(left.svg(), "What CLEAN left, from −4 (blue) to 4 times (red) the expected noise"),
        figure(noise.svg(), f"Local noise, from {low:.3g} (dark) to {high:.3g} mJy/beam (light)"),
        figure(
            distribution.svg(),
            "The residual's values over the local noise <span class='key a'>— residual</span> "
            "<span class='key b'>- - noise</span>",
        ),
    ]


def survey(comparison: Comparison) -> list[str]:
    """Flux ratios against distance and flux density, and offsets, of comparable sources."""
    m = comparison.matched
    if "ratio" not in m:
        return []
    ratio, middle = m["ratio"], float(np.median(m["ratio"]))
    spread = max(0.2, 1.1 * float(np.quantile(np.abs(ratio - 1), 0.95)))
    upward = Axis(1 - spread, 1 + spread, "flux ratio")
    flux = Axis(
        0.8 * float(m["flux_jy"].min()),
        1.25 * float(m["flux_jy"].max()),
        "flux density, Jy",
        logarithmic=True,
    )
    made = []
    for x, axis, words in (
        (m["radius_deg"], Axis.over(m["radius_deg"], "distance from the centre, °", include=0.0), "distance"),
        (m["flux_jy"], flux, "flux density"),
    ):
        chart = Chart(f"Flux ratio against {words}", axis, upward, height=280)
        chart.level(1.0, "zero")
        chart.errors(x, ratio, ratio / m["snr"])
        chart.dots(x, ratio)
        chart.level(middle, "b", f"median {middle:.3f}")
        made.append(
            figure(chart.svg(), f"Flux ratio to {text(comparison.survey)} against {words}; dashed: median")
        )
    reach = max(2.0, 1.1 * float(np.quantile(np.abs([*m["east"], *m["north"]]), 0.98)))
    chart = Chart(
        "Offsets from the survey", Axis(reach, -reach, "east, ″"), Axis(-reach, reach, "north, ″"), height=342
    )
    chart.level(0.0, "zero")
    chart.plumb(0.0, "zero")
    chart.dots(m["east"], m["north"])
    east, north = float(np.median(m["east"])), float(np.median(m["north"]))
    arm = 0.06 * reach
    chart.line([east - arm, east + arm], [north, north], "cross")
    chart.line([east, east], [north - arm, north + arm], "cross")
    return [*made, figure(chart.svg(), f"Offsets from {text(comparison.survey)}; cross: median")]
