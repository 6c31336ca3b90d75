"""Which holders of leases are dead, and what is done about it.

Belongs here: the one judge, for sensors and foreground commands alike.  Does not
belong here: leases (``leases.py``), or how a run is ended in Dagster (handed in).

A process of this machine that has ended is dead at once.  Any other holder is
known by its signs of life alone, and while the database is away nobody can give
one.  So a judge does not trust a single look: a lease that has expired is watched
for twice the interval of signs of life, in looks closer than that interval, each
of which must find the database willing to be written.  Whoever lives renews its
lease meanwhile.  If a look fails or comes late, nobody is judged this time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from contimg_assets.radio.process_marks import is_gone
from contimg_assets.station import leftovers
from contimg_assets.station.leases import Held, Leases
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store

#: An expired lease is watched for so many intervals of signs of life.
_WATCHED_INTERVALS = 2.0
#: Looks of one such interval.
_LOOKS_PER_INTERVAL = 2.0


class Runs(Protocol):
    """The runs of an installation, as far as the judge needs to know."""

    def commands_with_runs(self) -> set[str]:
        """Foreground commands that have unfinished runs."""
        ...

    def end(self, owner: str, message: str) -> None:
        """End the unfinished runs of an owner of leases that is dead, and free what they hold."""
        ...


@dataclass(frozen=True)
class Buried:
    """A lease whose holder was dead."""

    key: str
    message: str
    """How it is known."""
    state: str
    """The group's state now."""


class Judge:
    """Finds dead holders of leases, ends their runs, hands their groups back, and tidies up behind them.

    Parameters
    ----------
    leases : Leases
        Of the station.
    store : Store
        Of the same station.
    tell : callable, optional
        Told what the judge waits for, if it does.
    """

    def __init__(self, leases: Leases, store: Store, tell: Callable[[str], None] = lambda _: None) -> None:
        self.leases = leases
        self.store = store
        self.settings = leases.settings
        self._records = StationRecords(leases.engine)
        self.tell = tell

    def bury(self, runs: Runs, announce: Callable[[str, str], None] = lambda *_: None) -> list[Buried]:
        """Take the leases of the dead, and remove what they left, and processes without a lease that ended.

        A run is ended before its group is free, so that nobody who dies in between leaves a
        run that seems to live.

        Parameters
        ----------
        runs : Runs
            Where their runs are ended.
        announce : callable, optional
            Told of each group and death before the group is free: who dies in between, or cannot
            tell, leaves a death that the next judge finds.

        Returns
        -------
        list of Buried
            In order of time of the groups.

        Raises
        ------
        sqlalchemy.exc.OperationalError
            If the database is away: then nobody is judged.
        """
        commands = runs.commands_with_runs()
        dead = {held.key: (held, f"interrupted: {held.holder} has ended") for held in self._gone()}
        limit_s = self.settings.dead_after_s
        for held in self._silent(set(dead)):
            dead[held.key] = (held, f"{held.holder} gave no sign of life for {limit_s:g} s")
        for owner, message in {held.owner: message for held, message in dead.values()}.items():
            runs.end(owner, message)
        # A command holds its groups from before its first run to after its last one.
        for owner in commands - {held.owner for held in self.leases.held().values()}:
            runs.end(owner, "The foreground command of this run has ended, or lost its groups.")
        buried = []
        for key, (held, message) in sorted(dead.items()):
            announce(key, message)
            buried.append(self.hand_back(key, held, message))
        self._sweep(leftovers.sweep(self._records, self.store, leftovers.shared(self.store)))
        return buried

    def hand_back(self, key: str, held: Held, message: str) -> Buried:
        """Take a group from a holder that is known to be dead, and remove what that left.

        Parameters
        ----------
        key : str
            The group.
        held : Held
            Its lease; nothing changes for the group if another one holds it by now.
        message : str
            How it is known.
        """
        # Listed before the group is anybody else's, removed when the holder cannot publish any more.
        left = leftovers.of_group(self.store, key, held)
        shared = leftovers.shared(self.store, held)
        process = (held.pid, held.process)
        others = [other for other in self.leases.held().values() if (other.pid, other.process) == process]
        if len(others) > 1:
            # It may live, and its next run have folders of its own there; of several groups, the last tells.
            shared = []
        state = self.leases.died(key, held.owner, message)
        self._sweep(leftovers.sweep(self._records, self.store, shared))
        self._sweep(leftovers.sweep_group(self._records, self.store, key, left))
        return Buried(key, message, state)

    def _sweep(self, swept: leftovers.Swept) -> None:
        for sentence in swept.refused:
            self.tell(f"left by a killed process, and could not be removed: {sentence}")

    def _gone(self) -> list[Held]:
        return [held for held in self.leases.held().values() if is_gone(held.pid, held.process)]

    def _silent(self, known: set[str]) -> list[Held]:
        """Expired leases that stay so while the database can be written without a break."""
        interval = timedelta(seconds=self.settings.heartbeat_s)
        began, suspects = self._look(known)
        if suspects:
            holders = "; ".join(sorted({str(held) for held in suspects.values()}))
            watched_s = _WATCHED_INTERVALS * interval.total_seconds()
            self.tell(f"waiting {watched_s:g} s for a sign of life of {holders}")
        at = began
        while suspects and at - began < _WATCHED_INTERVALS * interval:
            time.sleep(interval.total_seconds() / _LOOKS_PER_INTERVAL)
            before, (at, still) = at, self._look(known)
            if not timedelta(0) <= at - before <= interval:
                self.tell("the database did not answer in time, so nobody is taken for dead now")
                return []
            suspects = {key: held for key, held in suspects.items() if _unchanged(held, still.get(key))}
        return list(suspects.values())

    def _look(self, known: set[str]) -> tuple[datetime, dict[str, Held]]:
        at, expired = self.leases.expired()
        return at, {held.key: held for held in expired if held.key not in known}


def _unchanged(before: Held, now: Held | None) -> bool:
    return now is not None and (now.owner, now.heartbeat) == (before.owner, before.heartbeat)
