"""The key of an observation group: the start of its first integration, UTC.

Belongs here: the key's format and the conversions between keys, times and file names.
"""

from datetime import UTC, datetime

#: Format of a key.
KEY_FORMAT = "%Y-%m-%dT%H:%M:%S"
_SLUG_FORMAT = "%Y%m%dT%H%M%S"
#: File names carry the clocks of their nodes: stamps within this span, s, are a first guess of one group.
CLUSTER_S = 120.0


def slug(key: str) -> str:
    """Folder and file stem of a group, without colons (``20260101T123456``).

    Raises
    ------
    ValueError
        If ``key`` is not a group key.
    """
    return datetime.strptime(key, KEY_FORMAT).strftime(_SLUG_FORMAT)


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
