"""Alerts: one line each in the log and in a bounded file of JSON lines.

Belongs here: keeping and reading alerts.  Does not belong here: deciding what
deserves one (``sensors/alerts.py``).
"""

import fcntl
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from contimg_assets.radio.files import write_atomically

#: Alerts that the file keeps; the oldest go first.
KEPT_ALERTS = 1000

log = logging.getLogger(__name__)


class Notifier:
    """Keeps alerts below a home folder.

    Parameters
    ----------
    home : Path
        ``CONTIMG_HOME``; the alerts lie in ``alerts.jsonl`` there.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "alerts.jsonl"

    def send(self, kind: str, subject: str, message: str) -> None:
        """Log an alert and keep it.

        Parameters
        ----------
        kind : str
            ``run_failed``, ``check_failed``, ``bad_files``, ….
        subject : str
            Group, run or file that it is about.
        message : str
            What happened.
        """
        log.warning("%s %s: %s", kind, subject, message)
        record = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "kind": kind,
            "subject": subject,
            "message": message,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lines = [*self._lines()[-(KEPT_ALERTS - 1) :], json.dumps(record)]
            write_atomically(self.path, "\n".join(lines) + "\n")

    def recent(self, number: int = 20) -> list[dict[str, str]]:
        """The newest alerts, oldest of them first."""
        return [json.loads(line) for line in self._lines()[-number:]]

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
