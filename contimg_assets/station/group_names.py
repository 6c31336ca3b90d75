"""Which group is meant: its key, or what the names of its files begin with.

Belongs here: looking that up.  Does not belong here: how a group may be spelled
(``radio/group_key.py``).
"""

from sqlalchemy import Engine, select

from contimg_assets.station.database import reading
from contimg_assets.station.models import ArrivedFile, ObservationGroup


def registered_key(engine: Engine, key: str) -> str:
    """The key of the group that is called so, or one of whose files is.

    The names of files carry their nodes' clocks, so they may differ from the key by tens of seconds.

    Parameters
    ----------
    engine : Engine
    key : str
        From :func:`contimg_assets.radio.group_key.parse_key`.

    Returns
    -------
    str
        ``key`` itself if no group is known by it: whoever uses it says what is missing.
    """
    with reading(engine) as session:
        if session.get(ObservationGroup, key) is not None:
            return key
        statement = (
            select(ArrivedFile.group_key)
            .where(ArrivedFile.name.startswith(f"{key}_sb"), ArrivedFile.group_key.is_not(None))
            .distinct()
            .limit(2)
        )
        found = [name for name in session.scalars(statement) if name is not None]
    return found[0] if len(found) == 1 else key
