"""When a sidereal day is due: it is over, and its groups are done or have had their time.

Belongs here: that rule.  Does not belong here: what is made (``survey_day.py``).
"""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select

from contimg_assets.radio.sidereal_day import group_keys, span
from contimg_assets.station.database import reading
from contimg_assets.station.models import GroupSummary, ObservationGroup

#: After its end a day waits so long for groups that are not done: calibration may come 14 h after, and
#: then they are imaged.
_PATIENCE = timedelta(hours=20)
_OPEN = ("collecting", "pending", "in_progress")


@dataclass(frozen=True)
class Due:
    """A day whose products are to be made."""

    day: str
    state: str
    """Another one whenever the day's measurements have changed."""


def due_now(engine: Engine, now: datetime) -> list[Due]:
    """Days that are due, the oldest first."""
    changed = (
        select(GroupSummary.merge_due, GroupSummary.key, GroupSummary.measured_version_id)
        .where(GroupSummary.merge_due.is_not(None))
        .order_by(GroupSummary.key)
    )
    found: dict[str, list[str]] = {}
    with reading(engine) as session:
        for day, key, version in session.execute(changed):
            found.setdefault(str(day), []).append(f"{key} {version}")
        ready = []
        for day, states in sorted(found.items()):
            end = span(day)[1]
            if now < end:
                continue
            first, last = group_keys(day)
            still = select(func.count()).where(
                ObservationGroup.key >= first,
                ObservationGroup.key < last,
                ObservationGroup.state.in_(_OPEN),
            )
            if now > end + _PATIENCE or not session.scalar(still):
                ready.append(Due(day, f"{zlib.crc32(' '.join(states).encode()):08x}"))
    return ready
