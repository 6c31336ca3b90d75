"""Alerts: one line each in the log and in a bounded file of JSON lines.

The file needs no database, and has everything: what is told to people (``alarms.py``)
is made of its lines, and so is what is held back.

Belongs here: keeping and reading alerts.  Does not belong here: deciding what
deserves one (``sensors/alerts.py``), or who hears of it (``alarms.py``).
"""

import fcntl
import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contimg_assets.radio.files import write_atomically

#: Alerts that the file keeps at least; the oldest go first.
KEPT_ALERTS = 5000
#: The file is thinned out when it has so many more, as parts of those kept.
_SLACK = 0.2
#: For so long the same is not told again by those who tell it once.
QUIET = timedelta(hours=1)
#: Bytes at the file's end that hold the newest line, whatever it says.
_TAIL = 64 * 1024
#: A line of the file at most, characters of its message.
LONGEST_MESSAGE = 4000

#: How much an alert wants of people: that somebody looks now; that they are told; that it can be looked up.
PAGE, TELL, LOG = SEVERITIES = ("page", "tell", "log")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    """One line of the file."""

    id: int
    """Ascending, also over a file that was lost; 0 in lines of version 0.1.0."""
    at: datetime
    kind: str
    subject: str
    message: str
    cause: str
    """What it has in common with others, which are told together."""
    severity: str


class Notifier:
    """Keeps alerts below a home folder.

    Parameters
    ----------
    home : Path
        ``CONTIMG_HOME``; the alerts lie in ``alerts.jsonl`` there.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "alerts.jsonl"

    def send(self, kind: str, subject: str, message: str, *, cause: str = "", severity: str = TELL) -> None:
        """Log an alert and keep it.

        Parameters
        ----------
        kind : str
            ``run_failed``, ``check_failed``, ``bad_files``, ….
        subject : str
            Group, run or file that it is about.
        message : str
            What happened.
        cause : str
            What it has in common with others of its kind: these are one alarm.
        severity : str
            One of :data:`SEVERITIES`; ``log``: nobody is told.
        """
        self._send(_record(kind, subject, message, cause, severity), once=False)

    def send_once(
        self,
        kind: str,
        subject: str,
        message: str,
        *,
        same: str | None = None,
        cause: str = "",
        severity: str = PAGE,
    ) -> None:
        """Log an alert and keep it, unless the same was told within the hour; a full disk does not matter.

        For what many groups meet at once, such as a disk that is full: where the file cannot be
        written, the log alone has it, and the next who meets it tries again.

        Parameters
        ----------
        kind, subject, message, cause, severity : str
            As of :meth:`send`.
        same : str, optional
            An earlier message that begins so tells the same; default: one that is equal.
        """
        try:
            self._send(_record(kind, subject, message, cause, severity), once=True, same=same)
        except OSError as error:
            log.warning("%s %s: %s (not kept: %s)", kind, subject, message, error)

    def _send(self, record: dict[str, str], *, once: bool, same: str | None = None) -> None:
        at = datetime.now(UTC)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if once and any(_is_again(line, record, same, at) for line in self._lines()):
                return
            log.warning("%s %s: %s", record["kind"], record["subject"], record["message"])
            newest = self._newest_id()
            line = {"id": max(newest + 1, time.time_ns() // 1000), "at": at.isoformat(timespec="seconds")}
            _append(self.path, json.dumps({**line, **record}))
            # Lines are of some length, so the size tells whether there may be too many of them.
            if self.path.stat().st_size > KEPT_ALERTS * 100:
                self._thin_out()

    def recent(self, number: int = 20) -> list[dict[str, str]]:
        """The newest alerts, oldest of them first."""
        names = ("at", "kind", "subject", "message", "cause", "severity")
        lines = deque(self._lines(), maxlen=min(number, KEPT_ALERTS))
        return [{name: line.get(name, "") for name in names} for line in lines]

    def after(self, identity: int) -> list[Alert]:
        """Alerts that are newer than one, oldest first."""
        found = []
        for text in reversed(self._text().splitlines()):
            line = _read(text)
            if line is None:
                continue
            if line.get("id", 0) <= identity:
                break
            rest = (line[name] for name in ("kind", "subject", "message", "cause", "severity"))
            found.append(Alert(line["id"], datetime.fromisoformat(line["at"]), *rest))
        return found[::-1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""

    def _lines(self) -> Iterator[dict[str, Any]]:
        return (found for found in map(_read, self._text().splitlines()) if found is not None)

    def _newest_id(self) -> int:
        if not self.path.is_file():
            return 0
        with self.path.open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - _TAIL))
            tail = handle.read().decode(errors="replace").splitlines()
        return next((found.get("id", 0) for found in map(_read, reversed(tail)) if found is not None), 0)

    def _thin_out(self) -> None:
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(lines) > KEPT_ALERTS * (1 + _SLACK):
            write_atomically(self.path, "\n".join(lines[-KEPT_ALERTS:]) + "\n")


def _record(kind: str, subject: str, message: str, cause: str, severity: str) -> dict[str, str]:
    if severity not in SEVERITIES:
        raise ValueError(f"severity: found {severity!r}; expected one of {', '.join(SEVERITIES)}")
    return {
        "kind": kind,
        "subject": subject,
        "message": message[:LONGEST_MESSAGE],
        "cause": cause,
        "severity": severity,
    }


def _append(path: Path, line: str) -> None:
    """Add a line, whole or not at all; one that a machine's end has cut short stays alone."""
    with path.open("ab") as handle:
        size = handle.tell()
        try:
            handle.write((("" if size == 0 or _ends_line(path) else "\n") + line + "\n").encode())
            handle.flush()
        except OSError:
            handle.truncate(size)
            raise


def _ends_line(path: Path) -> bool:
    with path.open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read() == b"\n"


def _read(text: str) -> dict[str, Any] | None:
    """One line; None if it was cut short."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _is_again(earlier: dict[str, str], record: dict[str, str], same: str | None, at: datetime) -> bool:
    about = all(earlier[name] == record[name] for name in ("kind", "subject"))
    told = earlier["message"]
    again = told == record["message"] if same is None else told.startswith(same)
    return about and again and at - datetime.fromisoformat(earlier["at"]) < QUIET
