"""The record of every write: who asked for what, and when.

Belongs here: the form of a record, and where records go.  A write is recorded before it is carried out:
one that cannot be recorded is refused.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from contimg_assets.web.roles import Principal

AUDIT_FILE = "audit.jsonl"
#: Characters of what was sent that are kept.
KEPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Action:
    """One write that somebody asked for."""

    user: str
    role: str
    by: str
    """How the user is known: ``loopback``, ``token``, ``proxy`` or ``command line``."""
    peer: str
    """Address that it came from; empty: a Unix socket, or this machine's command line."""
    method: str
    target: str
    """Path, or command."""
    mutations: tuple[str, ...] = ()
    """What Dagster is asked to do."""
    content: str = ""
    """What was sent, cut at ``KEPT_CHARACTERS``."""
    request: str = field(default_factory=lambda: uuid4().hex)
    """Identity, also in the response's ``X-Request-Id``."""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    @classmethod
    def of(cls, principal: Principal, peer: str, method: str, target: str, **more: object) -> "Action":
        """The action of a principal."""
        return cls(principal.name, principal.role, principal.by, peer, method, target, **more)  # type: ignore[arg-type]


class Audit(Protocol):
    """Where actions are recorded."""

    def record(self, action: Action) -> None:
        """Record an action.

        Raises
        ------
        OSError
            If that is not possible; the action must not be carried out then.
        """
        ...


class AuditFile:
    """Records in ``CONTIMG_HOME/logs/audit.jsonl``, one JSON object a line.

    Parameters
    ----------
    home : Path
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "logs" / AUDIT_FILE

    def record(self, action: Action) -> None:
        """Append an action: one write, so that lines of several processes do not mix."""
        line = json.dumps(asdict(action)).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if written != len(line):
            raise OSError(f"{self.path}: wrote {written} of {len(line)} bytes")
