"""Work that was broken off by no fault of a group's own, and what stands of it.

A signal, a person who ends a run, or storage that is full or away puts a group
back to ``pending``; that is no attempt.  The next run goes on after the last
stage whose product stands: current, on disk, made since the group was last
started anew, from the same inputs and with the same options and software.
Belongs here: those ways back, and that judgement.  Does not belong here: workers
that died (``leases.py``), or what a fault of storage is (``radio/storage.py``).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from contimg_assets.station.database import database_now, reading, transaction
from contimg_assets.station.group_states import begin_for, get_group, move
from contimg_assets.station.leases import lease_of, require_lease
from contimg_assets.station.models import (
    STORAGE,
    GroupTransition,
    Lease,
    ObservationGroup,
    Performance,
    ProductVersion,
)
from contimg_assets.station.numbers import finite
from contimg_assets.station.versions import current_version, inputs_of

#: A group that met a storage fault waits so long before it is looked at again, twice as long the next time in
#: succession, and so on; the times that count.
_FIRST_WAIT = timedelta(seconds=15)
_LONGEST_WAIT = 6


def broken_off(session: Session, key: str) -> list[str]:
    """Why the group's work was broken off, each time since it was last started anew; the newest first."""
    causes = session.scalars(
        select(GroupTransition.cause)
        .where(GroupTransition.key == key, GroupTransition.to_state == "pending")
        .order_by(GroupTransition.id.desc())
    )
    found: list[str] = []
    for cause in causes:
        if cause is None:
            break
        found.append(cause)
    return found


class Interruptions:
    """Groups whose work was broken off, of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # -- the ways back ----------------------------------------------------------------------

    def put_back(self, key: str, owner: str, reason: str, cause: str) -> bool:
        """Work on a group was broken off by no fault of its own: it goes back to ``pending``, uncounted.

        Parameters
        ----------
        key : str
            The group.
        owner : str
            Who worked on it; nothing is done if the group is not its own, or not in progress.
        reason : str
            Why, as people read it.
        cause : {"interrupted", "storage"}
            After a storage fault it waits before it may be started again, longer each time in succession.

        Returns
        -------
        bool
            Whether it went back.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            held = lease_of(session, key, lock=True)
            if group.state != "in_progress" or held is None or held.owner != owner:
                return False
            self._back(session, group, reason, cause)
            return True

    @staticmethod
    def _back(session: Session, group: ObservationGroup, reason: str, cause: str) -> None:
        until = None
        if cause == STORAGE:
            times = broken_off(session, group.key)[:_LONGEST_WAIT].count(STORAGE)
            until = session.scalars(select(database_now())).one() + _FIRST_WAIT * 2**times
            reason = f"{reason}; looked at again at {until:%Y-%m-%d %H:%M:%S} UTC"
        move(session, group, "pending", reason, cause=cause, not_before=until)

    def give_back(self, key: str, run: str, reason: str, cause: str) -> bool:
        """A run was broken off and could not say so itself; whether its group went back.

        A group in progress that nobody, or the run, holds goes back to ``pending``, and so does a pending
        one that nobody holds: its next run needs another name.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            held = lease_of(session, key, lock=True)
            if held is not None and held.owner != run:
                return False
            if group.state == "pending" and held is None:
                begin_for(session, group, run)
            if group.state != "in_progress":
                return False
            session.execute(delete(Lease).where(Lease.key == key))
            self._back(session, group, reason, cause)
            return True

    def go_on(self, key: str, owner: str, reason: str) -> None:
        """Let a group of the owner's that was put back go on where it stood.

        Raises
        ------
        StateError
            If it is not the owner's.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            require_lease(session, key, owner)
            if group.state == "pending":
                move(session, group, "in_progress", reason)

    def begin_anew(self, key: str, owner: str, reason: str) -> None:
        """Let nothing count that was made of a pending group of the owner's before it was broken off."""
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            require_lease(session, key, owner)
            if group.state == "pending" and broken_off(session, key):
                move(session, group, "in_progress", reason)
                move(session, group, "pending", reason)

    # -- what may start ---------------------------------------------------------------------

    def startable(self, limit: int) -> list[ObservationGroup]:
        """Pending groups that need not wait for storage (any more), newest observation first."""
        statement = (
            select(ObservationGroup)
            .where(ObservationGroup.state == "pending")
            .where(ObservationGroup.not_before.is_(None) | (ObservationGroup.not_before <= database_now()))
            .order_by(ObservationGroup.key.desc())
            .limit(limit)
        )
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def hold_back(self, keys: Iterable[str], reason: str) -> None:
        """Let pending groups wait for storage, without having tried."""
        with transaction(self.engine) as session:
            at = session.scalars(select(database_now())).one()
            for key in keys:
                group = get_group(session, key, lock=True)
                if group.state == "pending":
                    group.not_before = at + _FIRST_WAIT
                    told = f"{group.not_before:%Y-%m-%d %H:%M:%S} UTC"
                    group.reason = f"{reason}; looked at again at {told}"

    def last(self, key: str) -> str | None:
        """What broke off the group's work, if it is pending for that; None if it is not."""
        with reading(self.engine) as session:
            last = session.scalars(
                select(GroupTransition)
                .where(GroupTransition.key == key)
                .order_by(GroupTransition.id.desc())
                .limit(1)
            ).first()
        return last.cause if last is not None and last.to_state == "pending" else None

    # -- what stands ------------------------------------------------------------------------

    def standing(
        self,
        key: str,
        product: str,
        home: Path,
        settings: Mapping[str, Any],
        inputs: Iterable[int],
        others: Iterable[Iterable[int]] = ((),),
    ) -> ProductVersion | None:
        """The product that a group's broken-off work has made already, if it need not be made again.

        Parameters
        ----------
        key, product : str
            Group in progress, and name of the product.
        home : Path
            Root of the store.
        settings : Mapping
            What it would be made with now.
        inputs : iterable of int
            Versions that it would be made from now.
        others : iterable of iterable of int
            Further inputs, any one set of which would do.

        Returns
        -------
        ProductVersion
            None if there is none, or the group's work was not broken off.
        """
        with reading(self.engine) as session:
            group = get_group(session, key)
            times = len(broken_off(session, key))
            version = current_version(session, key, product)
            if group.state != "in_progress" or not times or version is None:
                return None
            made = session.scalars(select(Performance).where(Performance.version_id == version.id)).first()
            used = {each.id for each in inputs_of(session, [version.id])[version.id]}
        since_anew = made is not None and made.retry >= group.retries - times
        same = any(used == {*inputs, *more} for more in others) and version.settings == finite(settings)
        there = bool(version.version) and not version.removed and (home / version.path).exists()
        return version if since_anew and same and there else None
