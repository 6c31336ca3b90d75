"""Where the telescope looked, group by group: changes of declination, and gaps.

Belongs here: how each group follows on the one before it, and what of that is
worth telling.  Groups are entered in any order (a catch-up, a late file), so a
new one is set against both of its neighbours.  Does not belong here: registering
groups (``products.py``).
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import Registration
from contimg_assets.station.models import Pointing, now

_DAY_S = 86400.0


def note_pointing(session: Session, registration: Registration) -> None:
    """Enter a group's pointing, and set it and the next group against what came before."""
    if session.get_bind().dialect.name == "postgresql":
        # Two neighbours that are entered at once must see each other; SQLite has one writer at a time anyway.
        session.execute(text("LOCK TABLE pointing IN SHARE ROW EXCLUSIVE MODE"))
    half = registration.duration_s / 2 / _DAY_S
    own = session.merge(
        Pointing(
            key=registration.key,
            start_mjd=registration.mid_mjd - half,
            end_mjd=registration.mid_mjd + half,
            declination_deg=registration.declination_deg,
        )
    )
    others = select(Pointing).where(Pointing.key != own.key)
    before = session.scalar(
        others.where(Pointing.start_mjd <= own.start_mjd).order_by(Pointing.start_mjd.desc()).limit(1)
    )
    after = session.scalar(
        others.where(Pointing.start_mjd > own.start_mjd).order_by(Pointing.start_mjd).limit(1)
    )
    if before is not None:
        _follow(own, before)
    if after is not None:
        _follow(after, own)


def _follow(later: Pointing, earlier: Pointing) -> None:
    later.gap_s = (later.start_mjd - earlier.end_mjd) * _DAY_S
    later.step_deg = later.declination_deg - earlier.declination_deg


@dataclass(frozen=True)
class Spell:
    """Groups in succession, without a gap, at one declination."""

    first: str
    """Key of the first group."""
    last: str
    n_groups: int
    declination_deg: float
    """Of the first group, apparent."""
    gap_s: float | None
    """Time without data before it; None for the first of all."""
    step_deg: float | None
    """Change of declination before it."""
    event: str
    """Why it begins, in words; empty for the first of all."""


class PointingHistory:
    """Pointings of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    settings : IngestOptions
        What counts as a gap or as a change of declination.
    """

    def __init__(self, engine: Engine, settings: IngestOptions) -> None:
        self.engine = engine
        self.settings = settings

    def event(self, pointing: Pointing) -> str:
        """What is worth telling of how a group follows on the one before; empty if nothing is."""
        found = []
        if pointing.gap_s is not None and pointing.gap_s > self.settings.gap_s:
            found.append(f"no data for {_length(pointing.gap_s)} before it")
        if pointing.step_deg is not None and abs(pointing.step_deg) > self.settings.declination_change_deg:
            earlier = pointing.declination_deg - pointing.step_deg
            found.append(f"declination {earlier:+.3f}° → {pointing.declination_deg:+.3f}°")
        return "; ".join(found)

    def spells(self, since: str = "") -> list[Spell]:
        """The history, oldest first.

        Parameters
        ----------
        since : str
            Key from which on.
        """
        statement = select(Pointing).where(Pointing.key >= since).order_by(Pointing.start_mjd)
        with reading(self.engine) as session:
            pointings = list(session.scalars(statement))
        spells: list[Spell] = []
        for pointing in pointings:
            event = self.event(pointing)
            if spells and not event:
                old = spells[-1]
                spells[-1] = Spell(
                    old.first,
                    pointing.key,
                    old.n_groups + 1,
                    old.declination_deg,
                    old.gap_s,
                    old.step_deg,
                    old.event,
                )
            else:
                spells.append(
                    Spell(
                        pointing.key,
                        pointing.key,
                        1,
                        pointing.declination_deg,
                        pointing.gap_s,
                        pointing.step_deg,
                        event,
                    )
                )
        return spells

    def untold(self, limit: int) -> list[tuple[str, str]]:
        """Groups with an event that no alert has told of; each is returned once.

        At most ``limit`` at a time.  A group counts when it has been there for the timeout
        of partial groups: until then one that seems to be lacking before it may still come.
        """
        settled = now() - timedelta(seconds=self.settings.timeout_s)
        statement = select(Pointing).where(Pointing.told.is_(False), Pointing.at <= settled)
        with transaction(self.engine) as session:
            rows = session.scalars(statement.order_by(Pointing.start_mjd).with_for_update())
            found: list[tuple[str, str]] = []
            for row in rows:
                row.told = True
                if event := self.event(row):
                    found.append((row.key, event))
                if len(found) == limit:
                    break
        return found


def _length(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for limit, unit, length in ((600, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / _DAY_S:.1f} d"
