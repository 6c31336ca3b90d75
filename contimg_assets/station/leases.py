"""Who works on a group: the one lease that owns it, and what becomes of a group whose worker died.

Belongs here: taking a group, signs of life, giving it back.  A lease is a row of
the database, and every time in it is by the database's clock, so runs that
sensors asked for, foreground commands and other machines own groups in one way.
Does not belong here: who counts as dead (``lease_judge.py``), when a run is
started (``sensors/``), or what it makes (``assets/``).
"""

import os
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import StateError
from contimg_assets.radio.process_marks import process_identity
from contimg_assets.settings import IngestOptions
from contimg_assets.station.database import database_now, reading, transaction
from contimg_assets.station.group_states import begin_for, ended_early, get_group, move
from contimg_assets.station.models import DIED, GroupTransition, Lease, ObservationGroup

#: How the identity of a foreground command begins; any other owner is a run.
_COMMAND = "command-"
#: After a sign of life that failed, the next one comes sooner by this factor.
_HURRY = 10.0


def new_command() -> str:
    """Identity of a foreground command, which holds its groups for all of its runs."""
    return f"{_COMMAND}{uuid.uuid4().hex}"


def command_holder(name: str) -> str:
    """What a person reads of a command that holds a group, such as ``contimg process``."""
    return f"{name} on {socket.gethostname()}, pid {os.getpid()}"


def named(owner: str) -> str:
    """An owner as messages name it."""
    return owner if owner.startswith(_COMMAND) else f"run {owner}"


def _run_holder(run: str) -> str:
    return f"run {run} on {socket.gethostname()}"


@dataclass(frozen=True)
class Held:
    """A lease as it stood at one look."""

    key: str
    owner: str
    holder: str
    host: str
    pid: int
    process: str
    heartbeat: datetime
    silent_s: float
    """Time since the last sign of life, by the database's clock, s."""

    def __str__(self) -> str:
        return f"{self.holder} (last sign of life {self.silent_s:.0f} s ago)"


def _held(lease: Lease, at: datetime) -> Held:
    silent_s = (at - lease.heartbeat).total_seconds()
    return Held(
        lease.key,
        lease.owner,
        lease.holder,
        lease.host,
        lease.pid,
        lease.process,
        lease.heartbeat,
        max(0.0, silent_s),
    )


def lease_of(session: Session, key: str, *, lock: bool = False) -> Held | None:
    """Who holds a group; locked, nobody else takes or renews the lease before the transaction ends."""
    found = session.get(Lease, key, with_for_update=lock, populate_existing=True)
    return None if found is None else _held(found, session.scalars(select(database_now())).one())


def require_lease(session: Session, key: str, owner: str) -> None:
    """Make sure in a transaction that a group is its owner's, and stays so to the transaction's end.

    Raises
    ------
    StateError
        If somebody else holds it, or nobody.
    """
    found = lease_of(session, key, lock=True)
    if found is None or found.owner != owner:
        raise StateError(f"group {key} is held by {found or 'nobody'}, so {named(owner)} leaves it alone")


def take_lease(session: Session, key: str, owner: str) -> bool:
    """Take a group for a run within a transaction that has locked the group's row.

    A command's groups are the command's from its start: its runs only make sure of that.

    Returns
    -------
    bool
        Whether the group was the owner's before.

    Raises
    ------
    StateError
        If somebody else holds it.
    """
    before = lease_of(session, key)
    if before is None and not owner.startswith(_COMMAND):
        _insert(session, key, owner, _run_holder(owner))
    require_lease(session, key, owner)
    return before is not None


def _take_up(session: Session, group: ObservationGroup, owner: str) -> None:
    """Let a failed group go on from where it stands."""
    move(session, group, "pending", f"taken up again by {named(owner)}")
    move(session, group, "in_progress", f"started by {named(owner)}")


def _insert(session: Session, key: str, owner: str, holder: str) -> None:
    """Enter a lease, unless there is one."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    values: dict[str, Any] = {
        "key": key,
        "owner": owner,
        "holder": holder,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process": process_identity(os.getpid()) or "",
        "taken_at": database_now(),
        "heartbeat": database_now(),
    }
    session.execute(dialect.insert(Lease).values(values).on_conflict_do_nothing())


class Leases:
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

    # -- taking and giving back -------------------------------------------------------------

    def take(self, key: str, owner: str, holder: str) -> bool:
        """Take a group that nobody holds: of any number of processes that try, one succeeds.

        Parameters
        ----------
        key : str
            The group; it is registered.
        owner : str
            A run's identity, or a command's (:func:`new_command`).
        holder : str
            The same in words.

        Returns
        -------
        bool
            Whether it is the owner's now.
        """
        with transaction(self.engine) as session:
            # The group before its lease, as everywhere: so no two transactions wait for one another.
            get_group(session, key, lock=True)
            _insert(session, key, owner, holder)
            found = lease_of(session, key)
            return found is not None and found.owner == owner

    def take_many(self, keys: Iterable[str], owner: str, holder: str) -> set[str]:
        """Take those groups that nobody holds; those of ``keys`` that are the owner's now."""
        return {key for key in keys if self.take(key, owner, holder)}

    def hold(self, key: str, owner: str) -> None:
        """Take a group for a later stage than the first, or for one made again by hand.

        A group in progress that nobody works on becomes the run's; a failed one is
        taken up again, since only a person starts its stages; a completed one stays so.

        Raises
        ------
        StateError
            If somebody else works on the group, its first stage has not been started, or it
            failed while it was the owner's: then its reason stands, and other steps leave it alone.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            held_before = take_lease(session, key, owner)
            if group.state == "failed" and held_before:
                raise StateError(f"group {key} has failed: {group.reason}")
            if group.state == "failed":
                _take_up(session, group, owner)
            elif group.state not in ("in_progress", "completed"):
                raise StateError(f"group {key} is {group.state}, expected in_progress: convert it first")

    def take_up(self, key: str, owner: str) -> None:
        """Let a failed group that is the owner's go on after its first stage; another one stays as it is.

        Raises
        ------
        StateError
            If it is not the owner's.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            require_lease(session, key, owner)
            if group.state == "failed":
                _take_up(session, group, owner)

    def restart(self, key: str, owner: str, reason: str) -> None:
        """Put a group in progress that is the owner's, and that nobody works on, back to its first stage.

        Raises
        ------
        StateError
            If it is not the owner's, or not in progress.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            require_lease(session, key, owner)
            move(session, group, "pending", reason)

    def beat(self, owner: str) -> None:
        """A sign of life, for all groups of an owner."""
        with transaction(self.engine) as session:
            session.execute(update(Lease).where(Lease.owner == owner).values(heartbeat=database_now()))

    def release(self, owner: str, key: str | None = None) -> None:
        """Give back all groups of an owner, or one of them; if there is more to do, others may do it."""
        statement = delete(Lease).where(Lease.owner == owner)
        with transaction(self.engine) as session:
            session.execute(statement if key is None else statement.where(Lease.key == key))

    @contextmanager
    def living(self, owner: str) -> Iterator[None]:
        """Give signs of life from a thread for the length of the block, then release the owner's groups."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(owner, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.release(owner)

    def _beat_until(self, owner: str, stop: threading.Event) -> None:
        wait_s = self.settings.heartbeat_s
        while not stop.wait(wait_s):
            try:
                self.beat(owner)
                wait_s = self.settings.heartbeat_s
            except OperationalError:
                # The database is busy or away for a moment. The judge waits for signs of life after that,
                # so the next one must not be late; if none comes for long, this one's groups are another's,
                # and it finds that out when it publishes.
                wait_s = self.settings.heartbeat_s / _HURRY

    # -- looking ----------------------------------------------------------------------------

    def held(self) -> dict[str, Held]:
        """All leases, by group."""
        with reading(self.engine) as session:
            rows = session.execute(select(Lease, database_now()))
            return {lease.key: _held(lease, at) for lease, at in rows}

    def of(self, key: str) -> Held | None:
        """Who holds a group."""
        with reading(self.engine) as session:
            return lease_of(session, key)

    def expired(self) -> tuple[datetime, list[Held]]:
        """The database's time, and leases without a sign of life for longer than the setting allows.

        The look asks for the right to write: while others cannot write, their signs
        of life are missing for that reason.

        Raises
        ------
        OperationalError
            If the database is away, or does not take writes.
        """
        with transaction(self.engine) as session:
            at = session.scalars(select(database_now())).one()
            oldest = at - timedelta(seconds=self.settings.dead_after_s)
            # A row that is locked is being renewed.
            found = select(Lease).where(Lease.heartbeat < oldest).with_for_update(skip_locked=True)
            return at, [_held(lease, at) for lease in session.scalars(found.order_by(Lease.key))]

    # -- deaths -----------------------------------------------------------------------------

    def died(self, key: str, owner: str | None, reason: str) -> str:
        """Take the lease from a worker that died; its group goes back to ``pending``, or is given up.

        Parameters
        ----------
        key : str
            The group.
        owner : str or None
            Who died; None if nobody holds the group, though it is in progress.  Nothing
            is done if another one holds it by now.
        reason : str
            How it is known.

        Returns
        -------
        str
            The group's state after that.
        """
        with transaction(self.engine) as session:
            return self._died(session, key, owner, reason)

    def could_not_begin(self, key: str, run: str, reason: str) -> str:
        """A run ended before it took the group, which nobody holds: counted as a worker that died."""
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if lease_of(session, key) is not None:
                return group.state
            if group.state == "in_progress":
                # Converted, and to be imaged: what was made of it stands when it is begun again.
                told = ended_early(session, key, run, reason)
                return group.state if told is None else self._died(session, key, None, told)
            if group.state == "pending" and begin_for(session, group, run):
                return self._died(session, key, None, reason)
            return group.state

    def _died(self, session: Session, key: str, owner: str | None, reason: str) -> str:
        group = get_group(session, key, lock=True)
        found = lease_of(session, key, lock=True)
        if (found.owner if found else None) != owner:
            return group.state
        session.execute(delete(Lease).where(Lease.key == key))
        if group.state == "in_progress":
            deaths = self._deaths(session, key) + 1
            if deaths < self.settings.attempts:
                told = f"{reason} (attempt {deaths} of {self.settings.attempts})"
                move(session, group, "pending", told, cause=DIED)
            else:
                move(session, group, "failed", f"{reason}, {deaths} times in succession: given up")
        return group.state

    @staticmethod
    def _deaths(session: Session, key: str) -> int:
        """How often the group lost its worker since it was last done."""
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
                    GroupTransition.cause == DIED,
                )
            )
            or 0
        )
