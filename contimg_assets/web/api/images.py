"""Parts of a group's images at any place: as a picture, or as numbers.

Belongs here: routes.  Does not belong here: reading FITS (``radio/images/cutouts.py``).
"""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from contimg_assets.radio.group_key import slug
from contimg_assets.station.publication import content
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.parts import API, Model, Parts
from contimg_assets.web.problems import ProblemError

if TYPE_CHECKING:
    from contimg_assets.radio.images.cutouts import Cutout

Plane = Literal["image", "pbcor", "residual", "noise", "pb", "model", "mask", "psf"]
#: Widest part that is shown, pixels, and that is told in numbers.
MOST_PIXELS, MOST_NUMBERS = 2048, 256
PlaneQuery = Annotated[Plane, Query(description="Which of the group's images.")]
Ra = Annotated[float | None, Query(ge=0, lt=360, description="Right ascension of the middle, ICRS, deg.")]
Dec = Annotated[float | None, Query(ge=-90, le=90, description="Declination of the middle, ICRS, deg.")]
Width = Annotated[float, Query(gt=0, le=600, description="Width, arcmin.")]


class Pixels(Model):
    """A part of an image in numbers."""

    group: str
    plane: str
    version: str
    unit: str
    ra_deg: float
    """Of the middle, ICRS."""
    dec_deg: float
    cell_arcsec: float
    pixels: list[list[float | None]]
    """From south to north, each from east to west; null outside of the image or where it is blank."""


def images_router(parts: Parts) -> APIRouter:
    """Routes of parts of images."""
    router = APIRouter(prefix=f"{API}/groups", tags=["groups"])
    station = parts.station

    @router.get(
        "/{key}/cutout.png",
        response_class=Response,
        responses={
            200: {
                "description": "North up, east left.",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    def picture(
        key: KeyPath,
        request: Request,
        plane: PlaneQuery = "image",
        ra_deg: Ra = None,
        dec_deg: Dec = None,
        arcmin: Width = 30.0,
        low: Annotated[float | None, Query(description="Value that is black, in the image's unit.")] = None,
        high: Annotated[float | None, Query(description="Value that is white.")] = None,
    ) -> Response:
        """A part of an image in grey, at most 2048 pixels wide."""
        from contimg_assets.radio.images.cutouts import png

        version = station.records.product(key, "image").version
        tag = f'"{version}-{hash((plane, ra_deg, dec_deg, arcmin, low, high)) & 0xFFFFFFFF:08x}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        part = _found_in(parts, key, plane, ra_deg, dec_deg, arcmin, MOST_PIXELS)
        drawn, black, white = png(part, low, high)
        headers |= {"X-Black": f"{black:.6g}", "X-White": f"{white:.6g}", "X-Unit": part.unit}
        return Response(drawn, media_type="image/png", headers=headers)

    @router.get("/{key}/cutout", response_model=Pixels)
    def numbers(
        key: KeyPath,
        plane: PlaneQuery = "image",
        ra_deg: Ra = None,
        dec_deg: Dec = None,
        arcmin: Width = 10.0,
    ) -> Pixels:
        """A part of an image in numbers, at most 256 pixels wide."""
        part = _found_in(parts, key, plane, ra_deg, dec_deg, arcmin, MOST_NUMBERS)
        rows = [[float(v) if v == v else None for v in row] for row in part.pixels.tolist()]
        return Pixels(
            group=key,
            plane=plane,
            version=station.records.product(key, "image").version,
            unit=part.unit,
            ra_deg=part.ra_deg,
            dec_deg=part.dec_deg,
            cell_arcsec=part.cell_arcsec,
            pixels=rows,
        )

    return router


def _found_in(
    parts: Parts, key: str, plane: str, ra: float | None, dec: float | None, arcmin: float, most: int
) -> "Cutout":
    """A part of one of a group's images."""
    # Brings astropy.
    from contimg_assets.radio.images.cutouts import cut
    from contimg_assets.radio.images.planes import plane_file

    station = parts.station
    station.records.group(key)
    if (ra is None) != (dec is None):
        raise ProblemError(422, "found one of ra_deg and dec_deg; expected both, or neither")
    folder = content(station.records, station.store, key, "image")
    return cut(plane_file(folder, slug(key), plane), ra, dec, arcmin, most)
