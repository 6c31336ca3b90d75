"""Which services of an installation run, on which version and settings.

Each says so in a file while it lives.  One that was started before an upgrade, or before a setting was
changed, goes on with what it loaded then.  Belongs here: saying it, and reading it.  Does not belong here:
starting services (``deploy/``, ``cli/``).
"""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contimg_assets import __version__
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.process_marks import maker_has_ended, marked
from contimg_assets.settings import Settings
from contimg_assets.station.settings_views import values_of

#: Folder of the home that has a file for each service.
FOLDER = "services"
WEB, DAEMON, CODE, WORKER = "web", "daemon", "code", "worker"


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

    def other_settings(self, present: Settings) -> dict[str, tuple[Any, Any]]:
        """Settings that it read otherwise than they are now: what it has, and what they are."""
        now = values_of(present)
        return {
            key: (value, now[key]) for key, value in self.settings.items() if key in now and now[key] != value
        }


def announce(settings: Settings, service: str) -> Path:
    """Say that this process serves from now on; its file, which what is left of ended ones goes with."""
    folder = settings.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if maker_has_ended(path.name):
            path.unlink(missing_ok=True)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    values = values_of(settings)
    told = Service(service, __version__, socket.gethostname(), os.getpid(), since, values)
    path = folder / marked(f"{service}-{uuid.uuid4().hex[:12]}")
    write_atomically(path, json.dumps(asdict(told)))
    return path


@contextmanager
def serving(settings: Settings, service: str) -> Iterator[None]:
    """The same, for the length of the block."""
    path = announce(settings, service)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(home: Path) -> list[Service]:
    """Services that run, as far as this machine can tell; the oldest of each kind first."""
    folder = home / FOLDER
    found = [
        _read(path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if not path.name.startswith(".") and not maker_has_ended(path.name)
    ]
    return sorted(found, key=lambda each: (each.service, each.since))


def _read(path: Path) -> Service:
    """What a service says; one of another release may say more."""
    told, known = json.loads(path.read_text(encoding="utf-8")), {each.name for each in fields(Service)}
    return Service(**{name: value for name, value in told.items() if name in known})
