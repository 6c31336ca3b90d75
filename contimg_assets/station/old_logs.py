"""Logs that nobody looks at any more: of foreground commands and CASA, and what Dagster's runs printed.

Belongs here: finding them by age.  Does not belong here: Dagster's event log
(``resources/dagster_prune.py``), or removing (``retention.py``).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from contimg_assets.station.removal import Removal
from contimg_assets.station.store import size_of

LOG = "log"
#: Folders of a home in which every file is a log; …
_LOGS = ("logs", "casa/logs")
#: … where Dagster keeps what a run printed, a folder for each run, and in it.
_RUNS, _PRINTED = "dagster/storage", "compute_logs"


def old_logs(home: Path, days: float, at: datetime) -> list[Removal]:
    """Logs that were last written longer ago than some days.

    Parameters
    ----------
    home : Path
        Of the installation.
    days : float
        Their age.
    at : datetime
        The moment to judge by.
    """
    before = (at - timedelta(days=days)).timestamp()
    told = f"last written more than {days:g} days ago"
    return [
        Removal(path, told, size_of(path), what=LOG)
        for path in (*_files(home), *_printed(home))
        if _last_written(path) < before
    ]


def is_log(home: Path, path: Path) -> bool:
    """Whether something lies where only logs do."""
    inside = any(path.parent == home / folder for folder in _LOGS)
    return inside or (path.name == _PRINTED and path.parent.parent == home / _RUNS)


def _files(home: Path) -> Iterator[Path]:
    for folder in _LOGS:
        yield from sorted(path for path in (home / folder).glob("*.log*") if path.is_file())


def _printed(home: Path) -> Iterator[Path]:
    yield from sorted(path for path in (home / _RUNS).glob(f"*/{_PRINTED}") if path.is_dir())


def _last_written(path: Path) -> float:
    """Of a file, or of the newest below a folder."""
    return max((each.lstat().st_mtime for each in (path, *path.rglob("*"))), default=0.0)
