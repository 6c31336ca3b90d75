"""``/sources`` and ``/sources/{name}``: the plane of η and V, and a source's light curve.

Belongs here: the pages, and geometry of their drawings.  Does not belong here: what is
found (``station/sources.py``, ``light_curves.py``).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import HTMLResponse

from contimg_assets.radio.photometry.flags import Flag, names_of
from contimg_assets.station.light_curves import LightCurve
from contimg_assets.station.night_report_page import round_values
from contimg_assets.station.source_surroundings import (
    PLANE,
    Epoch,
    counterparts,
    epochs_with_images,
    neighbours,
)
from contimg_assets.station.sources import SourceQuery, find_sources
from contimg_assets.web.api.parts import Parts, group_url
from contimg_assets.web.api.sources import curve_of
from contimg_assets.web.pages.rendering import page

if TYPE_CHECKING:
    import pandas

WIDTH, HEIGHT, MARGIN = 600.0, 300.0, 10.0
#: Room for what is written along the axes.
LEFT, BELOW = 46.0, 16.0
#: Sources of the plane that are links, those that vary most; the others are points of one path.
_LINKED, _POINTS = 100, 10_000
#: Rows of the table of a source: the newest.
_ROWS = 200
#: Pictures of a source, and their width.
_CUTOUTS, _ARCMIN = 8, 12
#: Full width within which a survey's source is the same: the restoring beam's larger one.
_BEAM_ARCSEC = 45.0


@dataclass(frozen=True)
class Point:
    """A place in a drawing, and what it is."""

    x: float
    y: float
    low: float
    """Where its error bar ends, below …"""
    high: float
    """… and above; the same as ``y`` where it has none."""
    name: str
    told: str
    style: str = ""
    """``limit`` for an upper limit, which has no error bar; ``flagged`` with another flag."""


@dataclass(frozen=True)
class Drawing:
    """Points, and what the axes show."""

    points: list[Point]
    path: str
    """Points without names."""
    x_text: str
    y_text: str
    right: list[tuple[float, str]]
    """Where round values are along x, and what they are; …"""
    up: list[tuple[float, str]]
    """… the same along y."""


def _along(value: float, low: float, high: float) -> float:
    part = (value - low) / (high - low) if high > low else 0.5
    return LEFT + MARGIN + min(1.0, max(0.0, part)) * (WIDTH - LEFT - 2 * MARGIN)


def _up(value: float, low: float, high: float) -> float:
    part = (value - low) / (high - low) if high > low else 0.5
    return HEIGHT - BELOW - MARGIN - min(1.0, max(0.0, part)) * (HEIGHT - BELOW - 2 * MARGIN)


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    """Round values on a logarithmic axis, each at its logarithm: 1, 2 and 5, or of many decades 1 only."""
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    found = [
        (math.log10(factor) + power, factor * 10.0**power)
        for power in range(math.floor(low), math.ceil(high) + 1)
        for factor in factors
    ]
    return [(at, f"{value:g}") for at, value in found if low <= at <= high]


def _linear(low: float, high: float) -> list[tuple[float, str]]:
    return round_values(low, high) if high > low else [(low, f"{low:.6g}")]


def plane_of(table: "pandas.DataFrame") -> Drawing | None:
    """η against V, both logarithmic; None if no source has both."""
    rows = table[(table["eta"] > 0) & (table["modulation"] > 0)]
    if not len(rows):
        return None
    eta, modulation = rows["eta"].map(math.log10), rows["modulation"].map(math.log10)
    x_ends, y_ends = (eta.min(), eta.max()), (modulation.min(), modulation.max())
    x = [_along(value, *x_ends) for value in eta]
    y = [_up(value, *y_ends) for value in modulation]
    points = [
        Point(a, b, b, b, name, f"{name}: η {e:.2f}, V {v:.3f}")
        for a, b, name, e, v in zip(x, y, rows["name"], rows["eta"], rows["modulation"], strict=True)
    ]
    path = "".join(f"M{point.x:.1f} {point.y:.1f}h0" for point in points[_LINKED:])
    return Drawing(
        points[:_LINKED],
        path,
        f"η, {rows['eta'].min():.2g} to {rows['eta'].max():.3g}",
        f"V, {rows['modulation'].min():.2g} to {rows['modulation'].max():.3g}",
        [(_along(at, *x_ends), told) for at, told in _powers(*x_ends)],
        [(_up(at, *y_ends), told) for at, told in _powers(*y_ends)],
    )


def curve_drawing(table: "pandas.DataFrame") -> Drawing | None:
    """Flux densities with their errors against time; None if there are none."""
    rows = table[table["flux_jy"].notna()]
    if not len(rows):
        return None
    limits = rows["upper_limit_jy"]
    centre, error = limits.fillna(rows["flux_jy"]), rows["flux_error_jy"].where(limits.isna(), 0.0)
    low, high = 1e3 * float((centre - error).min()), 1e3 * float((centre + error).max())
    first, last = float(rows["mjd"].min()), float(rows["mjd"].max())
    points = [
        Point(
            _along(row["mjd"], first, last),
            _up(1e3 * middle, low, high),
            _up(1e3 * (middle - bar), low, high),
            _up(1e3 * (middle + bar), low, high),
            row["group"],
            _told(row),
            _style(row),
        )
        for row, middle, bar in zip(rows.to_dict("records"), centre, error, strict=True)
    ]
    bars = "".join(f"M{point.x:.1f} {point.low:.1f}V{point.high:.1f}" for point in points)
    return Drawing(
        points[-_ROWS:],
        bars,
        f"MJD {first:.2f} to {last:.2f}",
        f"{low:.3g} to {high:.4g} mJy",
        [(_along(at, first, last), told) for at, told in _linear(first, last)],
        [(_up(at, low, high), told) for at, told in _linear(low, high)],
    )


def _told(row: dict[Hashable, Any]) -> str:
    """A measurement in words."""
    value = f"{1e3 * row['flux_jy']:.3f} ± {1e3 * row['flux_error_jy']:.3f} mJy"
    if row["upper_limit_jy"] == row["upper_limit_jy"]:  # not NaN
        value = f"below {1e3 * row['upper_limit_jy']:.3f} mJy ({value})"
    return ", ".join([f"{row['group']}: {value}", *names_of(row["flags"] & ~Flag.LIMIT)])


def _style(row: dict[Hashable, Any]) -> str:
    if row["upper_limit_jy"] == row["upper_limit_jy"]:
        return "limit"
    return "flagged" if row["flags"] & ~Flag.LIMIT else ""


def sources_router(parts: Parts) -> APIRouter:
    """The pages."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/sources", methods=["GET", "HEAD"])
    def sources(request: Request, variable: Annotated[bool, Query()] = False) -> HTMLResponse:
        wanted = SourceQuery(order="eta", limit=_POINTS, variable=True if variable else None)
        table = find_sources(parts.station.engine, wanted)
        shown = table.head(_LINKED).astype(object)
        rows = shown.where(shown.notna(), None).to_dict("records")
        return page(
            request,
            "sources.html",
            plane=plane_of(table),
            rows=rows,
            n=len(table),
            variable=variable,
            address=source_page,
        )

    @router.api_route("/sources/{name}", methods=["GET", "HEAD"])
    def source(name: Annotated[str, PathParameter(max_length=32)], request: Request) -> HTMLResponse:
        curve = curve_of(parts, name)
        newest = curve.table.tail(_ROWS).iloc[::-1].astype(object)
        rows = newest.where(newest.notna(), None).to_dict("records")
        station, place = parts.station, (curve.ra_deg, curve.dec_deg)
        epochs = epochs_with_images(station.engine, station.store, curve.table, _CUTOUTS)
        return page(
            request,
            "source.html",
            curve=curve,
            drawing=curve_drawing(curve.table),
            rows=rows,
            flag_names=names_of,
            epochs=[(one, cutout_address(curve, one, epochs)) for one in epochs],
            neighbours=neighbours(station.engine, curve.source, place),
            counterparts=counterparts(station.settings.catalogues_folder, place, _BEAM_ARCSEC),
            address=source_page,
        )

    return router


def cutout_address(curve: LightCurve, one: Epoch, all_of: Sequence[Epoch]) -> str:
    """Address of a picture of an epoch; grey levels are the same in all, so that changes show."""
    high = max(epoch.flux_jy + 3 * epoch.flux_error_jy for epoch in all_of)
    low = -3 * max(epoch.flux_error_jy for epoch in all_of)
    place = {"ra_deg": f"{curve.ra_deg:.6f}", "dec_deg": f"{curve.dec_deg:.6f}", "arcmin": _ARCMIN}
    return f"{group_url(one.group)}/cutout.png?" + urlencode(
        {"plane": PLANE, **place, "low": f"{low:.6g}", "high": f"{max(high, -low):.6g}"}
    )


def source_page(name: str) -> str:
    """Address of a source's page."""
    return f"/sources/{quote(name, safe='')}"
