"""One look after the other at the folder where files arrive.

Belongs here: which files are new, when they count as closed, and the account of
every file.  Does not belong here: waiting for news (``folder_watch.py``), when a group
is ready or given up (``ingest_policy.py``), asking for runs (``sensors/incoming.py``), which files make up a
group (``radio/grouping.py``), or what the station database accepts (``products.py``).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.grouping import (
    BadFile,
    FileGroup,
    FoundFile,
    assemble,
    find_file,
    list_names,
    read_headers,
)
from contimg_assets.radio.uvh5 import (
    SubbandHeader,
    file_stamp,
    has_room_for_all,
    ignore_reason,
    read_header,
)
from contimg_assets.settings import get_settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.arrivals import Arrivals, Settled
from contimg_assets.station.folder_watch import FolderWatch
from contimg_assets.station.ingest_policy import COPY, is_near, late_outcome, late_step, next_step
from contimg_assets.station.models import ObservationGroup
from contimg_assets.station.products import StationRecords
from contimg_assets.station.registration import register

#: The folder is looked at this often though nothing has changed, s: refused files may have been mended.
FULL_LOOK_S = 30.0
#: Time between looks while there is more to read than one look does, s.
AGAIN_S = 5.0
#: Headers that one look reads at most (6 to 20 ms each): the files of as many groups as a tick may start.
HEADERS_PER_LOOK = 384


@dataclass
class _Arrival:
    """A file that has not been dealt with."""

    file: FoundFile
    since: float
    """When it was first seen with its present size and time, Unix s."""
    found: SubbandHeader | BadFile | None = None
    """What is in it; None if it has not been read, or is to be read again."""
    read_twice: bool = False
    looked_into: bool = False
    """It was opened as soon as its writer had closed it, and is not all there yet."""


class IncomingFolder:
    """What is known of a folder from one look to the next.

    It is a memory only: the station database has the state and the account of the files,
    and a new process starts from that.

    Parameters
    ----------
    folder : Path
        The folder; its sub-folders are not looked at.
    records : StationRecords
        Takes the groups.
    notifier : Notifier
        Takes what is wrong with files.
    watch : FolderWatch, optional
        What tells of news in the folder; default: one of its own.
    """

    def __init__(
        self, folder: Path, records: StationRecords, notifier: Notifier, watch: FolderWatch | None = None
    ) -> None:
        self.folder = folder
        self.settings = get_settings()
        self.records = records
        self.notifier = notifier
        self.arrivals = Arrivals(records.engine, folder)
        self.settled = self.arrivals.names()
        self.refused = self.arrivals.refused()
        self.open: dict[str, _Arrival] = {}
        """Files that are not settled, by name."""
        self.entered: dict[str, tuple[Path, ...]] = {}
        """Files with which a group that still collects was last registered."""
        self.watch = watch or FolderWatch(folder)
        self.looked_at = -math.inf
        """Time of the last look, Unix s."""

    def look(self, now: float) -> list[FileGroup]:
        """List the folder, read what is new, and register the groups found.

        Only names are listed: a file that has been dealt with costs nothing more,
        except that refused ones are asked for their size and time.

        Parameters
        ----------
        now : float
            Present time, Unix s.

        Returns
        -------
        list of FileGroup
            Groups that became ready with this look.
        """
        self.settings, self.looked_at = get_settings(), now
        self.watch.listing()
        self._find(now)
        self._read_written()
        self._read(now)
        read = [arrival.found for arrival in self.open.values()]
        groups = assemble(
            [item for item in read if isinstance(item, SubbandHeader)],
            [item for item in read if isinstance(item, BadFile)],
            cluster_s=self.settings.ingest.cluster_s,
        )
        # Files that are still open, or not read yet, may belong to any group near them in time.
        closed = now - self.settings.ingest.settle_s
        coming = [arrival for arrival in self.open.values() if arrival.found is None]
        unread = [_stamp(arrival.file.path) for arrival in coming if arrival.since <= closed]
        growing = [_stamp(arrival.file.path) for arrival in coming if arrival.since > closed]
        return [group for group in groups if self._take(group, unread, growing, now)]

    def wait(self, seconds: float, now: float) -> bool:
        """Wait until another look may find something.

        Parameters
        ----------
        seconds : float
            At most.
        now : float
            Present time, Unix s.

        Returns
        -------
        bool
            Whether it may.
        """
        due = self._due(now) - now
        quiet = self.watch.next_quiet()
        due = due if quiet is None else min(due, quiet)
        return self.watch.wait(max(0.0, min(seconds, due))) or due <= seconds

    def _due(self, now: float) -> float:
        """When a look is due though nothing changes: a file has been still, or a group has waited."""
        ingest = self.settings.ingest
        times = [self.looked_at + FULL_LOOK_S]
        for arrival in self.open.values():
            at = arrival.since + (ingest.settle_s if arrival.found is None else ingest.timeout_s)
            # What is past has been seen with the last look, and what it left waits for its turn.
            times.append(at if at > self.looked_at else self.looked_at + AGAIN_S)
        return max(now, min(times))

    # -- files ------------------------------------------------------------------------------

    def _find(self, now: float) -> None:
        """Bring the open files up to date."""
        names = list_names(self.folder)
        for name, known in list(self.refused.items()):
            if name in names and find_file(known.path) != known:
                del self.refused[name]
                self.settled.discard(name)
        fresh: dict[str, _Arrival] = {}
        for name in names - self.settled:
            file = find_file(self.folder / name) if ignore_reason(name) is None else None
            if file is not None:
                known = self.open.get(name)
                fresh[name] = known if known is not None and known.file == file else _Arrival(file, now)
        self.open = dict(sorted(fresh.items()))

    def _read_written(self) -> None:
        """Read the headers of files whose writers have closed them, if all of their data are there.

        Of any other it is too early to say anything: it has the time of those of which nothing is known.
        """
        due = [
            arrival
            for arrival in reversed(self.open.values())
            if arrival.found is None and not arrival.looked_into and self.watch.was_written(arrival.file)
        ]
        for arrival in due[:HEADERS_PER_LOOK]:
            arrival.looked_into = True
            try:
                header = read_header(arrival.file.path)
                if has_room_for_all(arrival.file.path):
                    arrival.found = header
            except BadSubbandFileError:
                continue

    def _read(self, now: float) -> None:
        """Read the headers of files that have been still, the newest first."""
        closed = now - self.settings.ingest.settle_s
        due = [a for a in reversed(self.open.values()) if a.found is None and a.since <= closed]
        due = due[:HEADERS_PER_LOOK]
        headers, bad = read_headers(arrival.file.path for arrival in due)
        for item in [*headers, *bad]:
            self.open[item.path.name].found = item

    def _settle(self, files: Iterable[Settled]) -> None:
        done = list(files)
        self.arrivals.settle(done)
        for item in done:
            name = item.file.path.name
            del self.open[name]
            self.watch.forget(name)
            self.settled.add(name)
            if item.outcome == "refused":
                self.refused[name] = item.file

    # -- groups -----------------------------------------------------------------------------

    def _take(self, group: FileGroup, unread: list[datetime], growing: list[datetime], now: float) -> bool:
        """Deal with one group as far as it is time to; whether it became ready."""
        paths, ingest = _paths(group), self.settings.ingest
        step = next_step(
            group.status,
            now - max(self.open[path.name].since for path in paths),
            ingest.timeout_s,
            unread=_any_near(paths, unread, ingest.cluster_s),
            growing=_any_near(paths, growing, ingest.cluster_s),
        )
        if step == "wait":
            return False
        if step != "collect" and group.status != "complete" and self._to_be_read_again(group):
            return False
        known = self.records.find(group.key) if group.key is not None else None
        if known is not None and self._comes_late(group, known):
            return False
        if group.key is None or group.header is None:
            if step == "give up":
                self._reject(group, None)
            return False
        if step == "collect" and self.entered.get(group.key) == tuple(paths):
            return False
        register(group, self.settings, self.records, ready=step == "take")
        self.entered[group.key] = tuple(paths)
        if step == "take":
            self._account(group, group.key)
        elif step == "give up":
            self.records.reject(group.key, group.reason)
            self._reject(group, group.key)
        return step == "take"

    def _to_be_read_again(self, group: FileGroup) -> bool:
        """Give files that could not be read one more chance: a file system may have been at fault."""
        again = False
        for path, _ in group.bad:
            arrival = self.open[path.name]
            if isinstance(arrival.found, BadFile) and not arrival.read_twice:
                arrival.found, arrival.read_twice, again = None, True, True
        return again

    def _comes_late(self, group: FileGroup, known: ObservationGroup) -> bool:
        """Deal with files of a group that the station database has finished collecting."""
        theirs = set(known.files.values())
        strangers = [path for path in _paths(group) if str(path.absolute()) not in theirs]
        rejected = known.state == "failed" and self.records.was_rejected(known.key)
        step = late_step(known.state, rejected=rejected, strangers=bool(strangers))
        if step == "join":
            return False
        if step == "again":
            # It can still have them. The files that it has are looked at again, with the new ones.
            again = self.arrivals.forget(known.key)
            self.settled -= again
            return any((self.folder / name).exists() for name in again)
        reasons = dict(group.bad)

        def settled(path: Path) -> Settled:
            file = self.open[path.name].file
            if path not in strangers:
                return Settled(file, known.key, "used")
            if path in reasons:
                return Settled(file, known.key, "refused", reasons[path])
            return self._stranger(path, known)

        self._settle([settled(path) for path in _paths(group)])
        return True

    def _stranger(self, path: Path, known: ObservationGroup) -> Settled:
        """What a good file is that came when its group was made of others."""
        file, found = self.open[path.name].file, self.open[path.name].found
        used = known.files.get(str(found.subband)) if isinstance(found, SubbandHeader) else None
        try:
            identical = used is not None and file_sha256(path) == file_sha256(Path(used))
        except OSError:  # moved away since, so that nothing can be said of their contents
            used, identical = None, False
        rival = None if used is None else Path(used).name
        return Settled(
            file, known.key, *late_outcome(known.state, known.n_subbands, rival, identical=identical)
        )

    def _reject(self, group: FileGroup, key: str | None) -> None:
        first = next(iter(_paths(group))).name
        self.notifier.send("rejected_group", group.key or first, group.reason)
        self._account(group, key)

    def _account(self, group: FileGroup, key: str | None) -> None:
        """Settle all files of a group."""
        for path, reason in group.bad:
            self.notifier.send("bad_file", str(path), reason)
        done = [Settled(self.open[path.name].file, key, "used") for path in group.files.values()]
        done += [Settled(self.open[path.name].file, key, "duplicate", COPY) for path in group.duplicates]
        done += [Settled(self.open[path.name].file, key, "refused", reason) for path, reason in group.bad]
        self._settle(done)
        self.entered.pop(group.key or "", None)


def _paths(group: FileGroup) -> list[Path]:
    return [*group.files.values(), *group.duplicates, *(path for path, _ in group.bad)]


def _stamp(path: Path) -> datetime:
    found = file_stamp(path)
    return found[0] if found else datetime.min.replace(tzinfo=UTC)


def _any_near(paths: list[Path], stamps: list[datetime], cluster_s: float) -> bool:
    own = [_stamp(path) for path in paths]
    return any(is_near(stamp, min(own), max(own), cluster_s) for stamp in stamps)
