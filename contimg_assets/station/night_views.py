"""One night, a day UTC of observations: its groups, its numbers against the nights before, why groups failed.

Belongs here: gathering over rows of ``group_summary``.  Does not belong here: the state of the
installation now (``status_views.py``), or single groups (``views.py``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from statistics import median

from sqlalchemy import Engine, func, select

from contimg_assets.station.database import reading
from contimg_assets.station.group_states import kind_of
from contimg_assets.station.models import GroupSummary

#: Numbers that say how good images are, held against the nights before.
COMPARED = ("rms_ratio", "rms_mjy_beam", "flux_ratio", "astrometric_offset_arcsec", "flag_fraction")
#: So many nights.
NIGHTS_BEFORE = 7


@dataclass(frozen=True)
class Compared:
    """A number's median tonight, and over the nights before; None where no group has it."""

    tonight: float | None
    before: float | None


@dataclass(frozen=True)
class Cause:
    """Groups that failed, or were judged bad, for one reason."""

    kind: str
    """The reason without what is a group's own; of a verdict: ``product.check``."""
    state: str
    """``failed``: nothing more will come; ``judged``: the check says ERROR."""
    keys: tuple[str, ...]
    """Newest first."""
    reason: str
    """What the newest of them said; empty for a verdict."""


@dataclass(frozen=True)
class Night:
    """The groups of a day."""

    date: str
    groups: list[GroupSummary]
    """Oldest first."""
    before: str | None
    """The last day before it that has groups."""
    after: str | None
    compared: dict[str, Compared]

    @property
    def imaged(self) -> list[GroupSummary]:
        """Groups that have an image, oldest first."""
        return [row for row in self.groups if row.image_version_id is not None]

    def count(self, state: str) -> int:
        """Groups in a state."""
        return sum(row.state == state for row in self.groups)

    @property
    def verdicts(self) -> dict[str, int]:
        """Groups with an image, by verdict; empty: not judged."""
        return Counter(row.verdict for row in self.imaged)

    @property
    def fallbacks(self) -> dict[str, int]:
        """Groups by how they came to their calibration, if not from a set of the same day."""
        return Counter(row.fallback for row in self.groups if row.fallback not in (None, "same_day"))

    @property
    def causes(self) -> list[Cause]:
        """Why groups failed or were judged bad, the most frequent first."""
        found: dict[tuple[str, str], list[GroupSummary]] = {}
        for row in reversed(self.groups):
            if row.state == "failed":
                found.setdefault(("failed", kind_of(row.reason)), []).append(row)
            elif row.verdict == "ERROR":
                found.setdefault(("judged", row.worst_check), []).append(row)
        causes = [
            # The reason of a group that was judged bad is that of its state: it is completed.
            Cause(kind, state, tuple(row.key for row in rows), rows[0].reason if state == "failed" else "")
            for (state, kind), rows in found.items()
        ]
        return sorted(causes, key=lambda cause: -len(cause.keys))


def night(engine: Engine, date: str | None = None) -> Night | None:
    """A night.

    Parameters
    ----------
    engine : Engine
    date : str, optional
        Day, UTC, as keys begin; default: the newest that has groups.

    Returns
    -------
    Night or None
        None if no group is there at all and no day is asked for.
    """
    with reading(engine) as session:
        if date is None:
            newest = session.scalar(select(func.max(GroupSummary.key)))
            if newest is None:
                return None
            date = newest[:10]
        of_day = (GroupSummary.key >= date, GroupSummary.key <= f"{date}~")
        rows = list(session.scalars(select(GroupSummary).where(*of_day).order_by(GroupSummary.key)))
        before = session.scalar(select(func.max(GroupSummary.key)).where(GroupSummary.key < date))
        after = session.scalar(select(func.min(GroupSummary.key)).where(GroupSummary.key > f"{date}~"))
        first = (Date.fromisoformat(date) - timedelta(days=NIGHTS_BEFORE)).isoformat()
        columns = [getattr(GroupSummary, name) for name in COMPARED]
        earlier = session.execute(
            select(*columns).where(
                GroupSummary.key >= first, GroupSummary.key < date, GroupSummary.image_version_id.is_not(None)
            )
        ).all()
    compared = {
        name: Compared(
            _median([getattr(row, name) for row in rows]), _median([values[place] for values in earlier])
        )
        for place, name in enumerate(COMPARED)
    }
    return Night(date, rows, before and before[:10], after and after[:10], compared)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
