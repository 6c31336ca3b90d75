"""Which group or calibration set a path names.  No path from outside is ever opened.

Belongs here: the reference API's paths of Measurement Sets and tables.  Does not belong here: looking
whether there is such a group.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Path

from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.web.problems import ProblemError

_SLUG_FORMAT = "%Y%m%dT%H%M%S"
_NAMED = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}|\d{8}T\d{6})(?!\d)")
_SET = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
#: Folders inside of a group's: what is above them names the group.
_PRODUCT = re.compile(r"measurement_set|calibrated_ms|flags|calibration_tables|image|\w+_qa")

KeyPath = Annotated[
    str,
    Path(
        description="Group: start of its first integration, UTC.",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$",
        examples=["2025-06-01T14:06:27"],
    ),
]
MsPath = Annotated[
    str,
    Path(
        description="Path of a Measurement Set, or the group's key or folder name. It is never opened: "
        "its last part names the group.",
        max_length=1024,
        examples=["products/20250601T140627/measurement_set/20250601T140627.ms"],
    ),
]
CaltablePath = Annotated[
    str,
    Path(
        description="Identity of a calibration set, or a path that holds it. It is never opened.",
        max_length=1024,
        examples=["20250601T140627-b48ed40a/B.cal"],
    ),
]


def group_of(path: str) -> str:
    """Key of the group that a path names.

    Parameters
    ----------
    path : str
        A key, a folder's name (``20250601T140549``), or any path whose last part carries exactly one of
        these, or the part above that of a product.

    Raises
    ------
    ProblemError
        404 if it names none, 422 if it names several.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    while len(parts) > 1 and not _NAMED.search(parts[-1]) and _PRODUCT.fullmatch(parts[-1]):
        parts.pop()
    found = {_key(text) for text in _NAMED.findall(parts[-1])} - {None} if parts else set()
    keys = sorted(key for key in found if key is not None)
    if len(keys) > 1:
        raise ProblemError(422, f"the path names {len(keys)} groups, {', '.join(keys)}; expected one")
    if not keys:
        raise ProblemError(
            404, "the path names no group: expected YYYY-MM-DDTHH:MM:SS or YYYYMMDDTHHMMSS in its last part"
        )
    return keys[0]


def _key(text: str) -> str | None:
    """A key, if the text is a time that there is."""
    form = KEY_FORMAT if "-" in text else _SLUG_FORMAT
    try:
        return datetime.strptime(text, form).strftime(KEY_FORMAT)
    except ValueError:
        return None


@dataclass(frozen=True)
class NamedTable:
    """A calibration set, and a table of it."""

    set_id: str
    file: str | None
    """None: the whole set."""


def table_of(path: str) -> NamedTable:
    """The calibration set that a path names, and the table in it.

    Raises
    ------
    ProblemError
        404 if it names none, 422 if it names several.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    places = [place for place, part in enumerate(parts) if _SET.fullmatch(part)]
    if len({parts[place] for place in places}) > 1:
        raise ProblemError(422, "the path names several calibration sets; expected one")
    if not places:
        raise ProblemError(
            404, "the path names no calibration set: expected YYYYMMDDTHHMMSS-xxxxxxxx, or that and a table"
        )
    after = parts[places[-1] + 1 :]
    return NamedTable(parts[places[-1]], after[0] if after else None)
