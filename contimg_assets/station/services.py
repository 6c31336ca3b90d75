"""Which services of an installation run, on which version and settings.

Each says so in a file while it lives, and touches it from time to time: of one in a container or on another
machine nothing else tells that it has ended.  One that was started before an upgrade, or before a setting was
changed, goes on with what it loaded then.  Belongs here: saying it, and reading it.  Does not belong here:
starting services (``deploy/``, ``cli/``).
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contimg_assets import __version__
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.process_marks import maker_has_ended, marked
from contimg_assets.settings import Settings
from contimg_assets.station.database import head
from contimg_assets.station.settings_views import values_of

#: Folder of the home that has a file for each service.
FOLDER = "services"
WEB, DAEMON, CODE, WORKER = "web", "daemon", "code", "worker"
#: A file is touched this often, and is of a service that has ended when that was this long ago, s.
BEAT_S, SILENT_S = 30.0, 300.0


@dataclass(frozen=True)
class Service:
    """A process that serves for a long time."""

    service: str
    version: str
    """Of the code that it loaded."""
    host: str
    pid: int
    since: str
    """When it started, UTC."""
    settings: dict[str, Any] = field(default_factory=dict)
    """All that it read then, by key, without passwords; empty if it is of a release that does not say."""
    schema: str = ""
    """Revision of the station database that it expects."""

    def other_settings(self, present: Settings) -> dict[str, tuple[Any, Any]]:
        """Settings that it read otherwise than they are now: what it has, and what they are."""
        now = values_of(present)
        return {
            key: (value, now[key]) for key, value in self.settings.items() if key in now and now[key] != value
        }


def announce(settings: Settings, service: str, ended: threading.Event | None = None) -> Path:
    """Say that this process serves from now on, until it ends.

    Parameters
    ----------
    settings : Settings
        That it goes by.
    service : str
        Which it is.
    ended : threading.Event, optional
        Set when it no longer serves; default: it does as long as the process lives.

    Returns
    -------
    Path
        Its file; what those that have ended left is removed.
    """
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if _has_ended(path):
            path.unlink(missing_ok=True)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    values = values_of(settings)
    told = Service(service, __version__, socket.gethostname(), os.getpid(), since, values, head())
    path = folder / marked(f"{service}-{uuid.uuid4().hex[:12]}")
    write_atomically(path, json.dumps(asdict(told)))
    threading.Thread(target=_beat, args=(path, ended or threading.Event()), daemon=True).start()
    return path


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        # While the home is away nobody reads it either.
        with suppress(OSError):
            os.utime(path)


@contextmanager
def serving(settings: Settings, service: str) -> Iterator[None]:
    """The same, for the length of the block."""
    ended = threading.Event()
    path = announce(settings, service, ended)
    try:
        yield
    finally:
        ended.set()
        path.unlink(missing_ok=True)


def _has_ended(path: Path) -> bool:
    """Whether the service of a file has ended: its process is seen to have, or it is silent."""
    try:
        return maker_has_ended(path.name) or time.time() - path.stat().st_mtime > SILENT_S
    except FileNotFoundError:
        return True


def running(home: Path) -> list[Service]:
    """Services that run, here and elsewhere; the oldest of each kind first."""
    folder = home / FOLDER
    found = [
        _read(path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if not path.name.startswith(".") and not _has_ended(path)
    ]
    return sorted(found, key=lambda each: (each.service, each.since))


def _read(path: Path) -> Service:
    """What a service says; one of another release may say more."""
    told, known = json.loads(path.read_text(encoding="utf-8")), {each.name for each in fields(Service)}
    return Service(**{name: value for name, value in told.items() if name in known})
