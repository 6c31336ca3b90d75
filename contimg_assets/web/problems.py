"""Refusals and errors as the web tells them: problem details (RFC 9457).

Belongs here: the one form of every error response, and which status our own errors have.  Does not belong
here: when there is one.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from contimg_assets.radio.errors import (
    CalibrationError,
    CampaignError,
    CatalogueError,
    ContimgError,
    MissingInputError,
    SelectionError,
    SettingsError,
    StateError,
    VerdictError,
)

MEDIA_TYPE = "application/problem+json"
#: Status of our own errors: something is not there; is not in a state for it; was asked for wrongly.
_STATUS: tuple[tuple[type[ContimgError], int], ...] = (
    (MissingInputError, 404),
    (StateError, 409),
    (VerdictError, 409),
    (CalibrationError, 409),
    (CatalogueError, 409),
    (CampaignError, 409),
    (SelectionError, 422),
    (SettingsError, 422),
)
#: Longest part of what was sent that is told back.
_SHOWN = 200


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
    **members
        Further members of the response's object.
    """

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """The response that tells a problem; further members are added to its object."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content | members, status, headers=headers, media_type=MEDIA_TYPE)


def status_of(error: ContimgError) -> int:
    """Status of one of our own errors; 500 if it is none that a request can be at fault for."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def wrong_values(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What of a request is wrong, one entry a value: where, what was found, what is expected."""
    return [
        {
            "where": "/".join(map(str, error["loc"])),
            "found": _shown(error.get("input")),
            "expected": str(error["msg"]).removeprefix("Value error, "),
        }
        for error in errors
    ]


def wrong_text(wrong: Sequence[Mapping[str, str]]) -> str:
    """The same in one line."""
    return "; ".join(f"{one['where']}: found {one['found']}, expected {one['expected']}" for one in wrong)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
