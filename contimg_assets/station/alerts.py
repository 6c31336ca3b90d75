"""Alerts: one line each in the log and in a bounded file of JSON lines.

Belongs here: keeping and reading alerts.  Does not belong here: deciding what
deserves one (``sensors/alerts.py``).
"""

import fcntl
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contimg_assets.radio.files import write_atomically

#: Alerts that the file keeps; the oldest go first.
KEPT_ALERTS = 1000

#: For so long the same is not told again by those who tell it once.
QUIET = timedelta(hours=1)

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
        self._send(kind, subject, message, once=False)

    def send_once(self, kind: str, subject: str, message: str, *, same: str | None = None) -> None:
        """Log an alert and keep it, unless the same was told within the hour; a full disk does not matter.

        For what many groups meet at once, such as a disk that is full: where the file cannot be
        written, the log alone has it, and the next who meets it tries again.

        Parameters
        ----------
        kind, subject, message : str
            As of :meth:`send`.
        same : str, optional
            An earlier message that begins so tells the same; default: one that is equal.
        """
        try:
            self._send(kind, subject, message, once=True, same=same)
        except OSError as error:
            log.warning("%s %s: %s (not kept: %s)", kind, subject, message, error)

    def _send(self, kind: str, subject: str, message: str, *, once: bool, same: str | None = None) -> None:
        at = datetime.now(UTC)
        record = {"kind": kind, "subject": subject, "message": message}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lines = self._lines()[-(KEPT_ALERTS - 1) :]
            if once and any(_is_again(json.loads(line), record, same, at) for line in lines):
                return
            log.warning("%s %s: %s", kind, subject, message)
            lines.append(json.dumps({"at": at.isoformat(timespec="seconds"), **record}))
            write_atomically(self.path, "\n".join(lines) + "\n")

    def recent(self, number: int = 20) -> list[dict[str, str]]:
        """The newest alerts, oldest of them first."""
        return [json.loads(line) for line in self._lines()[-number:]]

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []


def _is_again(earlier: dict[str, str], record: dict[str, str], same: str | None, at: datetime) -> bool:
    about = all(earlier[name] == record[name] for name in ("kind", "subject"))
    told = earlier["message"]
    again = told == record["message"] if same is None else told.startswith(same)
    return about and again and at - datetime.fromisoformat(earlier["at"]) < QUIET
