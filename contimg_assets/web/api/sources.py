"""Sources of the survey, their light curves, and candidates for events.

Belongs here: routes and their models.  Does not belong here: finding and reading
(``station/sources.py``, ``light_curves.py``, ``scattering_events.py``).
"""

from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from starlette.responses import Response

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.sky_regions import Region, region_of
from contimg_assets.station.injected_truth import truth_of
from contimg_assets.station.light_curves import LightCurve, light_curve
from contimg_assets.station.scattering_events import candidates
from contimg_assets.station.sky_coverage import coverage
from contimg_assets.station.sources import SourceQuery, find_sources
from contimg_assets.web.api.parts import API, Model, Parts
from contimg_assets.web.problems import ProblemError

if TYPE_CHECKING:
    from mocpy import MOC

Name = Annotated[str, PathParameter(description="Name of the source.", max_length=32)]
Ra = Annotated[float | None, Query(ge=0, le=360, description="Right ascension of a cone, ICRS, deg.")]
Dec = Annotated[float | None, Query(ge=-90, le=90, description="Declination of a cone, ICRS, deg.")]
Radius = Annotated[float, Query(gt=0, le=20, description="Radius of a cone, deg.")]
_KEY = r"^[0-9T:-]{0,19}$"
Since = Annotated[
    str, Query(pattern=_KEY, description="Groups whose keys, or first parts, are from this on.")
]
Until = Annotated[str, Query(pattern=_KEY, description="… and before this.")]
Beam = Annotated[float | None, Query(gt=0, le=1, description="Least beam; default: photometry's.")]
#: Characters of a coverage map in an address.
_LONGEST_MOC = 6000
Least = Annotated[float | None, Query(description="At least this.")]


class SourceRow(Model):
    """A source and what its light curve says; null before that was computed."""

    name: str
    kind: str
    """survey or watched."""
    ra_deg: float
    dec_deg: float
    n: int | None
    """Measurements that count."""
    mean_jy: float | None
    mean_error_jy: float | None
    eta: float | None
    """Reduced χ² about the mean."""
    modulation: float | None
    """V: standard deviation over mean."""
    pair_sigma: float | None
    """Vs of the two measurements that differ most."""
    pair_modulation: float | None
    variable: bool | None
    """Beyond the cuts of its tile."""
    last_mjd: float | None
    separation_deg: float | None = None
    """From the middle of the cone."""


class SourceList(Model):
    """Sources that were asked for."""

    sources: list[SourceRow]


class Measurement(Model):
    """One measurement of a source, on the flux scale."""

    group: str
    mjd: float
    flux_jy: float | None
    flux_error_jy: float | None
    upper_limit_jy: float | None
    beam: float
    correction: float
    """What was divided by besides the beam."""
    calibrated: bool
    """A scale of its group is known."""
    flags: int


class SourceCurve(Model):
    """A source with all measurements that count."""

    source: str
    ra_deg: float
    dec_deg: float
    statistics: dict[str, float | int | None]
    measurements: list[Measurement]


class Coverage(Model):
    """Sky that is covered."""

    area_deg2: float
    least_beam: float
    """The beam, averaged over the drift, is at least this."""
    moc: dict[str, list[int]]
    """Multi-order coverage map (IVOA): nested HEALPix cells by their order."""


class CandidateList(Model):
    """Extreme scattering events of a day's sources, best first."""

    day: str
    candidates: list[dict[str, Any]]
    truth: dict[str, float | None] | None
    """What became of made-up sources that day; null if there are none."""


def curve_of(parts: Parts, name: str) -> LightCurve:
    """A source's light curve.

    Raises
    ------
    ProblemError
        404 if there is none.
    """
    station = parts.station
    try:
        error = station.settings.variability.relative_error
        return light_curve(station.engine, station.store, name=name, relative_error=error)
    except MissingInputError as missing:
        raise ProblemError(404, str(missing)) from missing


def _region(moc: str) -> Region:
    """What a map in IVOA's ASCII says."""
    try:
        return region_of(moc)
    except SettingsError as error:
        raise ProblemError(422, str(error)) from error


def sources_router(parts: Parts) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=API, tags=["survey"])
    _add_sources(router, parts)
    _add_coverage(router, parts)
    _add_candidates(router, parts)
    return router


def _add_sources(router: APIRouter, parts: Parts) -> None:
    @router.get("/sources")
    def sources(
        ra: Ra = None,
        dec: Dec = None,
        radius: Radius = 1.0,
        least_jy: Least = None,
        least_eta: Least = None,
        least_modulation: Least = None,
        variable: bool | None = None,
        moc: Annotated[
            str | None,
            Query(
                max_length=_LONGEST_MOC,
                description="Within this coverage map (MOC), in IVOA's ASCII, such as `5/23 24-26 6/7`.",
            ),
        ] = None,
        order: Annotated[str, Query(pattern="^(name|eta|modulation|mean_jy|pair_sigma)$")] = "name",
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> SourceList:
        """Sources in a cone, in a coverage map, or all, by what their light curves say."""
        if (ra is None) != (dec is None):
            raise ProblemError(422, "found one of ra and dec, expected both or neither")
        wanted = SourceQuery(
            cone=None if ra is None or dec is None else (ra, dec, radius),
            region=None if moc is None else _region(moc),
            least_jy=least_jy,
            least_eta=least_eta,
            least_modulation=least_modulation,
            variable=variable,
            order=order,
            limit=limit,
        )
        try:
            found = find_sources(parts.station.engine, wanted)
        except SettingsError as error:
            raise ProblemError(422, str(error)) from error
        plain = found.astype(object).where(found.notna(), None).to_dict("records")
        return SourceList(
            sources=[SourceRow.model_validate({str(k): v for k, v in row.items()}) for row in plain]
        )

    @router.get("/sources/{name}")
    def source(name: Name) -> SourceCurve:
        """All measurements of a source that count, in the order of time."""
        told = curve_of(parts, name).as_dict()
        wanted = Measurement.model_fields
        rows = [{column: row[column] for column in wanted} for row in told.pop("measurements")]
        return SourceCurve.model_validate({**told, "measurements": rows})


def _add_coverage(router: APIRouter, parts: Parts) -> None:
    @router.get("/coverage")
    def covered(since: Since = "", until: Until = "", beam: Beam = None) -> Coverage:
        """The sky that groups with measurements that count cover, as a multi-order coverage map."""
        least, moc = _covered(since, until, beam)
        return Coverage(area_deg2=Region(moc).area_deg2, least_beam=least, moc=dict(moc.serialize("json")))

    @router.get(
        "/coverage.fits",
        response_class=Response,
        responses={
            200: {
                "description": "A MOC 2.0, as Aladin and mocpy take it.",
                "content": {"application/fits": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    def covered_fits(since: Since = "", until: Until = "", beam: Beam = None) -> Response:
        """The same as a FITS file."""
        content = BytesIO()
        _covered(since, until, beam)[1].serialize("fits").writeto(content)
        return Response(content.getvalue(), media_type="application/fits")

    def _covered(since: str, until: str, beam: float | None) -> "tuple[float, MOC]":
        least = parts.station.settings.photometry.least_beam if beam is None else beam
        return least, coverage(parts.station.engine, least, since=since, until=until)


def _add_candidates(router: APIRouter, parts: Parts) -> None:
    @router.get("/candidates")
    def listed(
        day: Annotated[
            str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}b?$", description="Default: newest.")
        ] = None,
    ) -> CandidateList:
        """Extreme scattering events, with what people say of them."""
        station = parts.station
        try:
            of_day, found = candidates(station.engine, station.store, day)
        except MissingInputError as error:
            raise ProblemError(404, str(error)) from error
        return CandidateList(
            day=of_day,
            candidates=[one.as_dict() for one in found],
            truth=truth_of(station.engine, of_day),
        )
