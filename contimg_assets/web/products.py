"""The files of published products, for browsers and for whoever reads an image from elsewhere.

Belongs here: which files are served, and as what.  Does not belong here: how they come there (``station/``).

Read only, no listing.  Measurement Sets and calibration tables are not served: their files have none
of the suffixes.  A path's links are followed, as products are links to their current version; then it is
looked where that led.
"""

import stat
from io import BytesIO
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from PIL import Image
from starlette.responses import FileResponse

from contimg_assets.resources.dagster_resources import PRODUCTS_URL
from contimg_assets.web.problems import ProblemError

#: What may be fetched, and its media type.
SUFFIXES = {
    ".png": "image/png",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".fits": "image/fits",
    ".fz": "image/fits",
    ".vot": "application/x-votable+xml",
    ".reg": "text/plain; charset=utf-8",
    ".crtf": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}
#: Products are data, not our pages: nothing in them is run, and they cannot act as the user who looks.  The
#: report has its styles and pictures in itself, and links to files beside it.
CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "sandbox allow-popups; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
#: Widths that a picture can be had in, pixels.
LEAST_WIDTH, MOST_WIDTH = 64, 1024
#: A product that is made again has the same address.
CACHE = "no-cache"
_NOT_THERE = "no such file of a product; served are " + ", ".join(SUFFIXES)


def served_file(root: Path, path: str) -> Path:
    """The file that an address below ``/products`` names.

    Parameters
    ----------
    root : Path
        ``home/products``, without links.
    path : str
        What comes after ``/products/``.

    Raises
    ------
    ProblemError
        404 if there is none, or none that may be served: the two are not told apart.
    """
    # Neither "..", nor what is being built, nor a version that is not the current one, nor an absolute path.
    if any(not part or part.startswith(".") for part in path.split("/")):
        raise ProblemError(404, _NOT_THERE)
    try:
        # A loop of links is a RuntimeError, a name that no file can have a ValueError.
        found = (root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ProblemError(404, _NOT_THERE) from error
    inside = found.is_relative_to(root) and ".staging" not in found.parts
    if not inside or {Path(path).suffix, found.suffix} - SUFFIXES.keys():
        raise ProblemError(404, _NOT_THERE)
    return found


def narrowed(path: Path, width: int) -> bytes:
    """A picture at most so wide.

    Raises
    ------
    ProblemError
        404 if the file is no picture.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.thumbnail((width, width * 4))
            content = BytesIO()
            picture.save(content, "PNG")
    except OSError as error:
        raise ProblemError(404, _NOT_THERE) from error
    return content.getvalue()


def products_router(products: Path) -> APIRouter:
    """The route to the files of a home's products.

    Parameters
    ----------
    products : Path
        ``home/products``.
    """
    router = APIRouter()
    root = products.resolve()

    @router.api_route(f"{PRODUCTS_URL}/{{path:path}}", methods=["GET", "HEAD"], include_in_schema=False)
    def product(
        path: str,
        request: Request,
        width: Annotated[int | None, Query(ge=LEAST_WIDTH, le=MOST_WIDTH)] = None,
    ) -> Response:
        found = served_file(root, path)
        try:
            status = found.stat()
        except FileNotFoundError as error:
            raise ProblemError(404, _NOT_THERE) from error
        if not stat.S_ISREG(status.st_mode):
            raise ProblemError(404, _NOT_THERE)
        headers = {"Cache-Control": CACHE, "Content-Security-Policy": CSP}
        media_type = SUFFIXES[found.suffix]
        response = FileResponse(found, headers=headers, media_type=media_type, stat_result=status)
        known = request.headers.get("if-none-match", "")
        if response.headers["etag"] in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
            return Response(status_code=304, headers=headers | {"ETag": response.headers["etag"]})
        if width is not None and found.suffix == ".png":
            return Response(narrowed(found, width), headers=headers, media_type=media_type)
        return response

    return router
