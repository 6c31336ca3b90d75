"""Who works on a group: signs of life, and what becomes of a group whose worker died.

Belongs here: the owner and heartbeat of groups in progress.  A worker is a run;
while its process lives it renews the heartbeat, so that a process that was
killed, or whose machine is gone, is noticed by anyone who looks.  Does not
belong here: when a run is started (``sensors/``), or what it makes (``assets/``).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import StateError
from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import get_group, move, start
from contimg_assets.station.models import GroupTransition, ObservationGroup, now


class Workers:
    """Owners of the groups of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    settings : IngestOptions
        Intervals, and how often a group may lose its worker.
    """

    def __init__(self, engine: Engine, settings: IngestOptions) -> None:
        self.engine = engine
        self.settings = settings

    def hold(self, key: str, owner: str) -> None:
        """Take a group for a later stage than the first, or for one made again by hand.

        A group in progress that nobody works on becomes the run's; a failed one is
        taken up again, since only a person starts its stages; a completed one stays so.

        Raises
        ------
        StateError
            If another run works on the group, or its first stage has not been started.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state == "completed" or group.owner == owner:
                return
            if group.owner is not None:
                raise StateError(f"group {key} is held by run {group.owner}, so run {owner} leaves it alone")
            if group.state == "failed":
                move(session, group, "pending", f"taken up again by run {owner}")
                start(session, group, owner, f"started by run {owner}")
            elif group.state == "in_progress":
                group.owner, group.heartbeat = owner, now()
            else:
                raise StateError(f"group {key} is {group.state}, expected in_progress: convert it first")

    def beat(self, key: str, owner: str) -> None:
        """A sign of life: of no effect unless the run holds the group."""
        self._set(key, owner, {"heartbeat": now()})

    def release(self, key: str, owner: str) -> None:
        """The run has ended; if there is more to do, other runs may do it."""
        self._set(key, owner, {"owner": None, "heartbeat": None})

    def _set(self, key: str, owner: str, values: dict[str, Any]) -> None:
        with transaction(self.engine) as session:
            session.execute(
                update(ObservationGroup)
                .where(ObservationGroup.key == key, ObservationGroup.owner == owner)
                .values({"updated": ObservationGroup.updated, **values})
                .execution_options(synchronize_session=False)
            )

    def dead(self) -> list[ObservationGroup]:
        """Groups whose worker has given no sign of life for longer than the setting allows."""
        oldest = now() - timedelta(seconds=self.settings.dead_after_s)
        statement = select(ObservationGroup).where(
            ObservationGroup.state == "in_progress",
            ObservationGroup.owner.is_not(None),
            ObservationGroup.heartbeat < oldest,
        )
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def died(self, key: str, owner: str | None, reason: str) -> str:
        """Put a group whose worker died back to ``pending``, or give it up.

        Parameters
        ----------
        key : str
            The group.
        owner : str or None
            The run that died; nothing is done if another one holds the group by now.
        reason : str
            How it is known.

        Returns
        -------
        str
            The group's state after that.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state != "in_progress" or group.owner not in (owner, None):
                return group.state
            deaths = self._deaths(session, key) + 1
            if deaths < self.settings.attempts:
                move(session, group, "pending", f"{reason} (attempt {deaths} of {self.settings.attempts})")
            else:
                move(session, group, "failed", f"{reason}, {deaths} times in succession: given up")
            return group.state

    def could_not_begin(self, key: str, owner: str, reason: str) -> str:
        """A run of a pending group ended before its first step: counted as a worker that died."""
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state == "pending":
                start(session, group, owner, f"run {owner} was made for it")
        return self.died(key, owner, reason)

    @staticmethod
    def _deaths(session: Session, key: str) -> int:
        """How often the group went back to ``pending`` by itself since it was last done."""
        done = (
            select(func.coalesce(func.max(GroupTransition.id), 0))
            .where(GroupTransition.key == key, GroupTransition.to_state.in_(("completed", "failed")))
            .scalar_subquery()
        )
        return (
            session.scalar(
                select(func.count()).where(
                    GroupTransition.key == key,
                    GroupTransition.id > done,
                    GroupTransition.from_state == "in_progress",
                    GroupTransition.to_state == "pending",
                )
            )
            or 0
        )

    @contextmanager
    def living(self, key: str, owner: str) -> Iterator[None]:
        """Give signs of life from a thread for the length of the block, then release the group."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(key, owner, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.release(key, owner)

    def _beat_until(self, key: str, owner: str, stop: threading.Event) -> None:
        while not stop.wait(self.settings.heartbeat_s):
            try:
                self.beat(key, owner)
            except OperationalError:
                # The database is busy or away for a moment. The next beat may pass; if none does for long,
                # the group is taken to be without a worker, and this one finds that out when it publishes.
                continue
