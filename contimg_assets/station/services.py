"""Which services of an installation run, and on which version: each says so in a file while it lives.

A service that was started before an upgrade goes on with the code that it loaded then.  Belongs here:
saying it, and reading it.  Does not belong here: starting services (``deploy/``, ``cli/``).
"""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from contimg_assets import __version__
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.process_marks import maker_has_ended, marked

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


def announce(home: Path, service: str) -> Path:
    """Say that this process serves from now on; its file, which what is left of ended ones goes with."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if maker_has_ended(path.name):
            path.unlink(missing_ok=True)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    told = Service(service, __version__, socket.gethostname(), os.getpid(), since)
    path = folder / marked(f"{service}-{uuid.uuid4().hex[:12]}")
    write_atomically(path, json.dumps(asdict(told)))
    return path


@contextmanager
def serving(home: Path, service: str) -> Iterator[None]:
    """The same, for the length of the block."""
    path = announce(home, service)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running(home: Path) -> list[Service]:
    """Services that run, as far as this machine can tell; the oldest of each kind first."""
    folder = home / FOLDER
    found = [
        Service(**json.loads(path.read_text(encoding="utf-8")))
        for path in (folder.iterdir() if folder.is_dir() else ())
        if not path.name.startswith(".") and not maker_has_ended(path.name)
    ]
    return sorted(found, key=lambda each: (each.service, each.since))
