"""The key of an observation group: the start of its first integration, UTC.

Belongs here: the key's format and the conversions between keys, times and file names.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

#: Format of a key.
KEY_FORMAT = "%Y-%m-%dT%H:%M:%S"
_SLUG_FORMAT = "%Y%m%dT%H%M%S"
#: File names carry the clocks of their nodes: stamps within this span, s, are a first guess of one group.
CLUSTER_S = 120.0
#: A key with or without its dashes and colons, and what follows it in names of files.
_SPELLED = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})[T ](\d{2}):?(\d{2}):?(\d{2})Z?(?:[_.][^/]*)?", re.ASCII)


def slug(key: str) -> str:
    """Folder and file stem of a group, without colons (``20260101T123456``).

    Raises
    ------
    ValueError
        If ``key`` is not a group key.
    """
    return datetime.strptime(key, KEY_FORMAT).strftime(_SLUG_FORMAT)


def ms_path(folder: Path, key: str) -> Path:
    """The Measurement Set of a group inside a product's folder."""
    return folder / f"{slug(key)}.ms"


def key_of(folder: str) -> str | None:
    """The group whose slug a name is; None if it is none's."""
    try:
        return datetime.strptime(folder, _SLUG_FORMAT).strftime(KEY_FORMAT)
    except ValueError:
        return None


def key_time(key: str) -> datetime:
    """Start of a group's first integration, UTC.

    Raises
    ------
    ValueError
        If ``key`` is not a group key.
    """
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def parse_key(text: str) -> str:
    """The key of a group, from any of the ways in which it is written.

    Parameters
    ----------
    text : str
        A key (``2025-06-01T12:00:00``), a product's stem (``20250601T120000``), or the name of a subband file
        or its beginning (``2025-06-01T12:00:00_sb00.hdf5``), with or without folders before it.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    found = _SPELLED.fullmatch(text.rstrip("/").rsplit("/", 1)[-1])
    if found is not None:
        key = "{}-{}-{}T{}:{}:{}".format(*found.groups())
        try:
            key_time(key)
        except ValueError:
            pass
        else:
            return key
    raise ValueError(
        f"found {text!r}; expected a group, such as 2025-06-01T12:00:00, 20250601T120000 or "
        "2025-06-01T12:00:00_sb00.hdf5"
    )
