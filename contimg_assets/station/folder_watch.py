"""News of the folder where files arrive: at once where the file system tells of it, else by short looks.

A local file system tells (inotify, through watchdog) when a writer closes a file
or renames one to its name, which is also the proof that it has been written.  A
network file system tells nothing of what other machines do: there the folder's
time of change is looked at every two seconds.  Both are always on, since events
can be lost.

Belongs here: waiting, and what the file system said of a file.  Does not belong
here: which files are new and what becomes of them (``incoming_folder.py``).
"""

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

from contimg_assets.radio.grouping import FoundFile, find_file
from contimg_assets.radio.uvh5 import ignore_reason

#: How often the folder's time of change is looked at, s.
LOOK_S = 2.0
#: Times of change are no finer than this on some file systems: a folder that was listed sooner after its last
#: change may have changed again since without showing it, s.
TIME_STEP_S = 2.0
#: A file that was closed is left alone for this long, in case its writer opens it again, s.
QUIET_S = 1.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Closed:
    """A file as it was when its writer closed it, or gave it its name."""

    file: FoundFile
    at: float
    """When that was, monotonic s."""


class _Handler(FileSystemEventHandler):
    def __init__(self, watch: "FolderWatch") -> None:
        self.watch = watch

    def on_closed(self, event: FileSystemEvent) -> None:
        self.watch.written(Path(os.fsdecode(event.src_path)))

    def on_moved(self, event: FileSystemEvent) -> None:
        # Without a destination it was moved out of the folder.
        if event.dest_path:
            self.watch.written(Path(os.fsdecode(event.dest_path)))


class FolderWatch:
    """Watches one folder, for as long as the process lives.

    Parameters
    ----------
    folder : Path
        The folder; its sub-folders are not watched.
    events : bool
        Listen to the file system; without, there are only looks.
    """

    def __init__(self, folder: Path, *, events: bool = True) -> None:
        self.folder = folder
        self.events = events
        self._news = threading.Event()
        self._closed: dict[str, _Closed] = {}
        self._lock = threading.Lock()
        self._observer: InotifyObserver | None = None
        self._watched: tuple[int, int] | None = None
        """Device and inode that the observer watches."""
        self._changed_ns: int | None = None
        """The folder's time of change as it was last seen."""
        self._seen_at = 0.0
        """When it was first seen so, monotonic s."""
        self._listed_at: float | None = None
        """When the folder was last listed, monotonic s; None: not since it changed."""

    def wait(self, seconds: float) -> bool:
        """Wait for news.

        Parameters
        ----------
        seconds : float
            At most.

        Returns
        -------
        bool
            Whether there is any: the folder should be listed.
        """
        deadline = time.monotonic() + seconds
        while not self._told():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._news.wait(min(LOOK_S, left))
        return True

    def listing(self) -> None:
        """Say that the folder is going to be listed: what was told before is no news any more."""
        self._news.clear()
        self._told()
        self._listed_at = time.monotonic()

    def was_written(self, file: FoundFile) -> bool:
        """Whether the writer of a file has closed it as it is now, and left it alone since."""
        with self._lock:
            known = self._closed.get(file.path.name)
        return known is not None and known.file == file and time.monotonic() - known.at >= QUIET_S

    def next_quiet(self) -> float | None:
        """Time until a file that was closed has been left alone for long enough, s; None if there is none."""
        with self._lock:
            ages = [time.monotonic() - known.at for known in self._closed.values()]
        left = [QUIET_S - age for age in ages if age < QUIET_S]
        return min(left, default=None)

    def forget(self, name: str) -> None:
        """A file has been dealt with."""
        with self._lock:
            self._closed.pop(name, None)

    def written(self, path: Path) -> None:
        """A file was closed by its writer, or was given its name."""
        file = find_file(path) if ignore_reason(path.name) is None else None
        if file is not None:
            with self._lock:
                self._closed[path.name] = _Closed(file, time.monotonic())
        self._news.set()

    def stop(self) -> None:
        """End the watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def _told(self) -> bool:
        """Whether an event came, or the folder's time of change says that names have come or gone."""
        found = self.folder.stat()
        self._watch((found.st_dev, found.st_ino))
        if found.st_mtime_ns != self._changed_ns:
            self._changed_ns, self._seen_at, self._listed_at = found.st_mtime_ns, time.monotonic(), None
        # Listed too soon after the change, it is listed again.
        listed = self._listed_at is not None and (
            self._listed_at >= self._seen_at + TIME_STEP_S or time.monotonic() < self._seen_at + TIME_STEP_S
        )
        return self._news.is_set() or not listed

    def _watch(self, identity: tuple[int, int]) -> None:
        """Watch the folder, or the one that has taken its place."""
        # It ends with the folder that it watches; another may have that one's inode.
        ended = self._observer is not None and not any(e.is_alive() for e in self._observer.emitters)
        if not self.events or (identity == self._watched and not ended):
            return
        self.stop()
        self._watched = identity
        observer = InotifyObserver(generate_full_events=True)
        # Of writing itself nothing is heard: that would be an event for every piece of every file.
        observer.schedule(_Handler(self), str(self.folder), event_filter=[FileClosedEvent, FileMovedEvent])
        try:
            observer.start()
        except OSError as error:  # the system's number of watches is used up
            _LOG.warning("%s: no file events (%s): it is looked at every %g s", self.folder, error, LOOK_S)
        else:
            self._observer = observer
