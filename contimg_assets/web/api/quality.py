"""How good images and calibrations are, and plots of solutions: the reference API's routes.

Belongs here: routes.  Does not belong here: limits (``radio/limits.toml``), or the words for what checks
say (``radio/limits.py``).
"""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import JSONResponse, Response

from contimg_assets.assets.publishing import THUMBNAIL
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_resources import PRODUCTS_URL
from contimg_assets.station.group_details import checks_of, measurement_set_path, numbers_of, quality_of
from contimg_assets.station.numbers import numbers
from contimg_assets.station.solution_views import Lines, PlotType, solution_lines
from contimg_assets.station.views import standing
from contimg_assets.web.api.identify import CaltablePath, MsPath, group_of, table_of
from contimg_assets.web.api.parts import API, Parts
from contimg_assets.web.api.reference_models import CalibrationQuality, CaltablePlot, ImageQuality

#: Numbers about solutions, by the table that they are of.
_OF_TABLE = {
    "k_metrics": ("delay_scatter_ns",),
    "bp_metrics": ("failed_solution_fraction", "bandpass_ripple", "median_snr", "n_antennas_solved"),
    "g_metrics": ("gain_amplitude_scatter", "phase_scatter_deg", "phase_wander_deg", "gain_offset"),
}
_MILLI = 1e-3


def quality_router(parts: Parts) -> APIRouter:
    """Routes of quality."""
    router = APIRouter(prefix=API, tags=["reference"])
    _add_quality(router, parts)
    _add_plots(router, parts)
    return router


def _add_quality(router: APIRouter, parts: Parts) -> None:
    """Of solutions and images."""
    station = parts.station

    @router.get("/qa/calibration/{ms_path:path}", response_model=CalibrationQuality)
    def calibration_quality(ms_path: MsPath) -> CalibrationQuality:
        """How good the solutions of a calibrator scan are; ``unknown`` if they are not judged yet."""
        key = group_of(ms_path)
        stands = standing(station.records, key)
        _require(parts, key, "calibration_tables", "calibration_qa")
        checks = checks_of(station.records, key, "calibration_qa")
        found = {k: float(v) for k, v in numbers(numbers_of(station.records, key, "calibration_qa")).items()}
        newest = station.registry.newest_of(key)
        return CalibrationQuality(
            ms_path=measurement_set_path(station, key),
            group=key,
            status=stands.state,
            verdict=stands.verdict,
            overall_quality=quality_of(checks),
            calibration_set=newest.id if newest else None,
            set_status=newest.status if newest else None,
            **{name: _chosen(found, names) for name, names in _OF_TABLE.items()},
            numbers=found,
            thumbnail=_picture(parts, key, "calibration_qa"),
            checks=checks,
        )

    @router.get("/qa/image/{ms_path:path}", response_model=ImageQuality)
    def image_quality(ms_path: MsPath) -> ImageQuality:
        """How good the image of a group is; ``unknown`` if it is not judged yet."""
        key = group_of(ms_path)
        stands = standing(station.records, key)
        _require(parts, key, "image")
        made, judged = (numbers(numbers_of(station.records, key, name)) for name in ("image", "image_qa"))
        checks = checks_of(station.records, key, "image_qa")
        rms = made.get("rms_mjy_beam")
        report = station.store.path(key, "image_qa") / "report.html"
        return ImageQuality(
            ms_path=measurement_set_path(station, key),
            group=key,
            status=stands.state,
            verdict=stands.verdict,
            overall_quality=quality_of(checks),
            rms_noise=None if rms is None else rms * _MILLI,
            rms_mjy_beam=rms,
            expected_rms_mjy_beam=made.get("expected_rms_mjy_beam"),
            peak_flux=made.get("peak_jy_beam"),
            dynamic_range=judged.get("dynamic_range"),
            beam_major_arcsec=made.get("beam_major_arcsec"),
            beam_minor_arcsec=made.get("beam_minor_arcsec"),
            beam_pa_deg=made.get("beam_pa_deg"),
            num_sources=_whole(made.get("n_sources")),
            thumbnail=_picture(parts, key, "image"),
            report=f"{PRODUCTS_URL}/{slug(key)}/image_qa/report.html" if report.is_file() else None,
            checks=checks,
        )


def _add_plots(router: APIRouter, parts: Parts) -> None:
    """Solutions as pictures and numbers."""
    station = parts.station

    @router.get(
        "/plots/caltable/{caltable_path:path}",
        response_class=Response,
        responses={
            200: {
                "description": "A picture; with `Accept: application/json` its numbers.",
                "content": {
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                    "application/json": {"schema": CaltablePlot.model_json_schema()},
                },
            }
        },
    )
    def plot(
        caltable_path: CaltablePath,
        plot_type: Annotated[PlotType, Query(description="What is shown.")] = "amp_vs_freq",
        antenna: Annotated[
            str | None, Query(description="Only this one, by its name.", max_length=32)
        ] = None,
        accept: Annotated[str, Header(description="application/json: the numbers.")] = "",
    ) -> Response:
        """Solutions of a calibration set, from what its solver left beside the tables: none is opened."""
        found = station.registry.get(table_of(caltable_path).set_id)
        lines = solution_lines(found, station.store.home, plot_type, antenna)
        headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
        if "application/json" in accept:
            told = CaltablePlot(calibration_set=found.id, plot_type=plot_type, **vars(lines))
            return JSONResponse(told.model_dump(mode="json"), headers=headers)
        return Response(
            _drawn(lines, f"{found.id}  {found.calibrator}"), media_type="image/png", headers=headers
        )


def _require(parts: Parts, key: str, *products: str) -> None:
    """Refuse a group that has none of some products."""
    if not parts.station.records.products(key).keys() & set(products):
        stands = standing(parts.station.records, key)
        raise MissingInputError(f"group {key} has no {products[0]}: it is {stands.text}")


def _chosen(found: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    return {name: found[name] for name in names if name in found}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _picture(parts: Parts, key: str, product: str) -> str | None:
    path = parts.station.store.path(key, product) / THUMBNAIL
    return f"{PRODUCTS_URL}/{slug(key)}/{product}/{THUMBNAIL}" if path.is_file() else None


def _drawn(lines: Lines, title: str) -> bytes:
    # Brings matplotlib.
    from contimg_assets.radio.plots.lines import lines_png

    feeds = list(lines.series.values())
    flat = [feed for of_antenna in feeds for feed in of_antenna]
    if lines.x and isinstance(lines.x[0], str):
        # One value an antenna: a line for each feed.
        flat = [[of_antenna[k][0] for of_antenna in feeds] for k in range(len(feeds[0]))]
    return lines_png(lines.x, flat, title=title, x_label=lines.x_label, y_label=lines.y_label)
