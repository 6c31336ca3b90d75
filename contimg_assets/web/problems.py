"""Refusals and errors as the web tells them: problem details (RFC 9457).

Belongs here: the one form of every error response.  Does not belong here: when there is one.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from contimg_assets.radio.errors import ContimgError


class ProblemError(ContimgError):
    """A request that is not carried out.

    Parameters
    ----------
    status : int
        HTTP status.
    detail : str
        What was found and what was expected, for the person who reads the response.
    headers : Mapping
        Further headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """The response that tells a problem; further members are added to its object."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    media_type = "application/problem+json"
    return JSONResponse(content | members, status, headers=headers, media_type=media_type)
